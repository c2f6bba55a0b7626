//! What selects a response among several for the same target (RFC 9111 section 4.1).

use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::field::list;
use crate::key::KeyWriter;
use crate::policy::is_credential;

/// A response that varies by more headers is not stored (R13).
const MOST_SELECTING: usize = 8;

/// Values of these are the same in any case.
const CASELESS: [HeaderName; 2] = [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE];

/// Whether a response is for one origin alone (R10).
pub(in crate::http) fn is_for_one_origin(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN).any(|origin| origin != "*")
}

/// The names of the request headers that a response was selected by, sorted: those of `Vary`, `origin` if it is for one
/// origin (R10), and `accept-encoding` if it is in one coding (R11). `None` if nothing in the request selects it, or too
/// much does.
pub(in crate::http) fn names(headers: &HeaderMap) -> Option<Vec<Arc<str>>> {
    let mut names = Vec::new();
    for member in list::members(headers, header::VARY) {
        let name = std::str::from_utf8(member).ok()?.to_ascii_lowercase();
        if name == "*" || is_credential(&name) || HeaderName::from_bytes(name.as_bytes()).is_err() {
            return None;
        }
        names.push(Arc::from(name));
    }
    if is_for_one_origin(headers) {
        names.push("origin".into());
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        names.push("accept-encoding".into());
    }
    names.sort();
    names.dedup();
    (names.len() <= MOST_SELECTING).then_some(names)
}

/// Writes the values that a request has for the names: lines combined, whitespace around members left out, letters in
/// lower case where case means nothing. Absent is not empty.
pub(in crate::http) fn write(key: &mut KeyWriter, names: &[impl AsRef<str>], headers: &HeaderMap) {
    for name in names.iter().map(AsRef::as_ref) {
        key.field(name);
        key.nested(|inner| {
            if headers.contains_key(name) {
                // Empty members mean nothing in a list, but not every field is one.
                let lines = headers.get_all(name).map(HeaderValue::as_bytes);
                let members: Vec<&[u8]> = lines.flat_map(|line| list::split_at(line, b',')).collect();
                let mut value = members.join(&b',');
                if CASELESS.iter().any(|caseless| caseless == name) {
                    value.make_ascii_lowercase();
                }
                inner.bytes(&value);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn names_of(lines: &[(&'static str, &'static str)]) -> Option<Vec<String>> {
        names(&headers(lines)).map(|names| names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn responses_are_selected_by_vary_origin_and_coding() {
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names_of(&[]), some(&[]));
        assert_eq!(names_of(&[("vary", "Foo, bar"), ("vary", ", foo")]), some(&["bar", "foo"]));
        assert_eq!(names_of(&[("access-control-allow-origin", "https://a.example")]), some(&["origin"]));
        assert_eq!(names_of(&[("access-control-allow-origin", "*")]), some(&[]));
        assert_eq!(names_of(&[("content-encoding", "br"), ("vary", "Accept-Encoding")]), some(&["accept-encoding"]));
        for nothing in ["*", "*, *", ", *", "foo, *", "Cookie", "foo, authorization", "two words", "a,b,c,d,e,f,g,h,i"]
        {
            assert_eq!(names_of(&[("vary", nothing)]), None, "{nothing}");
        }
    }

    #[test]
    fn values_that_mean_the_same_are_the_same() {
        let value = |lines: &[(&'static str, &'static str)]| {
            let mut key = KeyWriter::new();
            write(&mut key, &["foo", "accept-language"], &headers(lines));
            key.finish()
        };
        assert_eq!(value(&[("foo", "1, 2")]), value(&[("foo", "1"), ("foo", "2")]));
        assert_eq!(value(&[("foo", "1,2")]), value(&[("foo", " 1, 2 ")]));
        assert_eq!(value(&[("accept-language", "eN, De")]), value(&[("accept-language", "en, de")]));
        for (one, other) in [
            (&[][..], &[("foo", "")][..]),
            (&[("foo", "a")], &[("foo", "A")]),
            (&[("foo", "1, 2")], &[("foo", "2, 1")]),
            (&[("foo", "\"a, b\"")], &[("foo", "\"a,b\"")]),
            (&[("foo", "1")], &[("accept-language", "1")]),
        ] {
            assert_ne!(value(one), value(other), "{one:?} and {other:?}");
        }
    }
}
