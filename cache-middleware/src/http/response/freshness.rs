//! How long a response is fresh, by what it says itself (RFC 9111 section 4.2), and how stale it may be served (RFC 5861).

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderName};

use crate::entry::Lifetime;
use crate::http::field::cache_control::{Directives, Seconds, seconds};
use crate::http::field::date::Date;
use crate::http::field::{list, targeted};
use crate::outcome::RefusalReason;
use crate::policy::HttpRules;
use crate::time::Millis;

/// What a response says to this cache.
#[derive(Debug)]
pub(in crate::http) struct Said {
    pub(in crate::http) directives: Directives,
    /// By a field that is meant for this cache, so that `Expires` says nothing (RFC 9213 section 2.2).
    targeted: bool,
}

impl Said {
    pub(in crate::http) fn by(headers: &HeaderMap, targets: &[String]) -> Self {
        let targets: Vec<HeaderName> =
            targets.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
        match targeted::directives(headers, &targets) {
            Some(directives) => Self { directives, targeted: true },
            None => Self { directives: Directives::of(headers), targeted: false },
        }
    }
}

/// The age of a response when it came, and the date that it bears then.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Arrival {
    pub(in crate::http) at: Date,
    /// How long the handler took (`response_delay`).
    pub(in crate::http) delay: Duration,
}

/// How a response ages, or why it is not worth storing.
pub(in crate::http) fn lifetime(
    headers: &HeaderMap,
    said: &Said,
    rules: &HttpRules,
    arrival: Arrival,
) -> Result<Lifetime, RefusalReason> {
    let directives = &said.directives;
    let date = Date::of(headers, header::DATE);
    let explicit = directives
        .lifetime()
        .or_else(|| if said.targeted { None } else { by_expires(headers, date.unwrap_or(arrival.at)) });
    let validated = headers.contains_key(header::ETAG) || Date::of(headers, header::LAST_MODIFIED).is_some();
    let lifetime = match explicit {
        Some(lifetime) => lifetime,
        // It says that it is to be asked for each time, so it can be kept for that.
        None if directives.no_cache && validated => Duration::ZERO,
        None if directives.no_cache => return Err(RefusalReason::NoCache),
        None => return Err(RefusalReason::NoFreshness),
    };
    // In whole milliseconds from the start, so that age and freshness add up to what the response says when they are stored.
    let initial_age = Millis::from(initial_age(headers, date, arrival)).duration();
    let stale_already = initial_age.saturating_sub(lifetime);
    let forbidden = directives.forbid_stale(rules.s_maxage_allows_stale);
    let window = |said: Option<Seconds>| match said {
        Some(Seconds::Of(window)) if !forbidden => window.min(rules.longest_stale).saturating_sub(stale_already),
        _ => Duration::ZERO,
    };
    let mut life = Lifetime {
        initial_age: initial_age.into(),
        fresh_for: if directives.no_cache { Millis(0) } else { lifetime.saturating_sub(initial_age).into() },
        stale_while_revalidate: window(directives.stale_while_revalidate).into(),
        stale_if_error: window(directives.stale_if_error).into(),
        keep: rules.keep.into(),
        cost: Millis(0),
        must_revalidate: forbidden,
    };
    if !validated && life.fresh_for.is_zero() {
        life.keep = Millis(0);
        if life.total().is_zero() {
            return Err(if directives.no_cache { RefusalReason::NoCache } else { RefusalReason::Stale });
        }
    }
    Ok(life)
}

/// Whether `Expires` says that it has passed.
pub(in crate::http) fn has_expired(headers: &HeaderMap, arrival: Arrival) -> bool {
    let date = Date::of(headers, header::DATE).unwrap_or(arrival.at);
    by_expires(headers, date).is_some_and(|lifetime| lifetime.is_zero())
}

/// By `Expires`; one that is no date has passed (RFC 9111 section 5.3).
fn by_expires(headers: &HeaderMap, date: Date) -> Option<Duration> {
    headers.get(header::EXPIRES)?;
    Some(Date::of(headers, header::EXPIRES).map_or(Duration::ZERO, |expires| expires.since(date)))
}

