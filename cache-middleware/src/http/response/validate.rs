//! A stale response is confirmed by the handler, and what it confirms is brought up to date (RFC 9111 sections 4.3.1, 4.3.4
//! and 4.3.5).

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::entry::StoredResponse;
use crate::http::response::respond::response_of_stored;
use crate::policy::HttpRules;

/// Fields that speak of the stored bytes. A response without these bytes must not change them (RFC 9111 section 3.2).
const OF_THE_BYTES: [&str; 9] = [
    "content-digest",
    "content-encoding",
    "content-length",
    "content-md5",
    "content-range",
    "digest",
    "etag",
    "repr-digest",
    "transfer-encoding",
];

/// Takes the caller's conditions out of a request: the entry needs the whole response, whatever the caller has already.
pub(in crate::http) fn remove_conditions(headers: &mut HeaderMap) {
    for condition in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_RANGE] {
        headers.remove(condition);
    }
}

/// Asks whether a stored response has changed, by its own validators as they came. Says whether it has any.
pub(in crate::http) fn add_conditions(headers: &mut HeaderMap, stored: &StoredResponse) -> bool {
    let mut asked = false;
    for (validator, condition) in [("etag", header::IF_NONE_MATCH), ("last-modified", header::IF_MODIFIED_SINCE)] {
        if let Some((_, value)) = stored.headers.iter().find(|(name, _)| *name == validator) {
            headers.insert(condition, value.clone());
            asked = true;
        }
    }
    asked
}

/// Whether a 304 is about a stored response (RFC 9111 section 4.3.4): a strong entity tag that it bears is that one's.
pub(in crate::http) fn is_about_stored(stored: &StoredResponse, confirming: &HeaderMap) -> bool {
    let Some(said) = confirming.get(header::ETAG).map(HeaderValue::as_bytes) else { return true };
    let own = stored.headers.iter().find(|(name, _)| *name == header::ETAG);
    said.starts_with(b"W/") || own.is_none_or(|(_, own)| said == own.as_bytes())
}

/// The stored response with the header fields of the one that confirmed it. What belongs to this caller alone, such as a
/// cookie, is taken along, and then found by whoever judges it.
pub(in crate::http) fn merge(
    stored: &StoredResponse,
    confirming: &HeaderMap,
    rules: &HttpRules,
) -> Option<HttpResponse> {
    let mut merged = response_of_stored(stored)?;
    if !confirming.contains_key(header::DATE) {
        // It was made when it came (RFC 9110 section 6.6.1).
        merged.headers_mut().remove(header::DATE);
    }
    for name in confirming.keys() {
        let kept = OF_THE_BYTES.contains(&name.as_str())
            || (*name == header::CONTENT_TYPE && !rules.merge_content_type && merged.headers().contains_key(name));
        if kept {
            continue;
        }
        let name: &HeaderName = name;
        merged.headers_mut().remove(name);
        for value in confirming.get_all(name) {
            merged.headers_mut().append(name.clone(), value.clone());
        }
    }
    Some(merged)
}

/// Whether a response to HEAD is about the same bytes as a stored one: `None` if nothing says so, or otherwise. The RFC lets
/// one that says nothing freshen what is stored; here a validator has to vouch for it.
pub(in crate::http) fn is_about(stored: &StoredResponse, head: &HeaderMap, length: Option<u64>) -> Option<bool> {
    let validators = stored.headers.iter().filter(|(name, _)| matches!(name.as_str(), "etag" | "last-modified"));
    let said: Vec<bool> = validators.filter_map(|(name, value)| Some(head.get(name)? == value)).collect();
    if said.contains(&false) || length.is_some_and(|length| length != stored.body.len() as u64) {
        return Some(false);
    }
    (!said.is_empty()).then_some(true)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn stored() -> StoredResponse {
        let line = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        StoredResponse {
            status: 200,
            headers: vec![
                line("etag", "\"a\""),
                line("content-type", "text/plain"),
                line("x-old", "1"),
                line("link", "a"),
                line("link", "b"),
            ],
            body: Bytes::from_static(b"body"),
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_304_changes_all_fields_but_those_of_the_bytes() {
        let confirming = headers(&[
            ("etag", "\"b\""),
            ("content-type", "text/html"),
            ("content-encoding", "gzip"),
            ("link", "c"),
            ("x-new", "1"),
        ]);
        let merged = merge(&stored(), &confirming, &HttpRules::default()).unwrap();
        let value = |name: &str| merged.headers().get_all(name).map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(value("etag"), ["\"a\""]);
        assert_eq!(value("content-type"), ["text/plain"]);
        assert_eq!(value("content-encoding"), [""; 0]);
        assert_eq!(value("link"), ["c"]);
        assert_eq!((value("x-old"), value("x-new")), (vec!["1"], vec!["1"]));
        let rules = HttpRules { merge_content_type: true, ..HttpRules::default() };
        let merged = merge(&stored(), &confirming, &rules).unwrap();
        assert_eq!(merged.headers().get("content-type").unwrap(), "text/html");
    }

    #[test]
    fn a_head_is_about_the_stored_bytes_if_a_validator_says_so() {
        for (lines, length, expected) in [
            (&[][..], None, None),
            (&[], Some(4), None),
            (&[("etag", "\"a\"")], None, Some(true)),
            (&[("etag", "\"a\"")], Some(4), Some(true)),
            (&[("etag", "\"b\"")], Some(4), Some(false)),
            (&[], Some(5), Some(false)),
        ] {
            assert_eq!(is_about(&stored(), &headers(lines), length), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_304_of_another_strong_tag_is_about_another_response() {
        for (lines, expected) in [
            (&[][..], true),
            (&[("etag", "\"a\"")], true),
            (&[("etag", "W/\"b\"")], true),
            (&[("etag", "\"b\"")], false),
        ] {
            assert_eq!(is_about_stored(&stored(), &headers(lines)), expected, "{lines:?}");
        }
    }
}
