//! What the cache tells of itself: metrics, hooks, probes, health, the dashboard, and that they tell the same.

mod alerts;
mod counted;
mod dashboard;
mod health;
mod map;
mod probe;
mod published;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_middleware::telemetry::Sample;
use cache_middleware::{CacheManager, Coherence};
use cache_suite::{redis_at, until};

/// The sum of a metric's samples with these labels.
pub(super) fn sum(cache: &CacheManager, name: &str, labels: &[(&str, &str)]) -> f64 {
    let of = |sample: &&Sample| {
        sample.metric.name == name && labels.iter().all(|(label, value)| sample.label(label) == Some(value))
    };
    cache.samples().iter().filter(of).map(Sample::number_of).sum()
}

/// A node with an L1, built as a test adds.
pub(super) async fn node_of(
    url: &str,
    add: impl FnOnce(cache_middleware::CacheManagerBuilder) -> cache_middleware::CacheManagerBuilder,
) -> CacheManager {
    let store = redis_at(url).connect().await.expect("a store");
    let builder = CacheManager::builder().store(store).coherence(Coherence::Bounded(Duration::from_secs(1)));
    add(builder.without_annotation_checks()).build().await.expect("a manager")
}

/// A number that handlers read.
#[derive(Debug, Default, Clone)]
pub(super) struct Number(pub(super) Arc<AtomicU64>);

impl Number {
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
