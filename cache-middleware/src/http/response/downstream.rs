//! What the caches of others are told of a response: how long they may use it, and by which tags it is known.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::field::groups::CACHE_GROUPS;
use crate::outcome::RefusalReason;
use crate::policy::{Downstream, TagFields};
use crate::tag::{Tag, escape};
use crate::tenant::Tenant;

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const EDGE_CACHE_TAG: HeaderName = HeaderName::from_static("edge-cache-tag");

/// The most bytes that CDNs read of such a field. What is over it they ignore without a word, and then no clear of theirs
/// would reach the response.
const MOST_BYTES: usize = 16_384;
/// The longest tag in `Edge-Cache-Tag`.
const LONGEST_EDGE_TAG: usize = 128;

/// Tells how long a response may be used, unless the handler has. `personal` is one that is for its caller alone.
pub(in crate::http) fn add_lifetimes(headers: &mut HeaderMap, downstream: &Downstream, personal: bool) {
    if headers.contains_key(header::CACHE_CONTROL) || headers.contains_key(header::EXPIRES) {
        return;
    }
    headers.insert(header::CACHE_CONTROL, cache_control(downstream, personal));
    if let Some(ttl) = downstream.cdn_ttl.filter(|_| !personal && !headers.contains_key(CDN_CACHE_CONTROL)) {
        headers.insert(CDN_CACHE_CONTROL, max_age("", ttl));
    }
}

/// Tells it anew for a response from an entry. Whoever gets it takes its `Age` off, so what they may have beside that is
/// put on; a lifetime that the handler has set stays as it is.
pub(in crate::http) fn renew_lifetimes(
    headers: &mut HeaderMap,
    downstream: &Downstream,
    personal: bool,
    age: Duration,
) {
    let renewed = [
        (header::CACHE_CONTROL, downstream.client_ttl, cache_control(downstream, personal)),
        (CDN_CACHE_CONTROL, downstream.cdn_ttl, downstream.cdn_ttl.map_or_else(no_cache, |ttl| max_age("", ttl))),
    ];
    for (name, ttl, stored) in renewed {
        let Some(ttl) = ttl.filter(|_| headers.get(&name) == Some(&stored)) else { continue };
        let prefix = if personal { "private, " } else { "" };
        headers.insert(name, max_age(prefix, ttl + Duration::from_secs(age.as_secs())));
    }
}

fn cache_control(downstream: &Downstream, personal: bool) -> HeaderValue {
    match (downstream.client_ttl, personal) {
        (Some(ttl), true) => max_age("private, ", ttl),
        (Some(ttl), false) => max_age("", ttl),
        (None, true) => HeaderValue::from_static("private, no-cache"),
        (None, false) => no_cache(),
    }
}

fn no_cache() -> HeaderValue {
    HeaderValue::from_static("no-cache")
}

fn max_age(prefix: &str, ttl: Duration) -> HeaderValue {
    HeaderValue::from_str(&format!("{prefix}max-age={}", ttl.as_secs())).unwrap_or_else(|_| no_cache())
}

