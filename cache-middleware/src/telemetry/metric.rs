//! Every metric there is: names, labels and meaning. `docs/metrics.md`, the dashboard of `docs/operations/` and its alerts are
//! checked against this list by tests.

use std::borrow::Cow;

use super::histogram::Distribution;

/// What kind of number a metric is.
///
/// At work: [`Sample`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows, from the start of the process on.
    Counter,
    /// It is as it is.
    Gauge,
    /// A distribution of durations.
    Histogram,
}

/// A metric.
///
/// At work: [`Sample`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// The value of a sample.
///
/// At work: [`Sample`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SampleValue {
    /// Of a counter.
    Counter(u64),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram(Distribution),
}

/// A metric with its labels and its value at a moment.
///
/// ```
/// use cache_middleware::CacheManager;
/// use cache_middleware::telemetry::{MetricKind, Traffic};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// cache.get_or_set("menu", &cache.policy("5m")?, async || Ok::<_, std::io::Error>("soup".to_owned())).await?;
/// let samples = cache.samples();
/// let misses = samples.iter().find(|sample| {
///     sample.metric.name == "cache_requests_total" && sample.label("outcome") == Some("miss")
/// });
/// let misses = misses.ok_or("there was one")?;
/// assert_eq!((misses.metric.kind, misses.number_of()), (MetricKind::Counter, 1.0));
/// let traffic = Traffic::of(&samples);
/// assert_eq!((traffic.misses, traffic.fills, traffic.hit_rate()), (1, 1, Some(0.0)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Which metric.
    pub metric: &'static Metric,
    /// The values of its labels, in their order.
    pub labels: Vec<Cow<'static, str>>,
    /// The value.
    pub value: SampleValue,
}

impl Sample {
    pub(crate) fn counter(
        metric: &'static Metric,
        labels: impl IntoIterator<Item = Cow<'static, str>>,
        value: u64,
    ) -> Self {
        Self { metric, labels: labels.into_iter().collect(), value: SampleValue::Counter(value) }
    }

    pub(crate) fn gauge(
        metric: &'static Metric,
        labels: impl IntoIterator<Item = Cow<'static, str>>,
        value: f64,
    ) -> Self {
        Self { metric, labels: labels.into_iter().collect(), value: SampleValue::Gauge(value) }
    }

    /// Takes in another sample of the same labels, of another part of the program: what each has of its own adds up, and of what both
    /// have seen the larger one is told. Distributions are the manager's alone.
    pub(crate) fn take_in(&mut self, other: &Self) {
        let is_own = matches!(*self.metric, WARMING | OUTBOX | CRITICAL_RECORDS);
        match (&mut self.value, &other.value) {
            (SampleValue::Counter(value), SampleValue::Counter(more)) => *value += more,
            (SampleValue::Gauge(value), SampleValue::Gauge(more)) if is_own => *value += more,
            // One that cannot be told is not told by half.
            (SampleValue::Gauge(value), SampleValue::Gauge(more)) if value.is_nan() || more.is_nan() => {
                *value = f64::NAN;
            }
            (SampleValue::Gauge(value), SampleValue::Gauge(more)) => *value = value.max(*more),
            _ => {}
        }
    }

    /// A gauge that counts.
    pub(crate) fn number(
        metric: &'static Metric,
        labels: impl IntoIterator<Item = Cow<'static, str>>,
        value: u64,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
        Self::gauge(metric, labels, value as f64)
    }

    pub(crate) fn histogram(
        metric: &'static Metric,
        labels: impl IntoIterator<Item = Cow<'static, str>>,
        value: Distribution,
    ) -> Self {
        Self { metric, labels: labels.into_iter().collect(), value: SampleValue::Histogram(value) }
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let place = self.metric.labels.iter().position(|label| *label == name)?;
        self.labels.get(place).map(|value| &**value)
    }

    /// The value as one number; of a distribution, how much was counted.
    #[must_use]
    pub fn number_of(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
        match &self.value {
            SampleValue::Counter(value) => *value as f64,
            SampleValue::Gauge(value) => *value,
            SampleValue::Histogram(distribution) => distribution.count() as f64,
        }
    }
}

/// Declares metrics, each a pattern as well, and the list of all of them.
macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(crate) const $constant: Metric = Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// All of them.
        pub static METRICS: &[&Metric] = &[$(&$constant),+];
    };
}

