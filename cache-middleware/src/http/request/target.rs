//! The target of a request to a shared HTTP cache, as its key has it.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap};
use url::Url;

use crate::http::request::{names, selection};
use crate::key::{Key, KeySpace, KeyWriter};
use crate::outcome::BypassReason;
use crate::policy::Coding;
use crate::store::Target as ClearTarget;
use crate::tenant::Tenant;

/// Whose response is asked for.
///
/// Its text is the URI, by scheme of the socket, `Host`, path and query, byte for byte (K3). Other names that the handler
/// may see, in forwarding headers, in the request line, or because another cache is around this one, make a variant of it
/// (K5): who makes up a name gets entries of their own, and a clear of the URI reaches them all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Target {
    tenant: Option<Tenant>,
    text: String,
    /// So much of the text is the origin.
    origin_bytes: usize,
    other_names: Option<String>,
}

impl Target {
    /// `owner` says which policy it is under, if policies differ, `identity` who asks, and `depth` how many caches are around
    /// this one.
    pub(in crate::http) fn of(
        request: &ServiceRequest,
        tenant: Option<&Tenant>,
        owner: Option<&str>,
        identity: Option<&str>,
        depth: u8,
    ) -> Result<Self, BypassReason> {
        let (head, secure) = (request.head(), request.app_config().secure());
        // With these bytes alone no host can pass for a part of a path.
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:[]%".contains(&byte);
        let host = names::lower(names::host(head));
        let host = std::str::from_utf8(&host).ok().filter(|host| host.bytes().all(is_of_host));
        let host = host.ok_or(BypassReason::HostInvalid)?;
        // The port that goes without saying is not said (RFC 9110 section 4.2.3).
        let short = host.strip_suffix(if secure { ":443" } else { ":80" }).filter(|name| !name.ends_with(':'));
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut text = String::with_capacity(host.len() + path.len() + 16);
        for part in [names::scheme(secure), "://", short.unwrap_or(host)] {
            text.push_str(part);
        }
        let origin_bytes = text.len();
        // An absolute URI may have no path, and the router then sees the root (RFC 9110 section 4.2.3).
        if !path.starts_with('/') {
            text.push('/');
        }
        text.push_str(path);
        let others = names::others(head, secure).unwrap_or_default();
        let depth = if depth == 0 { String::new() } else { depth.to_string() };
        let identity = identity.map(|identity| format!("={identity}")).unwrap_or_default();
        let names = [&*others, short.map_or("", |_| host), &depth, &identity, owner.unwrap_or_default()];
        let other_names = names.iter().any(|name| !name.is_empty()).then(|| {
            let mut framed = KeyWriter::new();
            names.iter().for_each(|name| framed.field(name));
            framed.finish()
        });
        Ok(Self { tenant: tenant.cloned(), text, origin_bytes, other_names })
    }

    fn origin(&self) -> &str {
        &self.text[..self.origin_bytes]
    }

    /// The key of what headers of these names select.
    pub(in crate::http) fn key(&self, selecting: &[impl AsRef<str>], headers: &HeaderMap) -> Key {
        self.key_in(None, selecting, headers)
    }

    /// The key of the same in a coding.
    pub(in crate::http) fn key_in(
        &self,
        coding: Option<Coding>,
        selecting: &[impl AsRef<str>],
        headers: &HeaderMap,
    ) -> Key {
        let variant = (self.other_names.is_some() || !selecting.is_empty() || coding.is_some()).then(|| {
            let other_names = self.other_names.as_deref().unwrap_or_default();
            let mut framed = KeyWriter::new();
            framed.field(other_names);
            selection::write(&mut framed, selecting, headers);
            if let Some(coding) = coding {
                framed.field(coding.token());
            }
            framed.finish()
        });
        Key::new(self.tenant.as_ref(), KeySpace::Request, variant.as_deref(), &self.text)
    }

