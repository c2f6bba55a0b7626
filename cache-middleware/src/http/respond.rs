//! An entry back into a response, conditional requests, and the headers that say what the cache did.

use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::Extensions;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use super::request::Asked;
use super::response::says_public;
use crate::entry::{Entry, Payload};
use crate::outcome::Outcome;

/// What this cache calls itself in `Cache-Status` (RFC 9211 section 2).
const CACHE_NAME: &str = "cache-middleware";
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What a 304 repeats of the response it stands for (RFC 9110 section 15.4.5), and the headers of this cache.
const KEPT_IN_304: [&str; 8] =
    ["age", "cache-control", "cache-status", "content-location", "date", "etag", "expires", "vary"];

/// The layers of caching that a request has been through. The same key at another depth is another entry, or an inner
/// layer would wait for the flight of an outer one, which waits for it.
struct Layers(u8);

/// Enters a layer; gives how many are around it.
pub(super) fn enter(extensions: &mut Extensions) -> u8 {
    let depth = extensions.get::<Layers>().map_or(0, |layers| layers.0);
    extensions.insert(Layers(depth.saturating_add(1)));
    depth
}

/// Says that a cached handler answers.
pub(super) fn mark_cached(request: &HttpRequest) {
    enter(&mut request.extensions_mut());
}

/// Whether another layer was entered inside the one at `depth`.
pub(super) fn was_cached_inside(request: &HttpRequest, depth: u8) -> bool {
    request.extensions().get::<Layers>().is_some_and(|layers| layers.0 > depth.saturating_add(1))
}

/// The response of an entry; `None` if it holds none, or one that no response can be made of, or one that does not say
/// that it is for everybody where only such a one will do.
pub(super) fn response_of(entry: &Entry, must_be_public: bool) -> Option<HttpResponse> {
    let Payload::Response(stored) = &entry.payload else { return None };
    let mut response = HttpResponse::new(StatusCode::from_u16(stored.status).ok()?);
    for (name, value) in &stored.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(value.clone()).ok()?;
        response.headers_mut().append(name, value);
    }
    if must_be_public && !says_public(response.headers()) {
        return None;
    }
    Some(response.set_body(BoxBody::new(stored.body.clone())))
}

/// Adds `Age`, which every response from an entry has (RFC 9111 section 5.1).
pub(super) fn add_age(headers: &mut HeaderMap, age: Duration) {
    headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
}

/// Adds this cache's line to `Cache-Status`, after those of caches nearer to the origin.
pub(super) fn add_status(headers: &mut HeaderMap, outcome: &Outcome) {
    if let Ok(value) = HeaderValue::from_str(&format!("{CACHE_NAME}; {outcome}")) {
        headers.append(CACHE_STATUS, value);
    }
}

/// Turns a 200 into a 304 if the request holds its `ETag` already (RFC 9110 section 13.1.2).
pub(super) fn answer_condition(response: HttpResponse, asked: &Asked) -> HttpResponse {
    let unchanged = response.status() == StatusCode::OK
        && response
            .headers()
            .get(header::ETAG)
            .is_some_and(|etag| asked.if_none_match.iter().any(|line| matches(line, etag.as_bytes())));
    if !unchanged {
        return response;
    }
    let mut answer = HttpResponse::NotModified().finish();
    for (name, value) in response.headers().iter().filter(|(name, _)| KEPT_IN_304.contains(&name.as_str())) {
        answer.headers_mut().append(name.clone(), value.clone());
    }
    answer
}

/// Weak comparison of an `If-None-Match` line with an entity tag. A tag may hold commas, so the line is read tag by
/// tag; what cannot be read matches nothing.
fn matches(line: &[u8], etag: &[u8]) -> bool {
    let opaque = etag.strip_prefix(b"W/").unwrap_or(etag);
    let mut rest = line.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while !rest.is_empty() {
        rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        if !rest.starts_with(b"\"") {
            return false;
        }
        let Some(end) = rest[1..].iter().position(|byte| *byte == b'"') else { return false };
        if &rest[..end + 2] == opaque {
            return true;
        }
        rest = rest[end + 2..].trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_compared_weakly_and_read_tag_by_tag() {
        for (line, etag, expected) in [
            ("\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("\"a\"", "W/\"a\"", true),
            ("*", "\"a\"", true),
            ("\"b\", W/\"a\"", "\"a\"", true),
            ("\"b,\\\" \",\"a\"", "\"a\"", false),
            ("\"x, y\", \"a\"", "\"a\"", true),
            ("\"x, \"a\"", "\"a\"", false),
            ("a", "a", false),
            ("\"a", "\"a\"", false),
            ("", "\"a\"", false),
        ] {
            assert_eq!(matches(line.as_bytes(), etag.as_bytes()), expected, "{line} against {etag}");
        }
    }
}
