//! Cache groups (RFC 9875).

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, List, ListEntry, Parser};

/// The groups that a response belongs to.
pub(in crate::http) const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
/// The groups that a response makes wrong.
pub(in crate::http) const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// The members of a list of strings, over all lines; parameters say nothing. A field that is no such list is ignored as a
/// whole (RFC 9875 section 2).
pub(in crate::http) fn names(headers: &HeaderMap, field: &HeaderName) -> Vec<String> {
    let lines: Vec<&[u8]> = headers.get_all(field).map(HeaderValue::as_bytes).collect();
    let Ok(list) = Parser::new(&lines.join(&b", "[..])).parse::<List>() else { return Vec::new() };
    let names: Option<Vec<String>> = list
        .into_iter()
        .map(|member| match member {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::String(name) => Some(name.into()),
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        })
        .collect();
    names.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_lists_of_strings() {
        let read = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_GROUPS, HeaderValue::from_static(line));
            }
            names(&headers, &CACHE_GROUPS)
        };
        assert_eq!(read(&["\"scripts\", \"product-42\";x=1"]), ["scripts", "product-42"]);
        assert_eq!(read(&["\"a b\"", "\"c\\\"\""]), ["a b", "c\""]);
        for other in [&["scripts"][..], &["\"a\", b"], &["(\"a\")"], &["\"a"], &[]] {
            assert_eq!(read(other), [""; 0], "{other:?}");
        }
    }
}
