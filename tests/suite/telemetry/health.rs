//! Every reason of the health monitor is triggered by its fault, raises its alert, and goes when the fault does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_middleware::{
    CacheHealthMonitor, CacheManager, DataStrategy, Health, HealthReason, HealthThresholds, HealthVerdict, Limits,
};
use cache_suite::{Lasts, Prometheus, Proxy, RedisCluster, RedisServer, Weather};

use super::{node_of, sum, until};
use crate::hybrid::{Authority, To, builder, costs, follows};

fn thresholds() -> HealthThresholds {
    let mut thresholds = HealthThresholds::default();
    thresholds.least_lookups = 10;
    thresholds
}

fn monitor(cache: &CacheManager) -> CacheHealthMonitor {
    CacheHealthMonitor::builder().interval("100ms").thresholds(thresholds()).start(cache).expect("a monitor")
}

fn has(health: &Health, reason: HealthReason, verdict: HealthVerdict) -> bool {
    health.reasons.iter().any(|finding| finding.reason == reason && finding.verdict == verdict)
}

/// What Prometheus knows of a node that is healthy.
async fn healthy(cache: &CacheManager, monitor: &CacheHealthMonitor) -> Prometheus {
    assert_eq!(monitor.check().await.verdict, HealthVerdict::Healthy);
    Prometheus::of(cache)
}

/// Both see the same store: their gauges are not a sum.
#[tokio::test]
async fn two_monitors_of_one_manager_tell_what_one_tells() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let (one, two) = (monitor(&cache), monitor(&cache));
    cache.set("x", &cache.policy("5m").expect("a policy").tag("t").expect("a tag"), &1_u8).await.expect("a set");
    let _killed = server.kill();
    for monitor in [&one, &two] {
        comes(monitor, HealthReason::StoreAway, HealthVerdict::Unhealthy).await;
    }
    assert_eq!(sum(&cache, "cache_health", &[]), 2.0);
    assert_eq!(sum(&cache, "cache_health_reason", &[("reason", "store-away")]), 2.0);
}

/// The fault is found at once.
async fn comes(monitor: &CacheHealthMonitor, reason: HealthReason, verdict: HealthVerdict) {
    until("the fault is found", async || has(&monitor.check().await, reason, verdict)).await;
    assert!(monitor.check().await.verdict >= verdict);
}

/// The end of the fault is found at the second check after it.
async fn goes(monitor: &CacheHealthMonitor, reason: HealthReason) {
    until("it is over", async || !monitor.check().await.reasons.iter().any(|finding| finding.reason == reason)).await;
}

#[tokio::test]
async fn a_redis_that_dies_is_away_and_clears_wait() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let told = Arc::new(AtomicU64::new(0));
    let hook = told.clone();
    let monitor = CacheHealthMonitor::builder()
        .interval("100ms")
        .thresholds(thresholds())
        .on_change(move |_| {
            hook.fetch_add(1, Ordering::SeqCst);
        })
        .start(&cache)
        .expect("a monitor");
    let prometheus = healthy(&cache, &monitor).await;
    let killed = server.kill();
    until("it is away", async || has(&monitor.check().await, HealthReason::StoreAway, HealthVerdict::Unhealthy)).await;
    assert!(cache.clear_tag("x").await.expect("a receipt").journaled);
    assert!(has(&monitor.check().await, HealthReason::Journal, HealthVerdict::Degraded));
    until("L1 is closed", async || has(&monitor.check().await, HealthReason::CoherenceClosed, HealthVerdict::Degraded))
        .await;
    assert_eq!(told.load(Ordering::SeqCst), 2, "healthy at first, then not: each change is told once");
    let alerts = ["CacheStoreAway", "CacheJournal", "CacheCoherenceClosed", "CacheUnhealthy"];
    prometheus.fires(&cache, Lasts::Once, &alerts);
    let _server = killed.restart();
    // The rate of errors is of the last five minutes, and stays.
    until("it is back", async || {
        let health = monitor.check().await;
        let over = |reason| !health.reasons.iter().any(|finding| finding.reason == reason);
        over(HealthReason::StoreAway) && over(HealthReason::Journal) && over(HealthReason::CoherenceClosed)
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_is_slow_is_told_by_its_latency() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let cache = node_of(&proxy.url(), |builder| builder).await;
    let monitor = monitor(&cache);
    let prometheus = healthy(&cache, &monitor).await;
    proxy.weather_back(Weather::Slow(Duration::from_millis(20)));
    comes(&monitor, HealthReason::StoreLatency, HealthVerdict::Degraded).await;
    prometheus.fires(&cache, Lasts::Once, &["CacheStoreLatency"]);
    proxy.weather_back(Weather::Fair);
    goes(&monitor, HealthReason::StoreLatency).await;
}

#[tokio::test]
async fn a_redis_that_hangs_opens_the_breaker_and_fails_commands() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let monitor = monitor(&cache);
    let prometheus = healthy(&cache, &monitor).await;
    server.signal("-STOP");
    for number in 0..20 {
        let _: Option<u8> = cache.get(&format!("n:{number}")).await;
    }
    // Read from the metric: a check would wait for the server.
    assert_eq!(sum(&cache, "cache_store_breaker_open_ratio", &[]), 1.0);
    let health = monitor.check().await;
    assert!(has(&health, HealthReason::BreakerOpen, HealthVerdict::Unhealthy), "{health:?}");
    assert!(has(&health, HealthReason::ErrorRate, HealthVerdict::Unhealthy), "{health:?}");
    prometheus.fires(&cache, Lasts::Once, &["CacheBreakerOpen", "CacheErrorRate"]);
    server.signal("-CONT");
    goes(&monitor, HealthReason::BreakerOpen).await;
}

