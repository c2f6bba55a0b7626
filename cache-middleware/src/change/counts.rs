//! What a consumer has done.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::{Measured, Sample, metric};

/// What a consumer has heard, and what became of it, on all its channels.
///
/// At work: [`crate::ChangeConsumer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ConsumerProgress {
    /// Messages that were given to the caches of their data type.
    pub applied: u64,
    /// Of these, messages that were not counted in their channel, because another program published them.
    pub hints: u64,
    /// Of these, messages that did not come by themselves, and were read from what is kept.
    pub caught_up: u64,
    /// Messages that had been heard already.
    pub duplicates: u64,
    /// Messages of a data type that no cache is registered for, of tenants of whom another type is followed.
    pub unknown: u64,
    /// Messages that are none.
    pub malformed: u64,
    /// Gaps that what is kept does not fill: caches were loaded, or cleared, anew.
    pub gaps: u64,
    /// Messages that were too many at once: those that were counted are read later from what is kept; for the others caches are loaded
    /// anew, and everything of the tenant is cleared.
    pub overflowed: u64,
}

macro_rules! counts {
    ($($name:ident),+) => {
        #[derive(Debug, Default)]
        pub(super) struct Counts { $(pub(super) $name: AtomicU64,)+ }

        impl Counts {
            pub(super) fn progress(&self) -> ConsumerProgress {
                ConsumerProgress { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counts!(applied, hints, caught_up, duplicates, unknown, malformed, gaps, overflowed);

impl Measured for Counts {
    fn measure(&self, samples: &mut Vec<Sample>) {
        let ConsumerProgress { applied, duplicates, unknown, malformed, gaps, overflowed, .. } = self.progress();
        for (result, count) in [
            ("applied", applied),
            ("duplicate", duplicates),
            ("unknown", unknown),
            ("malformed", malformed),
            ("gap", gaps),
            ("overflowed", overflowed),
        ] {
            samples.push(Sample::counter(&metric::CHANGES, [result.into()], count));
        }
    }
}

/// One more of it; gives how many there are.
pub(crate) fn count(of: &AtomicU64) -> u64 {
    of.fetch_add(1, Ordering::Relaxed) + 1
}

/// Whether the so-manieth of something is told in the log: the first, the second, the fourth, and so on.
pub(crate) fn is_told(number: u64) -> bool {
    number.is_power_of_two()
}
