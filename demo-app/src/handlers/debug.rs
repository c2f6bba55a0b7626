//! How often each handler's body really ran, how coherent this node is, and how sure of the wrapper's data.

use std::collections::BTreeMap;

use actix_web::{get, web};
use cache_middleware::{CacheManager, CriticalFreshness};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::counters::Runs;
use crate::crm::Crm;

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

/// How sure this node is of what it holds of the wrapper's data, what it has heard, and how often data are found.
#[get("/debug/hybrid")]
pub(super) async fn hybrid(crm: web::Data<Crm>, cache: CacheManager) -> Answer<Value> {
    let milliseconds = |age: Option<std::time::Duration>| age.map(|age| age.as_secs_f64() * 1_000.0);
    let freshness = |of: CriticalFreshness| {
        json!({
            "entries": of.entries, "provenForMs": milliseconds(of.proven_for), "loadedForMs": milliseconds(of.loaded_for),
            "problem": of.problem,
        })
    };
    let heard = crm.changes.progress();
    let ratios = cache.hit_ratios().into_iter().map(|ratio| {
        let (found, target) = (ratio.ratio(), ratio.target);
        (ratio.data_type, json!({"hits": ratio.hits, "misses": ratio.misses, "ratio": found, "target": target}))
    });
    Answer::ok(json!({
        "costs": freshness(crm.costs.freshness()),
        "roles": freshness(crm.roles.freshness()),
        "standings": freshness(crm.standings.freshness()),
        "messages": {
            "applied": heard.applied, "hints": heard.hints, "caughtUp": heard.caught_up, "duplicates": heard.duplicates,
            "unknown": heard.unknown, "malformed": heard.malformed, "gaps": heard.gaps,
        },
        "hitRatios": ratios.collect::<serde_json::Map<String, Value>>(),
    }))
}
