//! Dates (RFC 9110 section 5.6.7). The one place that reads the time of the host: a response from elsewhere says when it
//! was made, and one that does not is given the time at which it came (RFC 9110 section 6.6.1).
//!
//! Nothing that keeps a promise rests on it. A host whose clock is fast takes responses with a `Date` of another host for
//! older than they are, and so for stale too early; one whose clock is slow goes by `Age`.

use std::time::{Duration, SystemTime};

use actix_web::http::header::{AsHeaderName, HeaderMap, HeaderValue};

/// The time of a date field, with the resolution of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) struct Date(SystemTime);

impl Date {
    pub(in crate::http) fn now() -> Self {
        Self(SystemTime::now())
    }

    /// Reads one of the three forms of a date.
    pub(in crate::http) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text.trim_ascii()).ok()?;
        httpdate::parse_http_date(text).ok().map(Self)
    }

    /// The date of a field; `None` if it is absent, malformed, or said twice and differently.
    pub(in crate::http) fn of(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).map(HeaderValue::as_bytes);
        let first = lines.next()?;
        if lines.all(|line| line == first) { Self::parse(first) } else { None }
    }

    /// Time from an earlier date to this one; zero if that one is later.
    pub(in crate::http) fn since(self, earlier: Self) -> Duration {
        self.0.duration_since(earlier.0).unwrap_or_default()
    }

    pub(in crate::http) fn to_header(self) -> Option<HeaderValue> {
        HeaderValue::from_str(&httpdate::fmt_http_date(self.0)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_three_forms_are_one_date() {
        let date = Date::parse(b"Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(Date::parse(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(date));
        assert_eq!(Date::parse(b"Sun Nov  6 08:49:37 1994"), Some(date));
        assert_eq!(date.to_header().unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
        for other in ["0", "-1", "", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun 06 Nov 1994 08:49:37 GMT", "foo"] {
            assert_eq!(Date::parse(other.as_bytes()), None, "{other}");
        }
    }
}
