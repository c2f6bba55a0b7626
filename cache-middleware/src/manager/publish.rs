//! Samples through the `metrics` facade (feature `metrics`), for whichever recorder the program has installed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString};

use super::{CacheManager, Inner};
use crate::telemetry::{Distribution, METRICS, MetricKind, Sample, SampleValue};

/// How often samples are published without being asked.
const INTERVAL: Duration = Duration::from_secs(5);

static METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// What was published of counters and histograms: the facade is told what is new.
#[derive(Debug, Default)]
pub(super) struct Published {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    described: bool,
    counters: HashMap<Key, u64>,
    histograms: HashMap<Key, Distribution>,
}

impl CacheManager {
    /// Brings what the recorder of the program has up to date with [`Self::samples`]. It is done every 5 seconds by itself; do it
    /// before a scrape is answered, and the scrape is exact. Install the recorder before the manager is built.
    ///
    /// Durations arrive at the recorder rounded up to the ends of buckets, at most an eighth too long.
    pub fn publish_metrics(&self) {
        let mut state = self.inner.published.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: what is published is never older than what was.
        let samples = self.samples();
        metrics::with_recorder(|recorder| {
            if !std::mem::replace(&mut state.described, true) {
                describe(recorder);
            }
            for sample in samples {
                publish(recorder, &sample, &mut state);
            }
        });
    }
}

fn describe(recorder: &dyn Recorder) {
    for metric in METRICS {
        let (name, help) = (KeyName::from_const_str(metric.name), SharedString::const_str(metric.help));
        match metric.kind {
            MetricKind::Counter => recorder.describe_counter(name, None, help),
            MetricKind::Gauge => recorder.describe_gauge(name, None, help),
            MetricKind::Histogram => recorder.describe_histogram(name, None, help),
        }
    }
}

fn publish(recorder: &dyn Recorder, sample: &Sample, state: &mut State) {
    let labels = sample.metric.labels.iter().zip(&sample.labels);
    let labels: Vec<Label> = labels.map(|(name, value)| Label::new(*name, value.to_string())).collect();
    let key = Key::from_parts(sample.metric.name, labels);
    match &sample.value {
        // By what is new, so that several managers of a program add up.
        SampleValue::Counter(now) => {
            let before = state.counters.get(&key).copied().unwrap_or_default();
            recorder.register_counter(&key, &METADATA).increment(now.saturating_sub(before));
            state.counters.insert(key, *now);
        }
        SampleValue::Gauge(value) => recorder.register_gauge(&key, &METADATA).set(*value),
        SampleValue::Histogram(now) => {
            let histogram = recorder.register_histogram(&key, &METADATA);
            let newer = state.histograms.get(&key).map_or_else(|| now.clone(), |before| now.since(before));
            for (seconds, count) in newer.buckets() {
                histogram.record_many(*seconds, usize::try_from(*count).unwrap_or(usize::MAX));
            }
            state.histograms.insert(key, now.clone());
        }
    }
}

/// Publishes for as long as there is a manager.
pub(super) async fn keep_publishing(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        CacheManager::of(inner).publish_metrics();
    }
}
