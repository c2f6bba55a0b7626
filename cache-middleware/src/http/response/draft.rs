//! A handler's response into what would be stored of it.

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::entry::{Payload, StoredResponse};
use crate::http::field::list;
use crate::http::request::{Asked, headers};
use crate::http::response::capture::{Captured, capture};
use crate::http::response::freshness::Arrival;
use crate::http::response::respond::response_of_stored;
use crate::http::response::{self, coding, downstream};
use crate::key::{Key, MAX_KEY_BYTES};
use crate::manager::{CacheManager, Draft, Variant};
use crate::outcome::RefusalReason;
use crate::policy::{Coding, Freshness, StoreRules};
use crate::tag::{Mark, Tag};
use crate::time::Moment;

/// Headers that belong to one connection or to this cache, and are made anew for each response (R12).
const NOT_STORED: [&str; 15] = [
    "age",
    "cache-status",
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Gives the key of what headers of these names select.
pub(in crate::http) type KeyOf<'a> = &'a dyn Fn(&[Arc<str>]) -> Key;

/// What a response is judged by.
pub(in crate::http) struct Judge<'a> {
    pub(in crate::http) manager: &'a CacheManager,
    pub(in crate::http) asked: &'a Asked,
    pub(in crate::http) rules: &'a StoreRules,
    /// Whether the key holds who asks.
    pub(in crate::http) identity: bool,
    /// The pattern of the route, which is a mark of every response of it.
    pub(in crate::http) route: Option<&'a str>,
    /// The key of the target, and under which a response is stored that was selected by headers of these names, if they are learned from responses.
    pub(in crate::http) variant: Option<(&'a Key, KeyOf<'a>)>,
    /// The coding that is asked for, and the key of the response in its own.
    pub(in crate::http) coding: Option<(Coding, &'a Key)>,
}

impl Judge<'_> {
    /// Makes a draft of a response, and completes the response by what stored ones get: a `Date`, and where a policy says
    /// how long it is fresh, an `ETag` and a `Cache-Control` that has browsers ask again, because no clear can reach them.
    /// A response that is refused comes back as it was.
    pub(in crate::http) async fn draft(
        &self,
        request: &HttpRequest,
        response: HttpResponse,
        arrival: Arrival,
        tags: Result<Vec<Tag>, RefusalReason>,
    ) -> Result<(HttpResponse, Draft), (HttpResponse, RefusalReason)> {
        let verdict = match response::judge(&response, self.asked, self.rules, self.identity, arrival) {
            Ok(verdict) => verdict,
            Err(reason) => return Err((response, reason)),
        };
        let by_response = matches!(self.rules.freshness, Freshness::ByResponse(_));
        let too_long = |(_, key): (_, KeyOf<'_>)| key(&verdict.selecting).name().len() > MAX_KEY_BYTES;
        if !verdict.selecting.is_empty() && self.variant.is_some_and(too_long) {
            return Err((response, RefusalReason::KeyTooLong));
        }
        let unkeyed = if by_response {
            headers::unkeyed(request, &verdict.selecting, false)
        } else {
            headers::unkeyed(request, &self.rules.vary, true)
        };
        if let Some(header) = unkeyed {
            headers::report(request, &header);
            return Err((response, RefusalReason::UnkeyedHeader));
        }
        let tenant = self.manager.current_tenant();
        let (tags, mut marks) = match tags.and_then(|tags| Ok((self.manager.marks_of(&tags)?, tags))) {
            Ok((marks, tags)) => (tags, marks),
            Err(reason) => return Err((response, reason)),
        };
        marks.extend(self.route.map(|route| Mark::route(tenant, route)));
        let (mut response, body) = response.into_parts();
        let began = Moment::now();
        let body = match capture(body, self.rules.max_body, by_response).await {
            Captured::Whole(body) => body,
            Captured::Passed(body, reason) => return Err((response.set_body(body), reason)),
        };
        let status = response.status().as_u16();
        let headers = response.headers_mut();
        if !headers.contains_key(header::DATE)
            && let Some(date) = arrival.at.to_header()
        {
            headers.insert(header::DATE, date);
        }
        if !by_response {
            if let Err(reason) = downstream::add_tags(headers, &self.rules.route.downstream, tenant, &tags) {
                return Err((response.set_body(BoxBody::new(body)), reason));
            }
            downstream::add_lifetimes(headers, &self.rules.route.downstream, self.identity);
            add_etag(status, headers, &body);
        }
        let codable = !self.rules.compress.is_empty() && coding::may_be_coded(status, headers);
        if codable {
            headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        let stored = StoredResponse {
            status,
            headers: stored_headers(headers),
            // Copied: L1 counts the bytes of a body, and a buffer that has grown, or is a part of another, keeps more than them.
            body: Bytes::copy_from_slice(&body),
        };
        let variant = self.variant.filter(|_| !verdict.selecting.is_empty());
        let variant = variant.map(|(base, key)| Variant {
            key: key(&verdict.selecting),
            base: base.clone(),
            selector: verdict.selecting,
        });
        let life = if by_response { verdict.life.after(Moment::now().since(began)) } else { verdict.life };
        let mut draft = Draft { marks, life, variant, ..Draft::of(Payload::Response(stored.clone())) };
        let response = response.set_body(BoxBody::new(body));
        let Some((coding, plain)) = self.coding else { return Ok((response, draft)) };
        // Who wants another coding then, or none, finds the bytes that it is made of.
        draft.siblings.push((plain.clone(), draft.payload.clone()));
        match coding_of(coding, &stored, codable).await {
            Some((coded, response)) => Ok((response, Draft { payload: Payload::Response(coded), ..draft })),
            None => Ok((response, draft)),
        }
    }
}

async fn coding_of(coding: Coding, stored: &StoredResponse, codable: bool) -> Option<(StoredResponse, HttpResponse)> {
    let coded = if codable { coding::coded(coding, stored).await } else { None }?;
    let response = response_of_stored(&coded)?;
    Some((coded, response))
}

fn add_etag(status: u16, headers: &mut HeaderMap, body: &Bytes) {
    if status == 200
        && !headers.contains_key(header::ETAG)
        && let Ok(etag) = HeaderValue::from_str(&strong_etag(headers, body))
    {
        headers.insert(header::ETAG, etag);
    }
}

/// Differs whenever the bytes, their type or their coding differ (RFC 9110 section 8.8.1).
fn strong_etag(headers: &HeaderMap, body: &Bytes) -> String {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    for part in [value(header::CONTENT_TYPE), value(header::CONTENT_ENCODING), body] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let hex = hasher.finalize().to_hex();
    format!("\"{}\"", &hex[..32])
}

pub(in crate::http) fn stored_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let named_by_connection: Vec<HeaderName> =
        list::members(headers, header::CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    headers
        .iter()
        .filter(|(name, _)| !NOT_STORED.contains(&name.as_str()) && !named_by_connection.contains(name))
        // Copied: a value may be a part of a large buffer, which it would keep.
        .filter_map(|(name, value)| Some((name.clone(), HeaderValue::from_bytes(value.as_bytes()).ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_differ_by_type_and_coding_and_bytes() {
        let etag = |kind: &'static str, body: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            strong_etag(&headers, &Bytes::from_static(body.as_bytes()))
        };
        assert_eq!(etag("text/plain", "a"), etag("text/plain", "a"));
        assert_ne!(etag("text/plain", "a"), etag("text/plain", "b"));
        assert_ne!(etag("text/plain", "a"), etag("text/html", "a"));
        assert_ne!(etag("text/plain", "a"), etag("text/plai", "na"));
    }

    #[test]
    fn r12_connection_headers_are_not_stored_and_repeated_ones_are_all_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("link", "a"),
            ("link", "b"),
            ("connection", "x-private, close"),
            ("x-private", "1"),
            ("age", "5"),
            ("x-kept", "1"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut stored = stored_headers(&headers);
        stored.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        let stored: Vec<_> = stored.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(stored, [("link", &b"a"[..]), ("link", b"b"), ("x-kept", b"1")]);
    }
}
