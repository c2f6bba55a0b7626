//! `Cache-Control` (RFC 9111 section 5.2), and whatever else is read by its directives.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};

use super::list;

/// Longer durations count as this: 2^31 seconds (RFC 9111 section 1.2.2).
const LONGEST_SECONDS: u64 = 1 << 31;

/// A number of seconds that a directive gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Seconds {
    Of(Duration),
    /// Something else, or two that differ: what is fresh by it counts as stale (RFC 9111 section 4.2.1).
    Invalid,
}

impl Seconds {
    /// Reads an argument: digits, which may be quoted.
    fn parse(argument: Option<&[u8]>) -> Self {
        let unquoted = argument.and_then(list::unquote);
        match unquoted.as_deref().or(argument) {
            Some(digits) => seconds(digits).map_or(Self::Invalid, Self::Of),
            None => Self::Invalid,
        }
    }

    /// The time that freshness may be counted on.
    pub(in crate::http) fn or_zero(self) -> Duration {
        match self {
            Self::Of(duration) => duration,
            Self::Invalid => Duration::ZERO,
        }
    }
}

/// Reads delta-seconds; more than 2^31 of them are 2^31.
pub(in crate::http) fn seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = std::str::from_utf8(digits).ok()?.parse::<u64>().unwrap_or(LONGEST_SECONDS);
    Some(Duration::from_secs(seconds.min(LONGEST_SECONDS)))
}

/// What the directives of a response, or of a request, say. Unknown ones say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::http) struct Directives {
    pub(in crate::http) no_store: bool,
    /// With or without field names: both keep the whole response from being reused without a question.
    pub(in crate::http) no_cache: bool,
    pub(in crate::http) private: bool,
    pub(in crate::http) public: bool,
    pub(in crate::http) must_revalidate: bool,
    pub(in crate::http) proxy_revalidate: bool,
    pub(in crate::http) must_understand: bool,
    pub(in crate::http) only_if_cached: bool,
    pub(in crate::http) max_age: Option<Seconds>,
    pub(in crate::http) s_maxage: Option<Seconds>,
    pub(in crate::http) stale_while_revalidate: Option<Seconds>,
    pub(in crate::http) stale_if_error: Option<Seconds>,
    pub(in crate::http) min_fresh: Option<Seconds>,
    /// Without an argument: any staleness.
    pub(in crate::http) max_stale: Option<Duration>,
}

impl Directives {
    /// Those of all lines of `Cache-Control`.
    pub(in crate::http) fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for member in list::members(headers, header::CACHE_CONTROL) {
            let (name, argument) = match member.iter().position(|byte| *byte == b'=') {
                Some(at) => (&member[..at], Some(&member[at + 1..])),
                None => (member, None),
            };
            directives.set(&name.to_ascii_lowercase(), argument);
        }
        directives
    }

    /// Takes a directive by its name in lower case.
    fn set(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let time = match name {
            b"max-age" => &mut self.max_age,
            b"s-maxage" => &mut self.s_maxage,
            b"stale-while-revalidate" => &mut self.stale_while_revalidate,
            b"stale-if-error" => &mut self.stale_if_error,
            b"min-fresh" => &mut self.min_fresh,
            b"max-stale" => {
                self.max_stale = match argument {
                    Some(_) => Some(Seconds::parse(argument).or_zero()),
                    None => Some(Duration::MAX),
                };
                return;
            }
            flag => return self.set_flag(flag),
        };
        let said = Seconds::parse(argument);
        *time = Some(match *time {
            Some(before) if before != said => Seconds::Invalid,
            _ => said,
        });
    }

    pub(super) fn set_flag(&mut self, name: &[u8]) {
        match name {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"only-if-cached" => self.only_if_cached = true,
            _ => {}
        }
    }

    /// How long a shared cache may take it as fresh, if they say so (RFC 9111 section 4.2.1).
    pub(in crate::http) fn lifetime(&self) -> Option<Duration> {
        self.s_maxage.or(self.max_age).map(Seconds::or_zero)
    }

    /// Whether it must not be served stale whatever else is said (RFC 9111 section 4.2.4).
    pub(in crate::http) fn forbid_stale(&self, s_maxage_allows_stale: bool) -> bool {
        self.no_cache
            || self.must_revalidate
            || self.proxy_revalidate
            || (self.s_maxage.is_some() && !s_maxage_allows_stale)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn of(lines: &[&'static str]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HeaderName::from_static("cache-control"), HeaderValue::from_static(line));
        }
        Directives::of(&headers)
    }

    fn lifetime(lines: &[&'static str]) -> Option<u64> {
        of(lines).lifetime().map(|duration| duration.as_secs())
    }

    #[test]
    fn lifetimes_are_read_or_count_as_stale() {
        for (lines, expected) in [
            (&["max-age=3600"][..], Some(3_600)),
            (&["MaX-aGe=3600"], Some(3_600)),
            (&["max-age=003600"], Some(3_600)),
            (&["max-age=\"3600\""], Some(3_600)),
            (&["max-age='3600'"], Some(0)),
            (&["max-age=-3600"], Some(0)),
            (&["max-age=3600.0"], Some(0)),
            (&["max-age=3600a"], Some(0)),
            (&["max-age= 3600"], Some(0)),
            (&["max-age =3600"], None),
            (&["max-age"], Some(0)),
            (&["max-age="], Some(0)),
            (&["max-age=99999999999999999999999"], Some(1 << 31)),
            (&["max-age=2147483649"], Some(1 << 31)),
            (&["extension=\"max-age=3600\", max-age=1"], Some(1)),
            (&["max-age=1, extension=\"max-age=3600\""], Some(1)),
            (&["foobar, max-age=5"], Some(5)),
            (&["max-age=1, s-maxage=7"], Some(7)),
            (&["s-maxage=1", "max-age=7"], Some(1)),
            (&["max-age=5, max-age=5"], Some(5)),
            (&["max-age=5", "max-age=6"], Some(0)),
            (&["x=\"a", "max-age=5"], Some(5)),
            (&["public"], None),
        ] {
            assert_eq!(lifetime(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn flags_are_read_in_any_case_with_arguments_or_without() {
        let directives = of(&["No-Store, private=\"a, b\", NO-CACHE=\"set-cookie\"", "must-understand"]);
        assert!(directives.no_store && directives.private && directives.no_cache && directives.must_understand);
        assert!(!directives.public && !of(&["x=\"no-store\""]).no_store);
    }

    #[test]
    fn requests_say_how_stale_is_welcome() {
        assert_eq!(of(&["max-stale"]).max_stale, Some(Duration::MAX));
        assert_eq!(of(&["max-stale=5"]).max_stale, Some(Duration::from_secs(5)));
        assert_eq!(of(&["max-stale=x"]).max_stale, Some(Duration::ZERO));
        assert!(of(&["only-if-cached"]).only_if_cached);
    }
}