#[tokio::test]
async fn a_redis_that_is_nearly_full_is_told() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let monitor = monitor(&cache);
    let mut raw = server.connection();
    let mut limit =
        |bytes: u64| redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec(&mut raw).expect("it is set");
    let used = cache.store().condition().await.expect("a condition").memory.expect("a ratio");
    assert!(used < 0.5, "of the machine's: {used}");
    let prometheus = healthy(&cache, &monitor).await;
    limit(1 << 20);
    comes(&monitor, HealthReason::StoreMemory, HealthVerdict::Unhealthy).await;
    prometheus.fires(&cache, Lasts::Once, &["CacheStoreMemory"]);
    limit(1 << 30);
    goes(&monitor, HealthReason::StoreMemory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_has_lost_its_majority_is_down() {
    let mut cluster = RedisCluster::start(3, false);
    let cache = node_of(&cluster.url(), |builder| builder).await;
    let monitor = monitor(&cache);
    let health = monitor.check().await;
    let of = health.store.as_ref().and_then(|store| store.cluster.clone()).expect("a cluster");
    assert_eq!((of.ok, of.nodes, of.masters, health.verdict), (true, 3, 3, HealthVerdict::Healthy));
    let prometheus = Prometheus::of(&cache);
    cluster.kill(1);
    cluster.kill(2);
    comes(&monitor, HealthReason::ClusterDown, HealthVerdict::Unhealthy).await;
    assert!(has(&monitor.check().await, HealthReason::StoreAway, HealthVerdict::Unhealthy));
    prometheus.fires(&cache, Lasts::Once, &["CacheClusterDown"]);
}

#[tokio::test]
async fn look_ups_that_find_too_little_are_told_in_sum_and_by_type() {
    let cache = CacheManager::builder().without_annotation_checks().build().await.expect("a manager");
    let monitor = monitor(&cache);
    let config = DataStrategy::configuration().of::<u8>(&cache).expect("a set");
    let prometheus = Prometheus::of(&cache);
    for _ in 0..20 {
        let _ = config.get(&["nothing"]).await;
    }
    let health = monitor.check().await;
    assert!(has(&health, HealthReason::HitRate, HealthVerdict::Unhealthy), "{health:?}");
    let of_type = health.reasons.iter().find(|finding| finding.reason == HealthReason::TypeHitRate).expect("a reason");
    assert_eq!((of_type.subject.as_deref(), of_type.verdict), (Some("config"), HealthVerdict::Degraded));
    assert_eq!(of_type.to_string(), "type-hit-rate of config: 0 % (limit 90)");
    assert_eq!(health.window.hit_rate(), Some(0.0));
    prometheus.fires(&cache, Lasts::Once, &["CacheHitRate", "CacheTypeHitRate"]);
}

/// A recorder keeps what it was told last: it is told of the end of a reason, too.
#[tokio::test]
async fn metrics_tell_when_a_reason_is_over() {
    let cache = CacheManager::builder().without_annotation_checks().build().await.expect("a manager");
    let monitor = CacheHealthMonitor::builder().interval("100ms").window("100ms").start(&cache).expect("a monitor");
    assert_eq!(monitor.health().verdict, HealthVerdict::Unknown);
    for _ in 0..200 {
        assert_eq!(cache.get::<u8>("nothing").await, None);
    }
    let of_hit_rate = || sum(&cache, "cache_health_reason", &[("reason", "hit-rate")]);
    monitor.check().await;
    assert_eq!((of_hit_rate(), sum(&cache, "cache_health", &[])), (2.0, 2.0));
    until("it is over", async || of_hit_rate() == 0.0).await;
    assert!(cache.samples().iter().any(|sample| sample.label("reason") == Some("hit-rate")), "it says 0");
}

/// Whoever asks often does not make it believe sooner, nor remember more.
#[tokio::test]
async fn who_asks_often_does_not_calm_it() {
    let cache = CacheManager::builder().without_annotation_checks().build().await.expect("a manager");
    let monitor = CacheHealthMonitor::builder().interval("30s").window("30s").start(&cache).expect("a monitor");
    for _ in 0..200 {
        assert_eq!(cache.get::<u8>("nothing").await, None);
    }
    assert_eq!(monitor.check().await.verdict, HealthVerdict::Unhealthy);
    let policy = cache.policy("5m").expect("a policy");
    assert!(cache.set("there", &policy, &1_u8).await.expect("it is stored"));
    for _ in 0..2_000 {
        assert_eq!(cache.get("there").await, Some(1_u8));
    }
    for _ in 0..50 {
        assert_eq!(monitor.check().await.verdict, HealthVerdict::Unhealthy);
    }
}

/// A hook that panics takes nobody along: neither the monitor nor a request.
#[tokio::test]
async fn hooks_that_panic_are_harmless() {
    let builder = CacheManager::builder().on_miss(|_| panic!("a hook")).without_annotation_checks();
    let cache = builder.build().await.expect("a manager");
    let monitor = CacheHealthMonitor::builder().on_change(|_| panic!("a hook")).start(&cache).expect("a monitor");
    assert_eq!(cache.get::<u8>("nothing").await, None);
    assert_eq!(monitor.check().await.verdict, HealthVerdict::Healthy);
    assert_eq!(monitor.check().await.verdict, HealthVerdict::Healthy);
}

#[tokio::test]
async fn few_look_ups_say_nothing() {
    let cache = CacheManager::builder().without_annotation_checks().build().await.expect("a manager");
    let monitor = CacheHealthMonitor::builder().start(&cache).expect("a monitor");
    for _ in 0..99 {
        assert_eq!(cache.get::<u8>("nothing").await, None);
    }
    assert_eq!(monitor.check().await.verdict, HealthVerdict::Healthy);
}

#[tokio::test]
async fn critical_data_that_may_be_old_are_told() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&cache).await;
    let mut strict = thresholds();
    strict.critical_proof = Limits::new(0.2, 60.0);
    let monitor = CacheHealthMonitor::builder().interval("100ms").thresholds(strict).start(&cache).expect("a monitor");
    let prometheus = healthy(&cache, &monitor).await;
    authority.be_away(true);
    let away = builder().start(&changes, To(authority.clone())).await.expect("a cache");
    let health = monitor.check().await;
    assert!(has(&health, HealthReason::CriticalData, HealthVerdict::Unhealthy), "{health:?}");
    prometheus.fires(&cache, Lasts::Once, &["CacheCriticalData"]);
    authority.be_away(false);
    drop(away);
    let _costs = costs(&changes, &authority).await;
    goes(&monitor, HealthReason::CriticalData).await;
}

#[tokio::test]
async fn it_checks_at_its_interval_and_ends_with_its_last_handle() {
    let variables = |name: &str| (name == "CACHE_HEALTH_CHECK_INTERVAL").then(|| "250".to_owned());
    let builder = CacheManager::builder().from_variables(variables).without_annotation_checks();
    let cache = builder.build().await.expect("a manager");
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let monitor = CacheHealthMonitor::builder().start(&cache).expect("a monitor");
    let mut checks = monitor.checks();
    for _ in 0..3 {
        checks.changed().await.expect("it checks");
    }
    // Timers are rounded up to a millisecond.
    assert!((750..=752).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    drop(monitor);
    assert!(checks.changed().await.is_err());
}
