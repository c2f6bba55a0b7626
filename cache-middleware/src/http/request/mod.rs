//! What a request says before anyone looks at the store: may it be looked up, and under which key?

pub(in crate::http) mod conditions;
pub(in crate::http) mod headers;
pub(in crate::http) mod layers;
pub(in crate::http) mod manager_of;
pub(in crate::http) mod names;
pub(in crate::http) mod selection;
pub(in crate::http) mod target;
pub(in crate::http) mod tenants;
pub(in crate::http) mod token;

use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, Version};

use self::conditions::Conditions;
use crate::http::field::cache_control::Directives;
use crate::key::KeyWriter;
use crate::manager::{AskedFor, CacheManager};
use crate::outcome::{BypassReason, Outcome};
use crate::policy::Coding;

/// Longer queries are not looked up (R13).
const MAX_QUERY_BYTES: usize = 2_048;

/// What a request that may be looked up asks for.
#[derive(Debug, Clone)]
pub(in crate::http) struct Asked {
    /// Whether its response may fill an entry: a GET of the whole, without `no-store` (R2, R7).
    pub(in crate::http) fills: Fills,
    /// Whether it carries credentials that are not cookies.
    pub(in crate::http) authorized: bool,
    /// Whether it carries cookies.
    pub(in crate::http) cookies: bool,
    /// Whether it wants a stored response or none.
    pub(in crate::http) only_if_cached: bool,
    /// What it holds already, or wants a part of.
    pub(in crate::http) conditions: Conditions,
}

impl Asked {
    /// Whether anything says who asks.
    pub(in crate::http) fn has_credentials(&self) -> bool {
        self.authorized || self.cookies
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Fills {
    Yes,
    NotHead,
    NotNoStore,
    NotRange,
}

/// Which headers that matter a request has, found by one walk over them: to ask for each by its name took eight times as
/// many instructions, and few requests have any.
#[derive(Debug, Default)]
struct Present {
    /// Anything of a body (R7).
    body: bool,
    cache_control: bool,
    /// Who is calling, but for cookies (R4).
    credentials: bool,
    cookie: bool,
    /// What the caller holds already, or wants a part of.
    conditions: bool,
    range: bool,
    upgrade: bool,
    expect: bool,
    /// Conditions that are not for a cache.
    precondition: bool,
    /// What makes a GET mean something else (R7).
    method_override: bool,
    /// What makes a request one about another URI (K5).
    url_override: bool,
}

impl Present {
    fn of(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "cache-control" => present.cache_control = true,
                "cookie" => present.cookie = true,
                "authorization" | "proxy-authorization" | "x-api-key" | "x-auth-token" => present.credentials = true,
                "if-none-match" | "if-modified-since" | "if-range" => present.conditions = true,
                "range" => (present.conditions, present.range) = (true, true),
                "transfer-encoding" => present.body = true,
                "content-length" => present.body |= value.as_bytes() != b"0",
                "upgrade" => present.upgrade = true,
                "expect" => present.expect = true,
                "if-match" | "if-unmodified-since" => present.precondition = true,
                "x-http-method-override" | "x-method-override" | "x-http-method" => present.method_override = true,
                "x-original-url" | "x-rewrite-url" => present.url_override = true,
                _ => {}
            }
        }
        present
    }
}

/// Judges a request; `Err` is the outcome of one that is not looked up. Cookies may be known to be no credentials.
pub(in crate::http) fn judge(head: &RequestHead, harmless_cookies: bool) -> Result<Asked, Outcome> {
    let present = Present::of(&head.headers);
    let directives = if present.cache_control { Directives::of(&head.headers) } else { Directives::default() };
    let fills = match head.method {
        Method::GET | Method::HEAD if directives.no_store => Fills::NotNoStore,
        Method::GET if present.range => Fills::NotRange,
        Method::GET => Fills::Yes,
        Method::HEAD => Fills::NotHead,
        _ => return Err(Outcome::Method),
    };
    if let Some(reason) = bypass_reason(head, &present) {
        return Err(Outcome::Bypass { reason });
    }
    Ok(Asked {
        fills,
        authorized: present.credentials,
        cookies: present.cookie && !harmless_cookies,
        only_if_cached: directives.only_if_cached,
        conditions: if present.conditions { Conditions::of(head) } else { Conditions::default() },
    })
}