    /// What a successful response to an unsafe method makes wrong (RFC 9111 section 4.4): the target, and what `Location`
    /// and `Content-Location` name of the same origin.
    pub(in crate::http) fn cleared_by(&self, response: &HeaderMap) -> Vec<ClearTarget> {
        let mut texts = vec![self.text.clone()];
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            for reference in response.get_all(name).filter_map(|line| std::str::from_utf8(line.as_bytes()).ok()) {
                if let Some(resolved) = self.resolve(reference) {
                    texts.extend([resolved, self.as_written(reference)]);
                }
            }
        }
        texts.sort();
        texts.dedup();
        texts.into_iter().map(|text| ClearTarget::Key(self.tenant.clone(), text)).collect()
    }

    /// The text of a URI reference, if it is of the same origin. The scheme may be another, where something in front of
    /// the service speaks TLS.
    fn resolve(&self, reference: &str) -> Option<String> {
        let own = Url::parse(&self.text).ok()?;
        let named = own.join(reference).ok()?;
        let is_http = matches!(named.scheme(), "http" | "https");
        let same_host = named.host_str() == own.host_str();
        let same_port = named.port_or_known_default() == own.port_or_known_default() || named.scheme() != own.scheme();
        (is_http && same_host && same_port).then(|| {
            let query = named.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{}{}{query}", self.origin(), named.path())
        })
    }

    /// The text of a reference of the same origin as it stands there: to resolve one as browsers do may spell it otherwise,
    /// and keys are byte by byte.
    fn as_written(&self, reference: &str) -> String {
        let reference = reference.split('#').next().unwrap_or_default();
        let after_scheme = reference.find("://").filter(|at| !reference[..*at].contains(['/', '?'])).map(|at| at + 3);
        let after_scheme = after_scheme.or_else(|| reference.starts_with("//").then_some(2));
        let path = &self.text[self.origin_bytes..];
        let path = path.split('?').next().unwrap_or_default();
        let named = match after_scheme {
            Some(at) => {
                let rest = &reference[at..];
                let rest = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
                if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") }
            }
            None if reference.is_empty() => return self.text.clone(),
            None if reference.starts_with('/') => reference.to_owned(),
            None if reference.starts_with('?') => format!("{path}{reference}"),
            None => format!("{}{reference}", &path[..=path.rfind('/').unwrap_or_default()]),
        };
        format!("{}{}", self.origin(), without_dots(&named))
    }

    /// The name of a cache group of this origin, as a tag (RFC 9875 section 2).
    pub(in crate::http) fn tag_of_group(&self, group: &str) -> String {
        format!("group:{}:{}", crate::tag::escape(self.origin()), crate::tag::escape(group))
    }
}

/// A path without its dot segments (RFC 3986 section 5.2.4), all else byte by byte; a query stays as it is.
fn without_dots(target: &str) -> String {
    let (path, query) = target.find('?').map_or((target, ""), |at| target.split_at(at));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const NONE: &[&str] = &[];

    fn target(request: TestRequest) -> Target {
        Target::of(&request.to_srv_request(), None, None, None, 0).unwrap()
    }

    fn name(request: TestRequest) -> String {
        target(request).key(NONE, &HeaderMap::new()).name().to_string()
    }

    fn get(uri: &str) -> TestRequest {
        TestRequest::with_uri(uri).insert_header(("host", "a.example"))
    }

    #[test]
    fn k1_the_text_is_the_uri() {
        assert_eq!(name(get("/x?y=1")), "-/r/http://a.example/x?y=1");
        assert_eq!(name(get("/x%2F/../y")), "-/r/http://a.example/x%2F/../y", "byte for byte");
        let evil = TestRequest::with_uri("/x").insert_header(("host", "a.example/y"));
        assert_eq!(Target::of(&evil.to_srv_request(), None, None, None, 0).unwrap_err(), BypassReason::HostInvalid);
    }

    #[test]
    fn k5_other_names_make_variants_of_the_same_text() {
        let plain = target(get("/x"));
        for header in [
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "host=evil"),
            ("x-host", "evil"),
        ] {
            let other = target(get("/x").insert_header(header));
            assert_eq!(other.text, plain.text);
            assert_ne!(other.key(NONE, &HeaderMap::new()), plain.key(NONE, &HeaderMap::new()), "{header:?}");
        }
    }

    #[test]
    fn references_are_cleared_as_they_are_written_too() {
        let target = target(get("/things/7?x=1"));
        for (reference, expected) in [
            ("8?name='a'", Some("http://a.example/things/8?name='a'")),
            ("?y={a}#part", Some("http://a.example/things/7?y={a}")),
            ("/{a}", Some("http://a.example/{a}")),
            ("../{a}/./b/..", Some("http://a.example/{a}/")),
            ("//a.example/'?", Some("http://a.example/'?")),
            ("HTTPS://A.example?'", Some("http://a.example/?'")),
            ("http://b.example/'", None),
        ] {
            let written = target.resolve(reference).map(|_| target.as_written(reference));
            assert_eq!(written.as_deref(), expected, "{reference}");
        }
    }

    #[test]
    fn a_uri_without_a_path_is_the_root() {
        let text = |uri| target(TestRequest::with_uri(uri).insert_header(("host", "a.example"))).text;
        assert_eq!(text("http://a.example?q=1"), "http://a.example/?q=1");
        assert_eq!(text("http://a.example"), "http://a.example/");
    }

    #[test]
    fn locations_of_the_same_origin_are_cleared() {
        let target = target(get("/things/7?x=1"));
        for (reference, expected) in [
            ("8", Some("http://a.example/things/8")),
            ("/other?y=2#part", Some("http://a.example/other?y=2")),
            ("http://a.example/z", Some("http://a.example/z")),
            ("https://a.example/z", Some("http://a.example/z")),
            ("http://b.example/z", None),
            ("http://a.example:81/z", None),
            ("//b.example/z", None),
            ("mailto:a@a.example", None),
        ] {
            assert_eq!(target.resolve(reference).as_deref(), expected, "{reference}");
        }
    }
}
