//! How an entry ages beyond its TTL, when it is made anew before its end, and how long anybody waits for that.

use std::time::Duration;

use super::AdaptiveTtl;
use crate::chance;

/// The windows of a policy, and how its entries are refreshed. The default has none: an entry is fresh for its TTL, and
/// then gone.
///
/// At work: [`super::RoutePolicy`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Windows {
    /// How long after its TTL an entry is served while a refresh is under way (RFC 5861 section 3).
    pub stale: Duration,
    /// How long after its TTL an entry is served if the handler fails (RFC 5861 section 4).
    pub stale_if_error: Duration,
    /// How long an answer is fresh that says that there is nothing, instead of the TTL; such answers are stored then.
    pub negative_ttl: Option<Duration>,
    /// By how much of it a TTL is shortened at most, by chance, so that what was stored at once does not end at once: 0 to
    /// 1.
    pub jitter: f64,
    /// When an entry that is still fresh is made anew.
    pub early_refresh: Option<EarlyRefresh>,
    /// Between what bounds the TTL follows what is learned of a key; it begins as the policy says.
    pub adaptive_ttl: Option<AdaptiveTtl>,
}

impl Windows {
    /// An entry is fresh for its TTL, and then gone.
    pub const DEFAULT: Self = Self {
        stale: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        negative_ttl: None,
        jitter: 0.0,
        early_refresh: None,
        adaptive_ttl: None,
    };
}

impl Default for Windows {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// When an entry that is still fresh is made anew in the background, so that nobody waits for its end.
///
/// ```
/// use cache_middleware::EarlyRefresh;
/// use std::time::Duration;
///
/// let (minute, cost) = (Duration::from_secs(60), Duration::from_secs(1));
/// let early = EarlyRefresh::After(0.8);
/// assert!(!early.is_due(minute, Duration::from_secs(13), cost));
/// assert!(early.is_due(minute, Duration::from_secs(11), cost));
/// // By chance, and never so long before the end of what took a second.
/// assert!(!EarlyRefresh::XFETCH.is_due(minute, Duration::from_secs(50), cost));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EarlyRefresh {
    /// At the first request after this part of its TTL: above 0, below 1.
    After(f64),
    /// By chance, the more likely the nearer its end is and the longer its fill took: XFetch (Vattani, Chierichetti,
    /// Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015). `beta` above 1 refreshes earlier, below 1
    /// later.
    XFetch {
        /// Above 0, at most 100.
        beta: f64,
    },
}

impl EarlyRefresh {
    /// XFetch as its authors found it best.
    pub const XFETCH: Self = Self::XFetch { beta: 1.0 };

    /// Whether an entry is due that is fresh for `fresh_for` in all and for `left` more, and whose fill took `cost`.
    #[must_use]
    pub fn is_due(&self, fresh_for: Duration, left: Duration, cost: Duration) -> bool {
        match self {
            Self::After(part) => left < fresh_for.mul_f64((1.0 - part).clamp(0.0, 1.0)),
            Self::XFetch { beta } => {
                // In seconds, because a frame may say any cost, and a product of durations may panic. Beyond 37 times that the
                // logarithm of no random number goes.
                let (left, longest) = (left.as_secs_f64(), cost.as_secs_f64() * beta.clamp(0.0, LARGEST_BETA));
                left < longest * 37.0 && left < longest * -chance::part().ln()
            }
        }
    }

    fn problem(&self) -> Option<String> {
        let (fits, accepted) = match self {
            Self::After(part) => (*part > 0.0 && *part < 1.0, "a part of the TTL, above 0 and below 1, such as 0.8"),
            Self::XFetch { beta } => {
                (*beta > 0.0 && *beta <= LARGEST_BETA, "an XFetch with a beta above 0, at most 100")
            }
        };
        (!fits).then(|| format!("early_refresh is {accepted}"))
    }
}

impl From<f64> for EarlyRefresh {
    fn from(part: f64) -> Self {
        Self::After(part)
    }
}

const LARGEST_BETA: f64 = 100.0;

impl Windows {
    /// What of it contradicts itself.
    pub(crate) fn problem(&self) -> Option<String> {
        if !(0.0..=1.0).contains(&self.jitter) {
            return Some("jitter is a part of the TTL from 0 to 1, such as 0.1".to_owned());
        }
        self.early_refresh.and_then(|early| early.problem())
    }

    /// A TTL as an entry gets it: not less than the millisecond in which entries count, because what is fresh for no time at all is nobody
    /// else's answer.
    pub(crate) fn jittered(&self, ttl: Duration) -> Duration {
        let jittered = if self.jitter > 0.0 { ttl.mul_f64(1.0 - self.jitter.min(1.0) * chance::part()) } else { ttl };
        if ttl.is_zero() { ttl } else { jittered.max(Duration::from_millis(1)) }
    }

