//! What reads bytes from outside, for fuzzing: none of it may panic, or take longer than in proportion to its input.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::test::TestRequest;

use super::field::cache_control::Directives;
use super::field::date::Date;
use super::field::{etag, groups, list, range, targeted};
use super::request::{self, conditions, names, selection};
use super::response::coding;
use super::response::freshness::{Arrival, Said, lifetime};
use crate::policy::{Coding, HttpRules};

const OWN: HeaderName = HeaderName::from_static("app-cache-control");

/// Reads bytes as the value of every header field that is read, on a request and on a response.
///
/// # Panics
/// If the fields contradict each other: that is a finding.
///
/// ```
/// for input in [&b"max-age=60, stale-if-error=\"x"[..], b"\xff\x00"] {
///     cache_middleware::fuzzing::header(input);
///     cache_middleware::fuzzing::key(input);
///     cache_middleware::fuzzing::entry(input);
///     cache_middleware::fuzzing::message(input);
///     cache_middleware::fuzzing::tag(input);
/// }
/// ```
pub fn header(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let fields = [
        header::CACHE_CONTROL,
        header::VARY,
        header::ETAG,
        header::EXPIRES,
        header::DATE,
        header::AGE,
        header::LAST_MODIFIED,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::RANGE,
        header::IF_RANGE,
        header::ACCEPT_ENCODING,
        header::HOST,
        header::FORWARDED,
        header::CONTENT_ENCODING,
        groups::CACHE_GROUPS,
        OWN,
    ];
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(field, value.clone());
    }
    let rules = HttpRules::default();
    let said = Said::by(&headers, &rules.targets);
    let arrival = Arrival { at: Date::now(), delay: std::time::Duration::ZERO };
    if let Ok(life) = lifetime(&headers, &said, &rules, arrival) {
        assert!(!life.total().is_zero(), "an entry that is over before it began");
        assert!(!said.directives.no_cache || life.fresh_for.is_zero(), "fresh against its own word");
    }
    let twice = {
        let mut twice = headers.clone();
        twice.append(header::CACHE_CONTROL, value.clone());
        Directives::of(&twice)
    };
    let once = Directives::of(&headers);
    assert!(twice.no_store == once.no_store && twice.private == once.private, "said twice is said otherwise");
    let _ = targeted::directives(&headers, &[OWN]);
    let _ = groups::names(&headers, &groups::CACHE_GROUPS);
    let _ = selection::names(&headers);
    let _ = coding::negotiate(&headers, &[Coding::Brotli, Coding::Gzip]);
    if let range::Asked::Part { first, last } = range::parse(bytes, 100) {
        assert!(first <= last && last < 100, "{first}-{last} of 100");
    }
    let _ = etag::matches_weakly(bytes, b"\"a\"");
    let members: usize = list::split(bytes).map(<[u8]>::len).sum();
    assert!(members <= bytes.len(), "members of nothing");

    let lines = headers.iter().fold(TestRequest::get(), TestRequest::append_header);
    let request = lines.to_http_request();
    let _ = names::others(request.head(), false);
    let _ = request::judge(request.head(), false);
    let asked = conditions::Conditions::of(request.head());
    let response = HttpResponse::build(StatusCode::OK).insert_header((header::ETAG, value)).body("0123456789");
    let _ = conditions::answer_range(conditions::answer_condition(response, &asked), &asked);
}
