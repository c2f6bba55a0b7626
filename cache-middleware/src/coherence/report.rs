//! What coherence has to tell of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Coherence;
use super::view::Heard;
use crate::telemetry::{Distribution, Histogram};

#[derive(Debug)]
pub(super) struct Counters {
    signals: AtomicU64,
    malformed: AtomicU64,
    voided: AtomicU64,
    proofs: AtomicU64,
    delays: Histogram,
    longest_us: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            signals: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            voided: AtomicU64::new(0),
            proofs: AtomicU64::new(0),
            delays: Histogram::of_others(),
            longest_us: AtomicU64::new(0),
        }
    }
}

/// How coherent the L1 of a node has been; from [`crate::CacheManager::coherence`].
///
/// ```
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// // With Redis: what this node holds, and how often it had to forget all of it.
/// if let Some(report) = cache.coherence() {
///     println!("{} entries, voided {} times", report.l1_entries, report.voided);
/// }
/// assert!(cache.coherence().is_none(), "the embedded store has no L1");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoherenceReport {
    /// The mode of this node.
    pub mode: Coherence,
    /// How many partitions may be served from L1 at this moment, and how many there are.
    pub open: usize,
    /// How many partitions the store has.
    pub partitions: usize,
    /// Signals of clears that were heard, this node's own included.
    pub signals: u64,
    /// Messages that were no signals; each closed L1.
    pub malformed: u64,
    /// How often L1 was emptied because a signal was missing, the store began anew, or a connection was opened.
    pub voided: u64,
    /// Proofs that nothing was missed.
    pub proofs: u64,
    /// The delay from the acknowledgement of a clear to its effect here that half of the signals did not exceed, an eighth too
    /// long at most. Measured by the time of Redis, which is known to half a round trip.
    pub delay_median: Duration,
    /// The delay that 99 of 100 signals did not exceed, likewise.
    pub delay_p99: Duration,
    /// The longest delay.
    pub delay_longest: Duration,
    /// Entries in L1, those that were cleared and not replaced yet included.
    pub l1_entries: usize,
    /// The bytes they count for.
    pub l1_bytes: u64,
    /// Requests that were answered from L1.
    pub l1_hits: u64,
    /// Entries that left L1 for want of room.
    pub l1_evictions: u64,
}

impl CoherenceReport {
    /// The part of the partitions that may be served from L1 at this moment.
    #[must_use]
    pub fn open_ratio(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "there are some thousands of partitions at most")]
        let ratio = self.open as f64 / self.partitions.max(1) as f64;
        ratio
    }
}

impl Counters {
    pub(super) fn signal(&self, heard: Heard, late: Duration) {
        if heard == Heard::Ignored {
            return;
        }
        self.signals.fetch_add(1, Ordering::Relaxed);
        self.voided.fetch_add(u64::from(heard == Heard::Voided), Ordering::Relaxed);
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.delays.record(late);
        self.longest_us.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
        self.voided.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn proven(&self, heard: Heard) {
        self.proofs.fetch_add(u64::from(heard != Heard::Ignored), Ordering::Relaxed);
        self.voided.fetch_add(u64::from(heard == Heard::Voided), Ordering::Relaxed);
    }

    /// From the acknowledgement of clears to their effect here.
    pub(super) fn delays(&self) -> Distribution {
        self.delays.read()
    }

    pub(super) fn report(&self, mode: Coherence, open: usize, partitions: usize) -> CoherenceReport {
        let delays = self.delays.read();
        let quantile = |part| Duration::from_secs_f64(delays.quantile(part).unwrap_or_default());
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CoherenceReport {
            mode,
            open,
            partitions,
            signals: read(&self.signals),
            malformed: read(&self.malformed),
            voided: read(&self.voided),
            proofs: read(&self.proofs),
            delay_median: quantile(0.5),
            delay_p99: quantile(0.99),
            delay_longest: Duration::from_micros(read(&self.longest_us)),
            l1_entries: 0,
            l1_bytes: 0,
            l1_hits: 0,
            l1_evictions: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_told_by_their_quantiles() {
        let counters = Counters::default();
        assert_eq!(counters.report(Coherence::default(), 0, 1).delay_median, Duration::ZERO);
        for micros in [3, 3, 3, 900] {
            counters.signal(Heard::InOrder, Duration::from_micros(micros));
        }
        let report = counters.report(Coherence::default(), 1, 1);
        let near = |delay: Duration, micros: u64| {
            let exact = Duration::from_micros(micros);
            delay >= exact && delay <= exact * 9 / 8
        };
        assert!(near(report.delay_median, 3) && near(report.delay_p99, 900), "{report:?}");
        assert_eq!(report.delay_longest, Duration::from_micros(900));
        assert_eq!(report.signals, 4);
    }
}