fn bypass_reason(head: &RequestHead, present: &Present) -> Option<BypassReason> {
    // The router sees no path in what is not one, and the key would be that of the root.
    let has_path = head.uri.path_and_query().is_some_and(|target| target.as_str().starts_with('/'));
    if !has_path {
        Some(BypassReason::TargetInvalid)
    } else if present.body {
        Some(BypassReason::RequestBody)
    } else if present.upgrade || (head.upgrade() && head.version < Version::HTTP_2) {
        Some(BypassReason::Upgrade)
    } else if present.expect {
        Some(BypassReason::Expect)
    } else if present.precondition {
        Some(BypassReason::Precondition)
    } else if present.method_override {
        Some(BypassReason::MethodOverride)
    } else if present.url_override {
        Some(BypassReason::UrlOverride)
    } else if head.uri.query().is_some_and(|query| query.len() > MAX_QUERY_BYTES) {
        Some(BypassReason::QueryTooLong)
    } else {
        None
    }
}

/// Which request it is, if somebody wants to make it again when a clear has removed its response.
pub(in crate::http) fn asked_for(manager: &CacheManager, head: &RequestHead) -> Option<AskedFor> {
    let host =
        || head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).or(head.uri.host()).unwrap_or_default();
    let path = || head.uri.path_and_query().map_or("/", |path| path.as_str());
    manager.counts_uses().then(|| AskedFor { host: host().to_owned(), path: path().to_owned() })
}

/// Writes path and query, byte for byte as they came (K3).
pub(in crate::http) fn write_target(key: &mut KeyWriter, head: &RequestHead) {
    key.field(head.uri.path_and_query().map_or("/", |path| path.as_str()));
}

/// The framed values of the headers that select a variant, and the coding it is in.
pub(in crate::http) fn variant(
    vary: &[impl AsRef<str>],
    headers: &HeaderMap,
    coding: Option<Coding>,
) -> Option<String> {
    if vary.is_empty() && coding.is_none() {
        return None;
    }
    let mut key = KeyWriter::new();
    selection::write(&mut key, vary, headers);
    if let Some(coding) = coding {
        key.field(coding.token());
    }
    Some(key.finish())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::policy::is_credential;

    fn outcome(request: TestRequest) -> String {
        match judge(request.to_http_request().head(), false) {
            Ok(asked) => format!("{:?}", asked.fills),
            Err(outcome) => outcome.to_string(),
        }
    }

    #[test]
    fn r4_what_says_who_asks_is_noticed() {
        for name in ["cookie", "authorization", "proxy-authorization", "x-api-key", "x-auth-token"] {
            let request = TestRequest::get().insert_header((name, "x")).to_http_request();
            assert!(is_credential(name) && judge(request.head(), false).unwrap().has_credentials(), "{name}");
        }
    }

    #[test]
    fn r2_and_r7_requests_are_judged() {
        for (request, expected) in [
            (TestRequest::get(), "Yes"),
            (TestRequest::get().insert_header(("cache-control", "max-age=0, No-Store")), "NotNoStore"),
            (TestRequest::get().insert_header(("content-length", "0")), "Yes"),
            (TestRequest::default().method(Method::HEAD), "NotHead"),
            (TestRequest::post(), "fwd=method"),
            (TestRequest::default().method(Method::from_bytes(b"QUERY").unwrap()), "fwd=method"),
            (TestRequest::get().insert_header(("content-length", "1")), "fwd=bypass; detail=request-body"),
            (TestRequest::get().insert_header(("transfer-encoding", "chunked")), "fwd=bypass; detail=request-body"),
            (TestRequest::get().insert_header(("range", "bytes=0-1")), "NotRange"),
            (TestRequest::get().insert_header(("if-match", "*")), "fwd=bypass; detail=precondition"),
            (TestRequest::get().insert_header(("upgrade", "websocket")), "fwd=bypass; detail=upgrade"),
            (TestRequest::get().insert_header(("expect", "100-continue")), "fwd=bypass; detail=expect"),
            (TestRequest::get().insert_header(("x-http-method", "PUT")), "fwd=bypass; detail=method-override"),
            (TestRequest::with_uri(&format!("/?{}", "x".repeat(2_049))), "fwd=bypass; detail=query-too-long"),
        ] {
            assert_eq!(outcome(request), expected);
        }
    }

    #[test]
    fn variants_tell_absent_from_empty_and_lines_from_members() {
        let variant = |lines: &[&str]| {
            let mut request = TestRequest::get();
            for line in lines {
                request = request.append_header(("accept-language", *line));
            }
            variant(&["accept-language"], request.to_http_request().headers(), None).unwrap()
        };
        assert_ne!(variant(&[]), variant(&[""]));
        assert_eq!(variant(&["de", "en"]), variant(&["de, en"]));
        assert_ne!(variant(&["de"]), variant(&["en"]));
    }
}
