//! What a caller holds already, or wants a part of: 304, 206 and 416 from a response that is at hand whole.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use bytes::Bytes;

use crate::http::field::date::Date;
use crate::http::field::{etag, range};

/// What a 304 repeats of the response it stands for (RFC 9110 section 15.4.5), and the headers of this cache.
const KEPT_IN_304: [&str; 8] =
    ["age", "cache-control", "cache-status", "content-location", "date", "etag", "expires", "vary"];

/// Digests of a whole body, which say nothing right of a part.
const OF_THE_WHOLE: [&str; 2] = ["content-digest", "content-md5"];

/// The conditions of a request (RFC 9110 section 13).
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Conditions {
    none_match: Vec<Vec<u8>>,
    modified_since: Option<Date>,
    range: Option<Vec<u8>>,
    if_range: Option<Vec<u8>>,
}

impl Conditions {
    pub(in crate::http) fn of(head: &RequestHead) -> Self {
        let headers = &head.headers;
        // Several lines are no list here, and mean nothing.
        let bytes = |name| {
            let mut lines = headers.get_all(name).map(|value| value.as_bytes().to_vec());
            lines.next().filter(|_| lines.next().is_none())
        };
        Self {
            none_match: headers.get_all(header::IF_NONE_MATCH).map(|line| line.as_bytes().to_vec()).collect(),
            modified_since: Date::of(headers, header::IF_MODIFIED_SINCE),
            // Ranges of other methods mean nothing (RFC 9110 section 14.2).
            range: bytes(header::RANGE).filter(|_| head.method == Method::GET),
            if_range: bytes(header::IF_RANGE),
        }
    }

    /// Whether the caller holds what it would be answered with (RFC 9110 section 13.1.2 and 13.1.3, RFC 9111 section
    /// 4.3.2): by its entity tag, or else by the date of its last change. If it tells neither, by the date of its making,
    /// and not within that second: what a clear has replaced may be of the same one.
    fn are_met_by(&self, headers: &HeaderMap) -> bool {
        if !self.none_match.is_empty() {
            let tag = headers.get(header::ETAG).map(HeaderValue::as_bytes);
            return self.none_match.iter().any(|line| match tag {
                Some(tag) => etag::matches_weakly(line, tag),
                None => line.trim_ascii() == b"*",
            });
        }
        let Some(since) = self.modified_since else { return false };
        match Date::of(headers, header::LAST_MODIFIED) {
            Some(changed) => changed <= since,
            None => Date::of(headers, header::DATE).is_some_and(|made| made < since),
        }
    }

    /// Whether the part that is asked for is one of this response (RFC 9110 section 13.1.5): by a strong entity tag, or by
    /// a date of a change that is strong, being a minute older than the response at least.
    fn allow_range_of(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = &self.if_range else { return true };
        if let Some(date) = Date::parse(condition) {
            let (changed, made) = (Date::of(headers, header::LAST_MODIFIED), Date::of(headers, header::DATE));
            return changed == Some(date) && made.is_some_and(|made| made.since(date).as_secs() >= 60);
        }
        headers.get(header::ETAG).is_some_and(|tag| etag::matches_strongly(condition.trim_ascii(), tag.as_bytes()))
    }
}

/// Turns a 200 into a 304 if the caller holds it already.
pub(in crate::http) fn answer_condition(response: HttpResponse, conditions: &Conditions) -> HttpResponse {
    if response.status() != StatusCode::OK || !conditions.are_met_by(response.headers()) {
        return response;
    }
    let mut answer = HttpResponse::NotModified().finish();
    for (name, value) in response.headers().iter().filter(|(name, _)| KEPT_IN_304.contains(&name.as_str())) {
        answer.headers_mut().append(name.clone(), value.clone());
    }
    answer
}

/// Turns a 200 into the part that was asked for, if a part was.
pub(in crate::http) fn answer_range(response: HttpResponse, conditions: &Conditions) -> HttpResponse {
    let Some(asked) = &conditions.range else { return response };
    if response.status() != StatusCode::OK || !conditions.allow_range_of(response.headers()) {
        return response;
    }
    let (mut response, body) = response.into_parts();
    let body: Bytes = match body.try_into_bytes() {
        Ok(body) => body,
        Err(body) => return response.set_body(body),
    };
    match range::parse(asked, body.len()) {
        range::Asked::Whole => response.set_body(BoxBody::new(body)),
        range::Asked::Part { first, last } => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let headers = response.headers_mut();
            for name in OF_THE_WHOLE {
                headers.remove(name);
            }
            content_range(headers, &format!("bytes {first}-{last}/{}", body.len()));
            response.set_body(BoxBody::new(body.slice(first..=last)))
        }
        range::Asked::Unsatisfiable => {
            let mut answer = HttpResponse::RangeNotSatisfiable().finish();
            content_range(answer.headers_mut(), &format!("bytes */{}", body.len()));
            for name in [header::AGE, header::DATE, header::ETAG, header::VARY] {
                for value in response.headers().get_all(&name) {
                    answer.headers_mut().append(name.clone(), value.clone());
                }
            }
            answer
        }
    }
}

