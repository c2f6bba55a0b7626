//! What operators look at: metrics, health, and who may see more than that.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, get, web};
use cache_middleware::{CacheHealthMonitor, CacheManager, Dashboard, Health, HealthVerdict};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};

use crate::crm::Crm;

/// From a microsecond to ten seconds.
const DURATIONS: [f64; 15] =
    [1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 2.5e-3, 1e-2, 0.05, 0.25, 1.0, 10.0];
/// From a second to a day.
const AGES: [f64; 8] = [1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 86_400.0];

/// Installs the recorder, before there is anything to record.
pub(crate) fn record() -> Result<PrometheusHandle, String> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATIONS);
    let ages = Matcher::Full("cache_served_age_seconds".to_owned());
    let builder = builder.and_then(|builder| builder.set_buckets_for_metric(ages, &AGES));
    builder.and_then(PrometheusBuilder::install_recorder).map_err(|error| error.to_string())
}

/// Has the recorder put in order what has come since the last scrape: without it, what nobody scrapes grows.
pub(crate) async fn keep_up(recorded: PrometheusHandle) {
    loop {
        actix_web::rt::time::sleep(Duration::from_secs(5)).await;
        recorded.run_upkeep();
    }
}

#[get("/metrics")]
pub(crate) async fn metrics(cache: CacheManager, recorded: web::Data<PrometheusHandle>) -> HttpResponse {
    cache.publish_metrics();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(recorded.render())
}

/// The process goes on: its workers answer. What is wrong with Redis is no reason to start it anew.
#[get("/livez")]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// Whether it should be sent requests. It answers them whatever becomes of Redis; but without the data that decide who may do what,
/// and what it costs, it must not.
#[get("/readyz")]
pub(crate) async fn ready(crm: web::Data<Crm>) -> HttpResponse {
    let data = [("costs", crm.costs.freshness()), ("roles", crm.roles.freshness())];
    let missing: Vec<&str> = data.iter().filter(|(_, of)| of.loaded_for.is_none()).map(|(name, _)| *name).collect();
    match missing[..] {
        [] => HttpResponse::Ok().body("ok\n"),
        _ => HttpResponse::ServiceUnavailable().body(format!("not loaded yet: {}\n", missing.join(", "))),
    }
}

#[get("/sessions/admin/cache-health")]
pub(crate) async fn cache_health(
    request: HttpRequest,
    dashboard: Option<web::Data<Dashboard>>,
    monitor: web::Data<CacheHealthMonitor>,
) -> HttpResponse {
    match dashboard {
        // As if it were not there.
        None => failure(StatusCode::NOT_FOUND, "resource not found"),
        Some(dashboard) if !dashboard.admits(&request) => failure(StatusCode::UNAUTHORIZED, "an admin token is needed"),
        Some(_) => HttpResponse::Ok().json(json!({"success": true, "data": told(&monitor.check().await)})),
    }
}

fn failure(status: StatusCode, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"success": false, "error": {"message": message}}))
}

/// Every number as it was counted; `null` where nothing was.
fn told(health: &Health) -> Value {
    let Health { window, total, .. } = health;
    let rounded = |value: Option<f64>| value.map(|value| (value * 100.0).round() / 100.0);
    let store = health.store.as_ref();
    let cluster = store
        .and_then(|store| store.cluster.as_ref())
        .map(|cluster| json!({"clusterState": cluster.ok, "nodeCount": cluster.nodes, "masterNodes": cluster.masters}));
    json!({
        "health": {
            "overall": health.verdict,
            "reasons": health.reasons,
            "redis": {
                "connected": store.is_some(),
                "latency": rounded(store.map(|store| store.latency.as_secs_f64() * 1_000.0)),
                "memoryUsage": rounded(store.and_then(|store| store.memory).map(|part| part * 100.0)),
                "keyCount": store.map(|store| store.keys),
                "cluster": cluster,
            },
            "cache": {
                "hitRate": rounded(window.hit_rate()),
                "errorRate": rounded(window.error_rate()),
                "avgResponseTime": rounded(window.mean_ms()),
                "totalOperations": window.lookups(),
            },
        },
        "metrics": {
            "hits": total.found(),
            "misses": total.misses,
            "invalidations": total.clears.iter().sum::<u64>(),
            "errors": total.errors,
            "hitRate": rounded(total.hit_rate()),
            "uptime": u64::try_from(health.uptime.as_millis()).unwrap_or(u64::MAX),
        },
        "healthy": health.verdict == HealthVerdict::Healthy,
    })
}
