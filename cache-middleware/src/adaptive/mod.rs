//! What is learned of keys whose TTLs adapt: how often they are asked for, what they cost, how often they change.

mod estimate;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;

use self::estimate::Estimate;
use crate::policy::AdaptiveTtl;

/// How many keys are remembered; of others nothing is known, and they have the TTL of their policy.
const MOST: usize = 16_384;

/// Over how many of the longest TTLs it is forgotten how often a key changed.
const MEMORY: u32 = 20;

/// What is known of the keys of this node.
#[derive(Debug)]
pub(crate) struct Learned {
    records: Cache<Arc<str>, Arc<Record>>,
    /// What one answer that is out of date weighs, as time of a handler.
    penalty: Duration,
}

#[derive(Debug, Default)]
struct Record {
    asked: AtomicU64,
    known: Mutex<Option<Known>>,
}

/// What was known at the last fill.
#[derive(Debug, Clone)]
struct Known {
    at_ms: u64,
    asked: u64,
    sum: [u8; 8],
    ttl: Duration,
    estimate: Estimate,
}

/// A fill, as far as it teaches anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lesson {
    pub(crate) at_ms: u64,
    /// Of what was stored.
    pub(crate) sum: [u8; 8],
    /// How long the handler took.
    pub(crate) cost: Duration,
    /// Whether the entry that it follows was there: then no clear came between.
    pub(crate) follows: bool,
}

/// The TTL that a key has now, and why.
///
/// At work: [`crate::AdaptiveTtl`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdaptedTtl {
    /// The full name of the key.
    pub key: Arc<str>,
    /// The TTL of its last fill.
    pub ttl: Duration,
    /// How often it is asked for on this node, in a second.
    pub asked_per_second: f64,
    /// How often it changes without a clear, in a second.
    pub changes_per_second: f64,
    /// How long its handler takes.
    pub cost: Duration,
}

impl Learned {
    pub(crate) fn new(penalty: Duration) -> Self {
        Self { records: Cache::new(MOST), penalty }
    }

    fn record(&self, name: &Arc<str>) -> Arc<Record> {
        // Of two that begin at once one is forgotten, and with it a count of one.
        self.records.get(name).unwrap_or_else(|| {
            let record = Arc::<Record>::default();
            self.records.insert(name.clone(), record.clone());
            record
        })
    }

    /// Somebody asks for a key.
    pub(crate) fn asked(&self, name: &Arc<str>) {
        self.record(name).asked.fetch_add(1, Ordering::Relaxed);
    }

    /// The TTL of what is stored now: at first that of the policy.
    pub(crate) fn filled(&self, name: &Arc<str>, bounds: AdaptiveTtl, ttl: Duration, lesson: Lesson) -> Duration {
        let record = self.record(name);
        let mut known = record.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: of two fills at once neither may see fewer than the one before.
        let asked = record.asked.load(Ordering::Relaxed);
        let (estimate, next) = match known.take() {
            None => (Estimate::default().costing(lesson.cost), ttl.clamp(bounds.shortest, bounds.longest)),
            Some(before) => {
                let passed = Duration::from_millis(lesson.at_ms.saturating_sub(before.at_ms));
                let mut estimate =
                    before.estimate.costing(lesson.cost).asked(asked.saturating_sub(before.asked), passed);
                // What is gone before its time was cleared: somebody has told of the change, and it teaches nothing about those
                // of which nobody does.
                if lesson.follows || passed >= before.ttl {
                    estimate = estimate.observed(lesson.sum != before.sum, passed, bounds.longest * MEMORY);
                }
                // Nothing is known of a time longer than what was looked at.
                let longest = bounds.longest.min(before.ttl.max(passed).saturating_mul(2)).max(bounds.shortest);
                (estimate, estimate.best(self.penalty).unwrap_or(ttl).clamp(bounds.shortest, longest))
            }
        };
        *known = Some(Known { at_ms: lesson.at_ms, asked, sum: lesson.sum, ttl: next, estimate });
        next
    }

    /// The keys that are asked for most, with what was learned of them.
    pub(crate) fn most_asked(&self, limit: usize) -> Vec<AdaptedTtl> {
        let adapted = |(key, record): (Arc<str>, Arc<Record>)| {
            let known = record.known.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
            Some(AdaptedTtl {
                key,
                ttl: known.ttl,
                asked_per_second: known.estimate.asked_per_second(),
                changes_per_second: known.estimate.changes_per_second(),
                cost: known.estimate.cost(),
            })
        };
        let mut all: Vec<AdaptedTtl> = self.records.iter().filter_map(adapted).collect();
        all.sort_by(|a, b| b.asked_per_second.total_cmp(&a.asked_per_second).then_with(|| a.key.cmp(&b.key)));
        all.truncate(limit);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: AdaptiveTtl = AdaptiveTtl { shortest: Duration::from_secs(1), longest: Duration::from_secs(600) };
    const BEGIN: Duration = Duration::from_secs(30);

    /// The TTL after so many fills, each when the one before has ended, of a key that is asked for a hundred times between them.
    fn after(fills: u64, changes: bool, follows: bool) -> Duration {
        let learned = Learned::new(Duration::from_millis(10));
        let key: Arc<str> = "k".into();
        let (mut at_ms, mut ttl) = (0, BEGIN);
        for fill in 0..fills {
            (0..100).for_each(|_| learned.asked(&key));
            let sum = if changes { fill.to_be_bytes() } else { [7; 8] };
            ttl = learned.filled(&key, BOUNDS, BEGIN, Lesson { at_ms, sum, cost: Duration::from_millis(20), follows });
            assert!((BOUNDS.shortest..=BOUNDS.longest).contains(&ttl), "{ttl:?}");
            at_ms += u64::try_from(ttl.as_millis()).unwrap();
        }
        ttl
    }

    #[test]
    fn what_never_changes_is_kept_longer_and_what_always_does_shorter() {
        assert_eq!(after(1, false, true), BEGIN, "nothing is known yet");
        let (stays, changes) = (after(200, false, true), after(200, true, true));
        assert!(stays > BEGIN * 4, "{stays:?}");
        assert!(changes < BEGIN / 4, "{changes:?}");
        assert!(after(2, false, true) <= BEGIN * 2, "no further than was looked at");
    }

    /// A clear tells of a change: it does not make a TTL shorter. Fails when fills after clears count.
    #[test]
    fn what_a_clear_told_teaches_nothing() {
        let learned = Learned::new(Duration::from_millis(10));
        let key: Arc<str> = "k".into();
        for fill in 0..50_u64 {
            (0..10).for_each(|_| learned.asked(&key));
            // Each a second after the one before: long before its end.
            let lesson = Lesson { at_ms: fill * 900, sum: fill.to_be_bytes(), cost: BEGIN, follows: false };
            assert!(learned.filled(&key, BOUNDS, BEGIN, lesson) >= BEGIN, "{fill}");
        }
        let [adapted] = learned.most_asked(5).try_into().unwrap();
        assert!(adapted.changes_per_second < 1e-9 && adapted.asked_per_second > 10.0, "{adapted:?}");
    }
}