/// RFC 9111 section 4.2.3. The first `Age` counts; one that is no number is ignored (section 5.1).
fn initial_age(headers: &HeaderMap, date: Option<Date>, arrival: Arrival) -> Duration {
    let said = list::members(headers, header::AGE).next().and_then(seconds).unwrap_or_default();
    let apparent = date.map_or(Duration::ZERO, |date| arrival.at.since(date));
    // A date has no fractions of a second: what is younger than one is as old as nothing.
    let apparent = Duration::from_secs(apparent.as_secs());
    apparent.max(said + arrival.delay)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn of(lines: &[(&'static str, &'static str)]) -> Result<Lifetime, RefusalReason> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let rules = HttpRules { keep: Duration::from_secs(5), ..HttpRules::default() };
        let arrival = Arrival { at: Date::parse(NOW.as_bytes()).unwrap(), delay: Duration::from_millis(250) };
        lifetime(&headers, &Said::by(&headers, &rules.targets), &rules, arrival)
    }

    fn fresh_for(lines: &[(&'static str, &'static str)]) -> Result<f64, RefusalReason> {
        of(lines).map(|life| life.fresh_for.duration().as_secs_f64())
    }

    #[test]
    fn freshness_is_lifetime_less_age() {
        assert_eq!(fresh_for(&[("cache-control", "max-age=10")]), Ok(9.75));
        assert_eq!(fresh_for(&[("cache-control", "max-age=10"), ("age", "4")]), Ok(5.75));
        assert_eq!(fresh_for(&[("cache-control", "max-age=10"), ("age", "4, 9")]), Ok(5.75));
        assert_eq!(fresh_for(&[("cache-control", "max-age=10"), ("age", "4"), ("age", "9")]), Ok(5.75));
        assert_eq!(fresh_for(&[("cache-control", "max-age=10"), ("age", "4;x=1")]), Ok(9.75));
        let older = ("date", "Sun, 06 Nov 1994 08:49:35 GMT");
        assert_eq!(fresh_for(&[("cache-control", "max-age=10"), older]), Ok(8.0));
        assert_eq!(fresh_for(&[("expires", "Sun, 06 Nov 1994 08:49:45 GMT"), older]), Ok(8.0));
        assert_eq!(fresh_for(&[("expires", "Sun, 06 Nov 1994 08:49:47 GMT")]), Ok(9.75));
        assert_eq!(fresh_for(&[("expires", "0"), ("cache-control", "max-age=10")]), Ok(9.75));
        assert_eq!(fresh_for(&[("app-cache-control", "max-age=10"), ("cache-control", "no-store")]), Ok(9.75));
    }

    #[test]
    fn what_is_not_fresh_is_kept_only_if_it_can_be_revalidated() {
        assert_eq!(fresh_for(&[]), Err(RefusalReason::NoFreshness));
        assert_eq!(fresh_for(&[("last-modified", NOW)]), Err(RefusalReason::NoFreshness), "nobody guesses");
        assert_eq!(fresh_for(&[("expires", "0")]), Err(RefusalReason::Stale));
        assert_eq!(fresh_for(&[("cache-control", "no-cache")]), Err(RefusalReason::NoCache));
        assert_eq!(fresh_for(&[("app-cache-control", "public"), ("expires", NOW)]), Err(RefusalReason::NoFreshness));
        let life = of(&[("cache-control", "max-age=10, no-cache"), ("etag", "\"a\"")]).unwrap();
        assert_eq!((life.fresh_for, life.total()), (Millis(0), Duration::from_secs(5)));
    }

    #[test]
    fn windows_are_granted_unless_forbidden() {
        let windows = |cache_control| {
            let life = of(&[("cache-control", cache_control)]).unwrap();
            (life.stale_while_revalidate.0 / 1_000, life.stale_if_error.0 / 1_000)
        };
        assert_eq!(windows("max-age=1, stale-while-revalidate=7, stale-if-error=9"), (7, 9));
        assert_eq!(windows("max-age=1, stale-if-error=9999999"), (0, 24 * 3_600));
        assert_eq!(windows("max-age=1, stale-if-error=x"), (0, 0));
        for forbidding in ["must-revalidate", "proxy-revalidate", "s-maxage=1"] {
            let text: &'static str = format!("max-age=1, stale-while-revalidate=7, {forbidding}").leak();
            assert_eq!(windows(text), (0, 0), "{forbidding}");
        }
        let life = of(&[("cache-control", "max-age=1, stale-if-error=9"), ("age", "4")]).unwrap();
        assert_eq!(life.stale_if_error, Millis(9_000 - 3_250), "some of the window has passed");
    }
}
