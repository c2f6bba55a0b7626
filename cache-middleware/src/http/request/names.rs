//! By which names a request is known (rules K1 and K5).

use std::borrow::Cow;

use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap};

use crate::http::field::list;
use crate::key::KeyWriter;

/// Headers by which a request may be known by other names than its own: those that actix-web reads,
pub(in crate::http) const FORWARDING: [&str; 3] = ["forwarded", "x-forwarded-host", "x-forwarded-proto"];
/// and those that applications are known to read.
pub(in crate::http) const OTHER_FORWARDING: [&str; 12] = [
    "x-envoy-original-path",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-uri",
];

/// The authority of the target, without user information: that of the request line, which is where HTTP/2 has it, or else
/// `Host` (RFC 9110 section 7.1, RFC 9112 section 3.2.2).
pub(in crate::http) fn host(head: &RequestHead) -> &[u8] {
    match head.uri.authority() {
        Some(authority) => authority.as_str().rsplit('@').next().unwrap_or_default().as_bytes(),
        None => head.headers.get(header::HOST).map(header::HeaderValue::as_bytes).unwrap_or_default(),
    }
}

/// In lower case, as nearly every client writes it.
pub(in crate::http) fn lower(host: &[u8]) -> Cow<'_, [u8]> {
    if host.iter().any(u8::is_ascii_uppercase) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

/// The scheme that the socket speaks.
pub(in crate::http) const fn scheme(secure: bool) -> &'static str {
    if secure { "https" } else { "http" }
}

/// Whether a request says by one line of `Host` alone whom it is for, as nearly every one does. It is a walk over what it has,
/// and takes a twentieth of the instructions of asking for all that it could have.
fn has_one_name(head: &RequestHead) -> bool {
    let mut hosts = 0;
    let names_another = |name: &str| FORWARDING.contains(&name) || OTHER_FORWARDING.contains(&name);
    let is_plain = |name: &str| {
        hosts += usize::from(name == "host");
        !names_another(name)
    };
    head.uri.scheme().is_none()
        && head.uri.authority().is_none()
        && head.headers.iter().map(|(name, _)| name.as_str()).all(is_plain)
        && hosts <= 1
}

/// All other names that whoever sees the request may take for its own, as they came: anyone may write them, and which of
/// them is believed is not known here. `None` if there are none.
pub(in crate::http) fn others(head: &RequestHead, secure: bool) -> Option<String> {
    if has_one_name(head) {
        return None;
    }
    let (headers, host, scheme) = (&head.headers, host(head), scheme(secure));
    let unless = |name: Cow<'_, [u8]>, own: &[u8]| {
        if name.eq_ignore_ascii_case(own) { Vec::new() } else { name.into_owned() }
    };
    let joined = |name: &str| Cow::Owned(joined(headers, name));
    let authority = head.uri.authority().map_or("", |authority| authority.as_str()).as_bytes();
    let mut names = vec![
        unless(Cow::Borrowed(head.uri.scheme_str().unwrap_or_default().as_bytes()), scheme.as_bytes()),
        unless(Cow::Borrowed(authority), host),
        unless(joined("host"), host),
        unless(joined("x-forwarded-host"), host),
        unless(joined("x-forwarded-proto"), scheme.as_bytes()),
        forwarded(headers),
    ];
    names.extend(OTHER_FORWARDING.map(|name| self::joined(headers, name)));
    names.iter().any(|name| !name.is_empty()).then(|| {
        let mut framed = KeyWriter::new();
        names.iter().for_each(|name| framed.bytes(name));
        framed.finish()
    })
}

/// What `Forwarded` says but for `for` and `by`, which differ from client to client and name none of ours (RFC 7239).
fn forwarded(headers: &HeaderMap) -> Vec<u8> {
    let mut said = Vec::new();
    for member in list::members(headers, "forwarded") {
        for parameter in list::split_at(member, b';') {
            let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
            if !name.eq_ignore_ascii_case(b"for") && !name.eq_ignore_ascii_case(b"by") {
                said.extend_from_slice(parameter);
                said.push(b';');
            }
        }
    }
    said
}