fn content_range(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(header::CONTENT_RANGE, value);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const MADE: &str = "Sun, 06 Nov 1994 09:49:37 GMT";

    fn response() -> HttpResponse {
        HttpResponse::Ok()
            .insert_header(("etag", "\"a\""))
            .insert_header(("last-modified", CHANGED))
            .insert_header(("date", MADE))
            .insert_header(("content-digest", "sha-256=:x:"))
            .insert_header(("x-other", "1"))
            .body("0123456789")
    }

    fn answer(response: HttpResponse, lines: &[(&'static str, &str)]) -> (u16, String, Vec<u8>) {
        let mut request = TestRequest::get();
        for line in lines {
            request = request.append_header(*line);
        }
        let conditions = Conditions::of(request.to_http_request().head());
        let answer = answer_range(answer_condition(response, &conditions), &conditions);
        let range = answer.headers().get(header::CONTENT_RANGE);
        let range = range.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), range, answer.into_body().try_into_bytes().unwrap().to_vec())
    }

    fn status(lines: &[(&'static str, &str)]) -> u16 {
        answer(response(), lines).0
    }

    #[test]
    fn what_the_caller_holds_is_not_sent_again() {
        assert_eq!(status(&[("if-none-match", "\"a\"")]), 304);
        assert_eq!(status(&[("if-none-match", "\"b\", W/\"a\"")]), 304);
        assert_eq!(status(&[("if-none-match", "*")]), 304);
        assert_eq!(status(&[("if-none-match", "\"b\"")]), 200);
        assert_eq!(status(&[("if-modified-since", CHANGED)]), 304);
        assert_eq!(status(&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")]), 304);
        assert_eq!(status(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")]), 200);
        assert_eq!(status(&[("if-modified-since", "yesterday")]), 200);
        assert_eq!(status(&[("if-none-match", "\"b\""), ("if-modified-since", MADE)]), 200, "the tag goes first");
        let undated = HttpResponse::Ok().insert_header(("date", MADE)).finish();
        assert_eq!(answer(undated, &[("if-modified-since", MADE)]).0, 200, "there may have been another before it");
        assert_eq!(answer(HttpResponse::NotFound().finish(), &[("if-none-match", "*")]).0, 404);
    }

    #[test]
    fn parts_are_cut_from_the_whole() {
        let part = |lines: &[(&'static str, &str)]| answer(response(), lines);
        assert_eq!(part(&[("range", "bytes=2-3")]), (206, "bytes 2-3/10".to_owned(), b"23".to_vec()));
        assert_eq!(part(&[("range", "bytes=10-")]), (416, "bytes */10".to_owned(), Vec::new()));
        assert_eq!(part(&[("range", "bytes=0-1, 4-5")]).0, 200);
        assert_eq!(part(&[("range", "bytes=2-3"), ("if-none-match", "\"a\"")]).0, 304);
        assert_eq!(answer(HttpResponse::Created().body("0123"), &[("range", "bytes=2-3")]).0, 201);
    }

    #[test]
    fn a_part_of_another_version_is_never_sent() {
        let if_range = |value: &str| status(&[("range", "bytes=2-3"), ("if-range", value)]);
        assert_eq!(if_range("\"a\""), 206);
        assert_eq!(if_range("W/\"a\""), 200);
        assert_eq!(if_range("\"b\""), 200);
        assert_eq!(if_range(CHANGED), 206);
        assert_eq!(if_range(MADE), 200);
        let weak = HttpResponse::Ok().insert_header(("etag", "W/\"a\"")).body("0123");
        assert_eq!(answer(weak, &[("range", "bytes=2-3"), ("if-range", "W/\"a\"")]).0, 200);
        let changed_just_now =
            HttpResponse::Ok().insert_header(("last-modified", MADE)).insert_header(("date", MADE)).body("0123");
        assert_eq!(answer(changed_just_now, &[("range", "bytes=2-3"), ("if-range", MADE)]).0, 200);
    }

    #[test]
    fn a_part_says_nothing_of_the_whole() {
        let conditions =
            Conditions::of(TestRequest::get().insert_header(("range", "bytes=2-3")).to_http_request().head());
        let answer = answer_range(response(), &conditions);
        assert!(!answer.headers().contains_key("content-digest") && answer.headers().contains_key("x-other"));
    }
}
