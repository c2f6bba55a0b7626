//! How often each handler's body really ran, and how coherent this node is.

use std::collections::BTreeMap;

use actix_web::{get, web};
use cache_middleware::CacheManager;

use crate::answer::Answer;
use crate::counters::Runs;

#[get("/debug/counters")]
pub(super) async fn counters(runs: web::Data<Runs>) -> Answer<BTreeMap<&'static str, u64>> {
    Answer::ok(runs.all())
}

/// Milliseconds from the acknowledgement of a clear on another node to its effect on this one.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Coherence {
    mode: String,
    open: bool,
    signals: u64,
    delay_median_ms: f64,
    delay_p99_ms: f64,
    l1_hits: u64,
}

#[get("/debug/coherence")]
pub(super) async fn coherence(cache: CacheManager) -> Answer<Option<Coherence>> {
    let milliseconds = |delay: std::time::Duration| delay.as_secs_f64() * 1_000.0;
    Answer::ok(cache.coherence().map(|report| Coherence {
        mode: report.mode.to_string(),
        open: report.open == report.partitions,
        signals: report.signals,
        delay_median_ms: milliseconds(report.delay_median),
        delay_p99_ms: milliseconds(report.delay_p99),
        l1_hits: report.l1_hits,
    }))
}
