//! L1: entries in the memory of this node, in front of the store. A hit costs no network.
//!
//! It holds what the store gave or took, for as long as the entry is fresh and the policy allows, and serves it only
//! while [`Views`] proves that no clear was missed. It scans nothing and copies nothing: a clear changes one word per
//! mark, and a hit shares the entry. What was cleared gives way when it is asked for or its place is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::coherence::{Coherence, CoherenceReport, Hold, Views};
use crate::entry::{Entry, Stamp};
use crate::telemetry::{Sample, metric};
use crate::time::Moment;

/// What an entry costs beside what it holds. Measured as resident memory of a million distinct keys
/// (`cargo run --release -p cache-suite --bin l1`).
const ENTRY_OVERHEAD: usize = 480;
/// What each header line costs beside its text.
const LINE_OVERHEAD: usize = 128;
/// What each mark costs beside its text, which is its slot in the table of clears.
const MARK_OVERHEAD: usize = 8;

/// One part of the bytes of L1 in so many goes to the table of clears.
const CLEARS_SHARE: usize = 16;

/// A shard takes at least so many bytes, so that the largest body that policies store by default has room in each.
const SMALLEST_SHARD: usize = 8 << 20;

#[derive(Debug)]
pub(crate) struct L1 {
    held: Cache<Arc<str>, Arc<Held>, ByWeight, DefaultHashBuilder, CountEvictions>,
    views: Arc<Views>,
    hits: AtomicU64,
    evictions: Arc<AtomicU64>,
}

/// An entry that is held.
#[derive(Debug)]
struct Held {
    entry: Arc<Entry>,
    partition: u16,
    hold: Hold,
    /// When its age was 0. Wraps around for an entry that is older than this machine's time is.
    born: Moment,
    /// Until when the entry is fresh, and until when it may be served from here.
    fresh_until: Moment,
    until: Moment,
}

/// An entry from L1.
#[derive(Debug)]
pub(crate) struct Near {
    pub(crate) entry: Arc<Entry>,
    pub(crate) age: Duration,
    pub(crate) fresh_for: Duration,
}

/// What is known of an entry that is to be held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The clock at which no clear covered it.
    pub(crate) at: Stamp,
    pub(crate) age: Duration,
    pub(crate) fresh_for: Duration,
    /// The longest it may be held.
    pub(crate) hold_for: Duration,
}

#[derive(Debug, Clone)]
struct ByWeight;

impl Weighter<Arc<str>, Arc<Held>> for ByWeight {
    fn weight(&self, _: &Arc<str>, held: &Arc<Held>) -> u64 {
        weight_of(&held.entry) as u64
    }
}

/// Counts what leaves for want of room.
#[derive(Debug, Clone)]
struct CountEvictions(Arc<AtomicU64>);

impl Lifecycle<Arc<str>, Arc<Held>> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut Self::RequestState, _: Arc<str>, _: Arc<Held>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An entry that was read from the store keeps the frame that its body is a part of, where its key and its marks are once more.
fn weight_of(entry: &Entry) -> usize {
    let framed = entry.key.len() + entry.marks.bytes();
    let parts = LINE_OVERHEAD * entry.header_lines() + MARK_OVERHEAD * entry.marks.len();
    entry.weight() + framed + parts + ENTRY_OVERHEAD
}

impl L1 {
    /// An L1 of so many bytes, the table of clears included.
    pub(crate) fn new(bytes: usize, partitions: u16, bound: Duration) -> Self {
        let for_clears = bytes / CLEARS_SHARE;
        let capacity = bytes - for_clears;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (capacity / SMALLEST_SHARD).clamp(1, threads * 4);
        let options = OptionsBuilder::new()
            .shards(if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 })
            .estimated_items_capacity(capacity / (2 * ENTRY_OVERHEAD))
            .weight_capacity(capacity as u64)
            .build();
        let evictions = Arc::new(AtomicU64::new(0));
        let (hasher, counter) = (DefaultHashBuilder::default(), CountEvictions(evictions.clone()));
        let held = match options {
            Ok(options) => Cache::with_options(options, ByWeight, hasher, counter),
            // Only missing fields are refused, and none is.
            Err(_) => Cache::with(1_000, capacity as u64, ByWeight, hasher, counter),
        };
        Self { held, views: Arc::new(Views::new(partitions, for_clears, bound)), hits: AtomicU64::new(0), evictions }
    }

    pub(crate) fn views(&self) -> &Arc<Views> {
        &self.views
    }

    /// The entry of a name, if it may be served now.
    pub(crate) fn get(&self, name: &Arc<str>) -> Option<Near> {
        let held = self.held.get(name)?;
        let now = Moment::now();
        if now < held.until && self.views.allows(held.partition, &held.hold, now) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Some(Near {
                entry: held.entry.clone(),
                age: Duration::from_nanos(now.0.wrapping_sub(held.born.0)),
                fresh_for: held.fresh_until.since(now),
            });
        }
        None
    }

    /// Holds an entry, unless a clear that was heard of covers it.
    pub(crate) fn put(&self, partition: u16, entry: &Arc<Entry>, seen: Seen) {
        let hold_for = seen.hold_for.min(seen.fresh_for);
        if hold_for.is_zero() || weight_of(entry) as u64 > self.held.shard_capacity() {
            return;
        }
        // Of more than five hundred years: somebody has made it up.
        let Ok(age) = u64::try_from(seen.age.as_nanos()) else { return };
        let Some(hold) = self.views.admit(partition, seen.at, &entry.marks) else { return };
        let since = Moment::now();
        let held = Held {
            entry: entry.clone(),
            partition,
            hold,
            born: Moment(since.0.wrapping_sub(age)),
            fresh_until: since.after(seen.fresh_for),
            until: since.after(hold_for),
        };
        self.held.insert(entry.key.clone(), Arc::new(held));
    }

    /// How coherent it has been, and how it has been used.
    pub(crate) fn report(&self, mode: Coherence) -> CoherenceReport {
        let mut report = self.views.report(mode);
        report.l1_entries = self.held.len();
        report.l1_bytes = self.held.weight();
        report.l1_hits = self.hits.load(Ordering::Relaxed);
        report.l1_evictions = self.evictions.load(Ordering::Relaxed);
        report
    }

    /// The same, as samples.
    pub(crate) fn measure(&self, mode: Coherence, samples: &mut Vec<Sample>) {
        let report = self.report(mode);
        samples.extend([
            Sample::counter(&metric::SIGNALS, [], report.signals),
            Sample::counter(&metric::MALFORMED_SIGNALS, [], report.malformed),
            Sample::counter(&metric::VOIDED, [], report.voided),
            Sample::histogram(&metric::SIGNAL_DELAYS, [], self.views.delays()),
            Sample::gauge(&metric::COHERENCE, [], report.open_ratio()),
            Sample::number(&metric::L1_BYTES, [], report.l1_bytes),
            Sample::number(&metric::L1_ENTRIES, [], report.l1_entries as u64),
            Sample::counter(&metric::L1_EVICTIONS, [], report.l1_evictions),
        ]);
    }
}