    /// The statuses that are stored: with a TTL for answers that say that there is nothing, those as well.
    pub(crate) fn statuses(&self, statuses: &[u16]) -> Vec<u16> {
        let named = statuses.iter().any(|status| is_negative(*status));
        let negative: &[u16] = if self.negative_ttl.is_some() && !named { &NEGATIVE } else { &[] };
        statuses.iter().chain(negative).copied().collect()
    }
}

/// Statuses that say that there is nothing.
const NEGATIVE: [u16; 2] = [404, 410];

/// Whether a status says that there is nothing to be had.
pub(crate) const fn is_negative(status: u16) -> bool {
    status >= 400
}

/// How long requests wait, from the moment it is known that the handler has to run.
///
/// At work: [`super::RoutePolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeLimits {
    /// After so long a stale entry is served, if there is one within its windows.
    pub soft: Option<Duration>,
    /// After so long a stale entry is served, or a 504.
    pub hard: Option<Duration>,
}

impl TimeLimits {
    /// None.
    pub const DEFAULT: Self = Self { soft: None, hard: None };

    /// What of it contradicts itself.
    pub(crate) fn problem(&self) -> Option<String> {
        match (self.soft, self.hard) {
            (Some(soft), Some(hard)) if soft >= hard => {
                Some(format!("soft_timeout ({soft:?}) is not shorter than hard_timeout ({hard:?})"))
            }
            _ => None,
        }
    }

    pub(crate) fn any(&self) -> bool {
        self.soft.is_some() || self.hard.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_part_of_the_ttl_is_exact() {
        let early = EarlyRefresh::After(0.8);
        assert!(!early.is_due(MINUTE, Duration::from_secs(12), Duration::ZERO));
        assert!(early.is_due(MINUTE, Duration::from_millis(11_999), Duration::ZERO));
    }

    #[test]
    fn p10_no_cost_that_a_frame_may_say_panics() {
        for _ in 0..200_000 {
            let _ = EarlyRefresh::XFetch { beta: 100.0 }.is_due(MINUTE, Duration::MAX, Duration::from_millis(u64::MAX));
        }
    }

    #[test]
    fn p6_no_chance_makes_a_ttl_nothing() {
        let windows = Windows { jitter: 1.0, ..Windows::DEFAULT };
        for ttl in [1, 2, 3].map(Duration::from_millis) {
            assert!((0..1_000).all(|_| windows.jittered(ttl) >= Duration::from_millis(1)));
        }
        assert_eq!(windows.jittered(Duration::ZERO), Duration::ZERO);
        assert_eq!(Windows::DEFAULT.jittered(Duration::from_micros(500)), Duration::from_millis(1));
    }

    #[test]
    fn xfetch_follows_its_distribution() {
        // With a cost of 1 s the chance at 2 s before the end is e^-2, and at 5 s e^-5.
        let drawn = |left| {
            let due = |_: &u32| EarlyRefresh::XFETCH.is_due(MINUTE, Duration::from_secs(left), Duration::from_secs(1));
            f64::from(u32::try_from((0..40_000).filter(due).count()).unwrap()) / 40_000.0
        };
        for (left, expected) in [(1, 0.367_9), (2, 0.135_3), (5, 0.006_7)] {
            let part = drawn(left);
            assert!((part - expected).abs() < 0.015, "{left} s before the end: {part}");
        }
        assert!(!EarlyRefresh::XFETCH.is_due(MINUTE, Duration::from_secs(40), Duration::from_secs(1)));
    }

    #[test]
    fn jitter_shortens_and_never_lengthens() {
        let windows = Windows { jitter: 0.2, ..Windows::default() };
        let drawn: Vec<Duration> = (0..1_000).map(|_| windows.jittered(MINUTE)).collect();
        assert!(drawn.iter().all(|ttl| (MINUTE * 4 / 5..=MINUTE).contains(ttl)));
        assert!(drawn.iter().max() > drawn.iter().min());
        assert_eq!(Windows::default().jittered(MINUTE), MINUTE);
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        for (windows, expected) in [
            (Windows { jitter: 1.5, ..Windows::default() }, "jitter"),
            (Windows { jitter: f64::NAN, ..Windows::default() }, "jitter"),
            (Windows { early_refresh: Some(EarlyRefresh::After(1.0)), ..Windows::default() }, "early_refresh"),
            (Windows { early_refresh: Some(EarlyRefresh::XFetch { beta: 0.0 }), ..Windows::default() }, "XFetch"),
        ] {
            assert!(windows.problem().unwrap().contains(expected));
        }
        let limits = TimeLimits { soft: Some(MINUTE), hard: Some(MINUTE) };
        assert!(limits.problem().unwrap().contains("soft_timeout"));
    }
}
