//! An entry back into a response, and the headers that say what the cache did.

use std::cell::RefCell;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::entry::{Entry, Payload, StoredResponse};
use crate::http::response::is_public;
use crate::http::response::written::Written;
use crate::outcome::Outcome;
use crate::policy::Freshness;

/// What this cache calls itself in `Cache-Status` (RFC 9211 section 2).
const CACHE_NAME: &str = "cache-middleware";
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The response of an entry; `None` if it holds none, or one that no response can be made of. Where `public_by` is
/// given, only a response will do that is for everybody by its own word.
pub(in crate::http) fn response_of(entry: &Entry, public_by: Option<&Freshness>) -> Option<HttpResponse> {
    let Payload::Response(stored) = &entry.payload else { return None };
    let response = response_of_stored(stored)?;
    if public_by.is_some_and(|freshness| !is_public(response.headers(), freshness)) {
        return None;
    }
    Some(response)
}

pub(in crate::http) fn response_of_stored(stored: &StoredResponse) -> Option<HttpResponse> {
    let mut response = HttpResponse::new(StatusCode::from_u16(stored.status).ok()?);
    for (name, value) in &stored.headers {
        response.headers_mut().append(name.clone(), value.clone());
    }
    Some(response.set_body(BoxBody::new(stored.body.clone())))
}

/// Adds `Age`, which every response from an entry has (RFC 9111 section 5.1).
pub(in crate::http) fn add_age(headers: &mut HeaderMap, age: Duration) {
    thread_local!(static LAST: RefCell<Written<u64>> = const { RefCell::new(Written::nothing()) });
    let seconds = age.as_secs();
    let value = LAST.with_borrow_mut(|last| last.get(seconds, seconds, |seconds| Some(HeaderValue::from(seconds))));
    headers.insert(header::AGE, value.unwrap_or_else(|| HeaderValue::from(seconds)));
}

/// Adds this cache's line to `Cache-Status`, after those of caches nearer to the origin.
pub(in crate::http) fn add_status(headers: &mut HeaderMap, outcome: &Outcome) {
    thread_local!(static LAST: RefCell<Written<Outcome>> = const { RefCell::new(Written::nothing()) });
    let write = |outcome: Outcome| HeaderValue::from_str(&format!("{CACHE_NAME}; {outcome}")).ok();
    let value = match *outcome {
        hit @ Outcome::Hit { ttl, .. } => LAST.with_borrow_mut(|last| last.get(ttl.unsigned_abs(), hit, write)),
        other => write(other),
    };
    if let Some(value) = value {
        headers.append(CACHE_STATUS, value);
    }
}