/// Names the tags in the fields that are asked for; `Err` if a CDN would not read all of them.
pub(in crate::http) fn add_tags(
    headers: &mut HeaderMap,
    downstream: &Downstream,
    tenant: Option<&Tenant>,
    tags: &[Tag],
) -> Result<(), RefusalReason> {
    let fields = downstream.tag_fields;
    headers.remove(CACHE_GROUPS);
    if fields == TagFields::default() {
        return Ok(());
    }
    let names: Vec<String> = tags
        .iter()
        .map(|tag| tenant.map_or_else(|| tag.to_string(), |tenant| format!("{}:{tag}", escape(tenant.as_str()))))
        .collect();
    if fields.edge_cache_tag && names.iter().any(|name| name.len() > LONGEST_EDGE_TAG) {
        return Err(RefusalReason::TooManyTags);
    }
    let quoted = || names.iter().map(|name| format!("\"{}\"", name.replace('\\', "\\\\"))).collect::<Vec<_>>();
    for (name, wanted, line) in [
        (SURROGATE_KEY, fields.surrogate_key, names.join(" ")),
        (CACHE_TAG, fields.cache_tag, names.join(",")),
        (EDGE_CACHE_TAG, fields.edge_cache_tag, names.join(",")),
        (CACHE_GROUPS, fields.cache_groups, quoted().join(", ")),
    ] {
        if !wanted || line.is_empty() {
            continue;
        }
        match HeaderValue::from_str(&line) {
            Ok(value) if line.len() <= MOST_BYTES => headers.insert(name, value),
            _ => return Err(RefusalReason::TooManyTags),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::TagFields;

    fn value(headers: &HeaderMap, name: &str) -> String {
        headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn lifetimes_are_told_unless_the_handler_has_told_them() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (client_ttl, cdn_ttl, personal, control, cdn) in [
            (None, None, false, "no-cache", ""),
            (None, None, true, "private, no-cache", ""),
            (seconds(30), None, false, "max-age=30", ""),
            (seconds(30), seconds(60), true, "private, max-age=30", ""),
            (None, seconds(60), false, "no-cache", "max-age=60"),
        ] {
            let downstream = Downstream { client_ttl, cdn_ttl, ..Downstream::default() };
            let mut headers = HeaderMap::new();
            add_lifetimes(&mut headers, &downstream, personal);
            assert_eq!(
                (value(&headers, "cache-control"), value(&headers, "cdn-cache-control")),
                (control.to_owned(), cdn.to_owned())
            );
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
        add_lifetimes(&mut headers, &Downstream { client_ttl: seconds(30), ..Downstream::default() }, false);
        assert_eq!(value(&headers, "cache-control"), "max-age=5");
    }

    #[test]
    fn age_does_not_eat_what_a_client_may_have() {
        let downstream = Downstream {
            client_ttl: Some(Duration::from_secs(30)),
            cdn_ttl: Some(Duration::from_secs(60)),
            ..Downstream::default()
        };
        let mut headers = HeaderMap::new();
        add_lifetimes(&mut headers, &downstream, false);
        renew_lifetimes(&mut headers, &downstream, false, Duration::from_millis(100_500));
        assert_eq!(value(&headers, "cache-control"), "max-age=130");
        assert_eq!(value(&headers, "cdn-cache-control"), "max-age=160");
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=7"));
        renew_lifetimes(&mut headers, &downstream, false, Duration::from_secs(100));
        assert_eq!(value(&headers, "cache-control"), "max-age=7", "the handler's own");
    }

    #[test]
    fn tags_are_named_as_each_reader_wants_them() {
        let tag_fields = TagFields { surrogate_key: true, cache_tag: true, edge_cache_tag: true, cache_groups: true };
        let downstream = Downstream { tag_fields, ..Downstream::default() };
        let tags = [Tag::new("teacher:7").unwrap(), Tag::new("a\\b").unwrap()];
        let mut headers = HeaderMap::new();
        add_tags(&mut headers, &downstream, None, &tags).unwrap();
        assert_eq!(value(&headers, "surrogate-key"), "teacher:7 a\\b");
        assert_eq!(value(&headers, "cache-tag"), "teacher:7,a\\b");
        assert_eq!(value(&headers, "edge-cache-tag"), "teacher:7,a\\b");
        assert_eq!(value(&headers, "cache-groups"), "\"teacher:7\", \"a\\\\b\"");
        add_tags(&mut headers, &downstream, Some(&Tenant::new("acme").unwrap()), &tags[..1]).unwrap();
        assert_eq!(value(&headers, "surrogate-key"), "acme:teacher:7");
    }

    #[test]
    fn r13_a_tag_that_would_be_ignored_refuses_the_response() {
        let long = Tag::new(&"x".repeat(129)).unwrap();
        let only = |tag_fields| Downstream { tag_fields, ..Downstream::default() };
        let edge = only(TagFields { edge_cache_tag: true, ..TagFields::default() });
        let surrogate = only(TagFields { surrogate_key: true, ..TagFields::default() });
        let mut headers = HeaderMap::new();
        assert!(add_tags(&mut headers, &edge, None, std::slice::from_ref(&long)).is_err());
        assert!(add_tags(&mut headers, &surrogate, None, std::slice::from_ref(&long)).is_ok());
        assert!(add_tags(&mut headers, &surrogate, None, &vec![long; 128]).is_err());
    }
}