/// All lines of a header as one.
fn joined(headers: &HeaderMap, name: &str) -> Vec<u8> {
    headers.get_all(name).map(header::HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..])
}

/// Writes scheme and authority (K1), by every name they have: for handlers that see the request.
pub(in crate::http) fn write_origin(key: &mut KeyWriter, head: &RequestHead, secure: bool) {
    key.field(scheme(secure));
    key.bytes(&lower(host(head)));
    key.nested(|inner| {
        if let Some(others) = others(head, secure) {
            inner.field(&others);
        }
    });
}

/// Writes scheme and host name (K1) for a handler that sees neither, without the port: nodes of one service may listen on
/// several.
pub(in crate::http) fn write_host_name(key: &mut KeyWriter, head: &RequestHead, secure: bool) {
    key.field(scheme(secure));
    let host = lower(host(head));
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let name = host[..host.len() - digits].strip_suffix(b":").unwrap_or(&host);
    key.bytes(name);
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn head(uri: &str, lines: &[(&'static str, &str)]) -> actix_web::HttpRequest {
        let request = lines.iter().fold(TestRequest::with_uri(uri), |request, line| request.append_header(*line));
        request.to_http_request()
    }

    #[test]
    fn k1_a_host_name_has_no_port() {
        let name = |host: &str| {
            let mut key = KeyWriter::new();
            write_host_name(&mut key, head("/", &[("host", host)]).head(), false);
            key.finish()
        };
        assert_eq!(name("a.example:8080"), name("A.example:81"));
        assert_eq!(name("a.example:8080"), name("a.example"));
        assert_eq!(name("[::1]:8080"), name("[::1]"));
        assert_ne!(name("a.example"), name("b.example"));
        assert_ne!(name("node1"), name("node2"));
        assert_ne!(name("10.0.0.1"), name("10.0.0.2"));
    }

    #[test]
    fn k1_the_authority_of_the_target_goes_before_host() {
        for (uri, lines, expected) in [
            ("http://a.example/x", &[][..], "a.example"),
            ("http://user@a.example/x", &[("host", "b.example")], "a.example"),
            ("/x", &[("host", "b.example:81")], "b.example:81"),
            ("/x", &[], ""),
        ] {
            assert_eq!(host(head(uri, lines).head()), expected.as_bytes(), "{uri}");
        }
    }

    #[test]
    fn k5_every_other_name_counts_and_own_names_do_not() {
        let own = ("host", "a.example");
        for lines in [
            &[own][..],
            &[own, ("x-forwarded-host", "A.example"), ("x-forwarded-proto", "http")],
            &[own, ("forwarded", "for=1.2.3.4, by=\"[::1]:80\";for=x")],
        ] {
            assert_eq!(others(head("/", lines).head(), false), None, "{lines:?}");
        }
        let names: Vec<_> = [
            ("/", &[own, ("x-forwarded-host", "b")][..]),
            ("/", &[own, ("x-forwarded-host", "a.example, b")]),
            ("/", &[own, ("x-forwarded-host", "a.example"), ("x-forwarded-host", "c")]),
            ("/", &[own, ("forwarded", "host=a.example"), ("x-forwarded-host", "b")]),
            ("/", &[own, ("forwarded", "for=1;host=a.example, for=2;host=b")]),
            ("/", &[own, ("x-forwarded-proto", "https")]),
            ("https://a.example/", &[own]),
            ("http://a.example/", &[("host", "b")]),
            ("http://user@a.example/", &[own]),
            ("/", &[own, ("x-host", "b")]),
        ]
        .map(|(uri, lines)| others(head(uri, lines).head(), false))
        .to_vec();
        let distinct: std::collections::HashSet<_> = names.iter().flatten().collect();
        assert_eq!(distinct.len(), names.len(), "{names:#?}");
    }
}
