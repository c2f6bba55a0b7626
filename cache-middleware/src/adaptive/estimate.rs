//! The estimates, and the TTL that follows from them.
//!
//! A key is asked for λ times and changes μ times in a second, without anybody telling; its handler takes C. With a TTL of T the
//! handler runs λ / (1 + λT) times in a second, and of the answers between two runs μT/2 are out of date, as long as that is
//! small. If one of those weighs as much as a handler that runs for S, the least of C·λ/(1 + λT) + S·λ·μT/2 is at
//!
//! ```text
//! T = (√(2·C·λ / (S·μ)) − 1) / λ
//! ```
//!
//! So T is longer for what costs more and changes less, and shorter for what is asked for more: there each second of T
//! wrongs more callers, and a run is shared by more.
//!
//! μ cannot be counted: between two fills it is seen whether something changed, and not how often. The estimator is that of Cho
//! and Garcia-Molina (Estimating Frequency of Change, ACM TOIT 3(3), 2003), `-ln((n - x + 0.5) / (n + 0.5)) / t` for x changes
//! in n looks, each after t; with 1 in the place of the second 0.5, so that a few looks that saw nothing do not prove that
//! nothing ever changes.

use std::time::Duration;

/// How much of what was known before counts beside something new, for what follows the traffic of the moment.
const KEPT: f64 = 0.85;

/// A handler that takes no time that can be measured takes this.
const LEAST_COST: Duration = Duration::from_millis(1);

/// So many changes among the last few looks are no chance: then those looks count alone.
const NO_CHANCE: f64 = 1.5;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Estimate {
    /// Requests, and the seconds in which they came.
    asked: f64,
    asked_in: f64,
    /// The last few looks, and those of a long time. A key that is looked at every second and never changes is known by the
    /// long time; one that has begun to change is known by the last few.
    recent: Looks,
    long: Looks,
    /// Seconds of a handler.
    cost: Option<f64>,
}

/// Looks, how many saw a change, and the seconds between them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Looks {
    count: f64,
    changes: f64,
    over: f64,
}

impl Looks {
    fn and(self, kept: f64, changed: bool, after: f64) -> Self {
        Self {
            count: self.count * kept + 1.0,
            changes: self.changes * kept + f64::from(u8::from(changed)),
            over: self.over * kept + after,
        }
    }

    /// Changes in a second; 0 as long as nobody has looked.
    fn rate(&self) -> f64 {
        if self.over <= 0.0 {
            return 0.0;
        }
        let unchanged = (self.count - self.changes).max(0.0);
        -((unchanged + 0.5) / (self.count + 1.0)).ln() * self.count / self.over
    }
}

impl Estimate {
    pub(super) fn costing(self, cost: Duration) -> Self {
        let cost = cost.max(LEAST_COST).as_secs_f64();
        Self { cost: Some(self.cost.map_or(cost, |before| before * KEPT + cost * (1.0 - KEPT))), ..self }
    }

    pub(super) fn asked(self, times: u64, within: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let times = times as f64;
        Self { asked: self.asked * KEPT + times, asked_in: self.asked_in * KEPT + within.as_secs_f64(), ..self }
    }

    /// Somebody has looked so long after the last look. What was seen is forgotten over the memory.
    pub(super) fn observed(self, changed: bool, after: Duration, memory: Duration) -> Self {
        let after = after.as_secs_f64();
        let kept = (-after / memory.as_secs_f64()).exp();
        Self { recent: self.recent.and(KEPT, changed, after), long: self.long.and(kept, changed, after), ..self }
    }

    pub(super) fn asked_per_second(&self) -> f64 {
        if self.asked_in > 0.0 { self.asked / self.asked_in } else { 0.0 }
    }

    /// 0 as long as nobody has looked.
    pub(super) fn changes_per_second(&self) -> f64 {
        if self.recent.changes >= NO_CHANCE { self.recent.rate() } else { self.long.rate() }
    }

    pub(super) fn cost(&self) -> Duration {
        Duration::from_secs_f64(self.cost.unwrap_or_default())
    }

    /// The best TTL; `None` as long as there is nothing to know it from.
    pub(super) fn best(&self, penalty: Duration) -> Option<Duration> {
        let (asked, changes) = (self.asked_per_second(), self.changes_per_second());
        if asked <= 0.0 || changes <= 0.0 || penalty.is_zero() {
            return None;
        }
        let best = ((2.0 * self.cost().as_secs_f64() * asked / (penalty.as_secs_f64() * changes)).sqrt() - 1.0) / asked;
        // Beyond any bound.
        Some(Duration::try_from_secs_f64(best.max(0.0)).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of a source that changes at a rate, looked at in intervals.
    fn estimated(rate: f64, interval: f64) -> f64 {
        let mut estimate = Estimate::default();
        let (mut sum, mut rounds) = (0.0, 0.0);
        for round in 0..4_000 {
            let changed = crate::chance::part() > (-rate * interval).exp();
            estimate = estimate.observed(changed, Duration::from_secs_f64(interval), SECOND * 600);
            if round > 50 {
                sum += estimate.changes_per_second();
                rounds += 1.0;
            }
        }
        sum / rounds
    }

    #[test]
    fn the_rate_of_change_is_found() {
        for (rate, interval) in [(0.02, 10.0), (0.1, 10.0), (0.5, 1.0)] {
            let found = estimated(rate, interval);
            assert!((rate * 0.7..rate * 1.8).contains(&found), "{found} instead of {rate}");
        }
    }

    /// The formula is the least of what it is the least of.
    #[test]
    fn the_best_ttl_costs_least() {
        let estimate =
            Estimate::default().costing(SECOND / 50).asked(300, SECOND * 100).observed(true, SECOND * 60, SECOND * 600);
        let penalty = SECOND / 100;
        let best = estimate.best(penalty).unwrap().as_secs_f64();
        let (asked, changes) = (estimate.asked_per_second(), estimate.changes_per_second());
        let costs = |ttl: f64| 0.02 * asked / (1.0 + asked * ttl) + 0.01 * asked * changes * ttl / 2.0;
        assert!(best > 0.0 && costs(best) < costs(best * 1.1) && costs(best) < costs(best * 0.9), "{best}");
    }

    #[test]
    fn nothing_follows_from_nothing() {
        assert_eq!(Estimate::default().best(SECOND), None);
        assert_eq!(Estimate::default().costing(SECOND).asked(5, SECOND).best(SECOND), None, "nobody has looked");
        let rarely =
            Estimate::default().costing(SECOND / 100).asked(1, SECOND * 1_000).observed(true, SECOND, SECOND * 600);
        assert_eq!(rarely.best(SECOND), Some(Duration::ZERO), "not worth keeping");
    }
}
