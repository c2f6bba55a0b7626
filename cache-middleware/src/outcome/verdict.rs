//! An outcome in the three words of metrics and hooks: hit, stale, miss or bypass; from which tier; and why.

use super::{BypassReason, Forward, Outcome, Tier, TimeLimit};

/// What became of a request, as metrics tell it: three words, of which there are as many combinations as [`Verdict::ALL`] has.
///
/// At work: [`Outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Verdict {
    /// `hit`, `stale`, `miss` or `bypass`.
    pub outcome: &'static str,
    /// `l1` or `l2` if it was answered from an entry, `none` otherwise.
    pub tier: &'static str,
    /// Why, in the words of `Cache-Status`.
    pub reason: &'static str,
}

impl Verdict {
    const fn new(outcome: &'static str, tier: &'static str, reason: &'static str) -> Self {
        Self { outcome, tier, reason }
    }

    /// How many there are.
    pub(crate) const COUNT: usize = FIRST_BYPASS + BypassReason::ALL.len();

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = all();

    /// Whether the answer was a stored one.
    #[must_use]
    pub fn is_from_cache(&self) -> bool {
        matches!(self.outcome, "hit" | "stale")
    }
}

/// Those that are no bypass with a reason of its own, in the order of [`Outcome::place`].
const BEFORE_BYPASS: [Verdict; FIRST_BYPASS] = [
    Verdict::new("hit", "l1", "fresh"),
    Verdict::new("hit", "l2", "fresh"),
    Verdict::new("stale", "l2", "allowed"),
    Verdict::new("stale", "l2", "stale-if-error"),
    Verdict::new("stale", "l2", "back-off"),
    Verdict::new("stale", "l2", TimeLimit::Soft.token()),
    Verdict::new("stale", "l2", TimeLimit::Hard.token()),
    Verdict::new("miss", "none", Forward::UriMiss.token()),
    Verdict::new("miss", "none", Forward::VaryMiss.token()),
    Verdict::new("miss", "none", Forward::Stale.token()),
    Verdict::new("miss", "none", Forward::Request.token()),
    Verdict::new("miss", "none", "revalidated"),
    Verdict::new("miss", "none", "collapsed"),
    Verdict::new("miss", "none", TimeLimit::Hard.token()),
    Verdict::new("miss", "none", "only-if-cached"),
    Verdict::new("bypass", "none", Forward::Method.token()),
];
const FIRST_BYPASS: usize = 16;

const fn all() -> [Verdict; Verdict::COUNT] {
    let mut all = [BEFORE_BYPASS[0]; Verdict::COUNT];
    let mut place = 0;
    while place < Verdict::COUNT {
        all[place] = if place < FIRST_BYPASS {
            BEFORE_BYPASS[place]
        } else {
            Verdict::new("bypass", "none", BypassReason::ALL[place - FIRST_BYPASS].token())
        };
        place += 1;
    }
    all
}

impl Outcome {
    /// The three words for it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::ALL[self.place()]
    }

    /// Its place in [`Verdict::ALL`].
    pub(crate) fn place(&self) -> usize {
        let missed = |forward: &Forward| match forward {
            Forward::UriMiss => 7,
            Forward::VaryMiss => 8,
            Forward::Stale => 9,
            Forward::Request => 10,
            Forward::Method => 15,
            // A look that no store answered.
            Forward::Bypass => FIRST_BYPASS + BypassReason::StoreUnavailable as usize,
        };
        match self {
            Self::Hit { ttl, tier: Tier::L1 } if *ttl >= 0 => 0,
            Self::Hit { ttl, .. } if *ttl >= 0 => 1,
            Self::Hit { .. } => 2,
            Self::StaleIfError { .. } => 3,
            Self::BackedOff { .. } => 4,
            Self::StaleIfSlow { limit: TimeLimit::Soft } => 5,
            Self::StaleIfSlow { limit: TimeLimit::Hard } => 6,
            Self::Stored { forward } | Self::Absent { forward } | Self::Refused { forward, .. } => missed(forward),
            Self::Revalidated { .. } => 11,
            Self::Collapsed { .. } => 12,
            Self::TimedOut { .. } => 13,
            Self::OnlyIfCached => 14,
            Self::Method => 15,
            Self::Bypass { reason } => FIRST_BYPASS + *reason as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::RefusalReason;

    #[test]
    fn p11_every_outcome_has_its_words_and_no_two_share_a_place() {
        let uri_miss = Forward::UriMiss;
        for (outcome, words) in [
            (Outcome::Hit { ttl: 0, tier: Tier::L1 }, ("hit", "l1", "fresh")),
            (Outcome::Hit { ttl: 9, tier: Tier::L2 }, ("hit", "l2", "fresh")),
            (Outcome::Hit { ttl: -1, tier: Tier::L2 }, ("stale", "l2", "allowed")),
            (Outcome::StaleIfError { status: None }, ("stale", "l2", "stale-if-error")),
            (Outcome::BackedOff { ttl: -1 }, ("stale", "l2", "back-off")),
            (Outcome::StaleIfSlow { limit: TimeLimit::Soft }, ("stale", "l2", "soft-timeout")),
            (Outcome::StaleIfSlow { limit: TimeLimit::Hard }, ("stale", "l2", "hard-timeout")),
            (Outcome::Stored { forward: uri_miss }, ("miss", "none", "uri-miss")),
            (Outcome::Stored { forward: Forward::VaryMiss }, ("miss", "none", "vary-miss")),
            (Outcome::Stored { forward: Forward::Stale }, ("miss", "none", "stale")),
            (Outcome::Stored { forward: Forward::Request }, ("miss", "none", "request")),
            (Outcome::Refused { forward: uri_miss, reason: RefusalReason::Cleared }, ("miss", "none", "uri-miss")),
            (
                Outcome::Refused { forward: Forward::Bypass, reason: RefusalReason::StoreUnavailable },
                ("bypass", "none", "store-unavailable"),
            ),
            (Outcome::Revalidated { forward: Forward::Stale, refused: None }, ("miss", "none", "revalidated")),
            (Outcome::Collapsed { forward: uri_miss }, ("miss", "none", "collapsed")),
            (Outcome::TimedOut { forward: uri_miss }, ("miss", "none", "hard-timeout")),
            (Outcome::OnlyIfCached, ("miss", "none", "only-if-cached")),
            (Outcome::Method, ("bypass", "none", "method")),
            (Outcome::Bypass { reason: BypassReason::Condition }, ("bypass", "none", "condition")),
            (Outcome::Bypass { reason: BypassReason::StoreUnavailable }, ("bypass", "none", "store-unavailable")),
        ] {
            let Verdict { outcome: kind, tier, reason } = outcome.verdict();
            assert_eq!((kind, tier, reason), words, "{outcome:?}");
        }
        let distinct: std::collections::HashSet<Verdict> = Verdict::ALL.into_iter().collect();
        assert_eq!(distinct.len(), Verdict::COUNT);
    }
}