metrics! {
    REQUESTS: Counter "cache_requests_total" ["route", "tenant", "outcome", "tier", "reason"]
        "requests and calls that went through the cache, by what became of them";
    HITS: Histogram "cache_hit_seconds" ["tier"] "from the request to the answer of an entry, of one hit in eight";
    HANDLERS: Histogram "cache_handler_seconds" ["route"] "how long handlers ran whose answers might be stored";
    AGES: Histogram "cache_served_age_seconds" [] "the age of entries that were served";
    FILLS: Counter "cache_fills_total" [] "answers of handlers that were stored";
    REFUSED_FILLS: Counter "cache_fills_refused_total" ["reason"] "answers of handlers that were not stored";
    FLIGHTS: Counter "cache_flights_total" ["role"] "requests that led a flight, or followed one of this node or another";
    FLIGHT_WAITS: Histogram "cache_flight_wait_seconds" [] "how long followers waited";
    CLEARS: Counter "cache_clears_total" ["kind", "state"] "clears, expires and replacements of this node: acknowledged, journaled, or failed; one that was journaled is acknowledged, as a clear, when it is retried";
    CLEARED: Counter "cache_cleared_entries_total" [] "entries that clears of this node covered";
    CLEAR_TIMES: Histogram "cache_clear_seconds" [] "from a clear to its acknowledgement; not of one that was retried";
    JOURNAL: Gauge "cache_journal_length" [] "clears that Redis has not acknowledged yet";
    SIGNALS: Counter "cache_signals_total" [] "clears that this node has heard of, its own included";
    MALFORMED_SIGNALS: Counter "cache_signals_malformed_total" [] "messages in the place of signals that were none";
    SIGNAL_DELAYS: Histogram "cache_signal_delay_seconds" []
        "from the acknowledgement of a clear to its effect on this node; the longest of all nodes is that to the last one";
    COHERENCE: Gauge "cache_coherence_open_ratio" [] "the part of the partitions that may be served from L1 now";
    COHERENCE_BOUND: Gauge "cache_coherence_bound_seconds" ["mode"] "how long a clear may take to be in effect on every node";
    VOIDED: Counter "cache_l1_voided_total" [] "how often L1 was emptied because a signal might have been missed";
    L1_BYTES: Gauge "cache_l1_bytes" [] "bytes in L1";
    L1_ENTRIES: Gauge "cache_l1_entries" [] "entries in L1";
    L1_EVICTIONS: Counter "cache_l1_evictions_total" [] "entries that left L1 for want of room";
    STORE_COMMANDS: Counter "cache_store_commands_total" ["result"] "commands to Redis by how they ended: ok, unavailable, failed";
    STORE_TIMES: Histogram "cache_store_command_seconds" [] "how long commands to Redis took that were answered";
    STORE_CONNECTED: Gauge "cache_store_connected_ratio" [] "the part of the partitions whose server is connected";
    BREAKER: Gauge "cache_store_breaker_open_ratio" [] "the part of the partitions whose circuit breaker is open";
    REFUSED_VALUES: Counter "cache_store_refused_values_total" [] "values in Redis that were no entries";
    STORE_LATENCY: Gauge "cache_store_latency_seconds" [] "the last round trip of the health monitor to Redis";
    STORE_MEMORY: Gauge "cache_store_memory_ratio" [] "the memory of the fullest Redis server, of what it may have";
    STORE_KEYS: Gauge "cache_store_keys" [] "keys in Redis, of every application on it";
    INDEX_MEMBERS: Gauge "cache_index_members" [] "members of the tag index, as the health monitor last counted them";
    SWEEP_BACKLOG: Gauge "cache_sweep_backlog" [] "clears whose entries are not all removed yet";
    SWEPT: Counter "cache_swept_total" [] "entries and index members that the sweep of this node has looked at";
    HEALTH: Gauge "cache_health" [] "0 healthy, 1 degraded, 2 unhealthy";
    HEALTH_REASONS: Gauge "cache_health_reason" ["reason"] "1 for each reason of the verdict that is a warning, 2 if it is critical";
    TYPED: Counter "cache_typed_lookups_total" ["type", "result"] "look-ups of data of a type: hit, miss";
    TYPED_TARGETS: Gauge "cache_typed_hit_target_ratio" ["type"] "the part of them that should be hits";
    PROBES: Counter "cache_probes_total" ["result"]
        "hits whose handler ran again to compare: same, suspected, excused-stale, excused-cleared, excused-varying, different, failed";
    WARMED: Counter "cache_warmed_total" ["result"] "entries that warmers were to make: done, failed, skipped, dropped";
    WARMING: Gauge "cache_warming" [] "what warmers have not done yet";
    QUEUE_WRITES: Counter "cache_write_behind_changes_total" ["queue", "result"] "changes that were written, or set aside";
    QUEUE_FAILURES: Counter "cache_write_behind_failures_total" ["queue"] "attempts to write that failed";
    QUEUE_WAITING: Gauge "cache_write_behind_waiting" ["queue"] "changes that wait, as the health monitor last saw it";
    CRITICAL_PROOF: Gauge "cache_critical_proof_seconds" ["data"] "how old the proof is that critical data are complete; infinite without one";
    CRITICAL_RECORDS: Gauge "cache_critical_records" ["data"] "records of critical data in memory";
    CHANGES: Counter "cache_changes_total" ["result"]
        "change messages: applied, duplicate, unknown, malformed, gap, overflowed, published";
    OUTBOX: Gauge "cache_outbox_length" [] "change messages that Redis has not acknowledged yet";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut names = std::collections::HashSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
            assert!(metric.name.starts_with("cache_"), "{}", metric.name);
            assert_eq!(metric.kind == MetricKind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.kind != MetricKind::Histogram || metric.name.ends_with("_seconds"), "{}", metric.name);
            assert!(!metric.labels.iter().any(|label| ["key", "tag", "url"].contains(label)), "{}", metric.name);
        }
    }
}
