//! The alerts of `docs/operations/` that are not about a reason of the health monitor: each is raised by its fault. Those about
//! reasons are raised beside the reasons, in `health.rs`.

use std::sync::Arc;
use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::MemoryStore;
use cache_middleware::{Batch, CacheHealthMonitor, CacheManager, Coherence, Sink, SinkError, WriteBehind};
use cache_suite::{Lasts, Prometheus, Proxy, RedisServer, Weather, read, redis_at};

use super::{node_of, sum, until};
use crate::hybrid::{Authority, publisher};

async fn node_on(store: &Arc<ChaosStore>) -> CacheManager {
    let builder = CacheManager::builder().shared_store(store.clone()).without_annotation_checks();
    builder.build().await.expect("a manager")
}

#[tokio::test]
async fn clears_that_are_not_acknowledged() {
    let store = ChaosStore::before(MemoryStore::default());
    let cache = node_on(&store).await;
    let prometheus = Prometheus::of(&cache);
    store.inject(Operation::Clear, Fault::Error);
    assert!(cache.clear_tag("x").await.expect("a receipt").journaled);
    prometheus.fires(&cache, Lasts::Once, &["CacheClearsFail"]);
}

#[tokio::test]
async fn signals_and_values_of_somebody_else() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let prometheus = Prometheus::of(&cache);
    let mut raw = server.connection();
    for number in 0..11 {
        let key = format!("{{cache:v3:0}}:e:-/v/{number}");
        redis::cmd("SET").arg(key).arg("junk").exec(&mut raw).expect("it is set");
        assert_eq!(cache.get::<u8>(&number.to_string()).await, None);
    }
    redis::cmd("PUBLISH").arg("{cache:v3:0}:c").arg("junk").exec(&mut raw).expect("it is published");
    until("it was heard", async || sum(&cache, "cache_signals_malformed_total", &[]) > 0.0).await;
    prometheus.fires(&cache, Lasts::Once, &["CacheMalformedSignals", "CacheForeignValues"]);
}

#[tokio::test]
async fn signals_that_come_later_than_the_bound() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let far = redis_at(proxy.url()).command_timeout(Duration::from_secs(10)).connect().await.expect("a store");
    let builder = CacheManager::builder().store(far).coherence(Coherence::Bounded(Duration::from_secs(1)));
    let cache = builder.without_annotation_checks().build().await.expect("a manager");
    let other = node_of(&server.url(), |builder| builder).await;
    let prometheus = Prometheus::of(&cache);
    // The time of Redis is known to half a round trip, so that half of this may not be seen.
    proxy.weather_back(Weather::Slow(Duration::from_secs(3)));
    for number in 0..20 {
        other.clear_tag(&format!("number:{number}")).await.expect("a receipt");
    }
    until("they were heard", async || sum(&cache, "cache_signals_total", &[]) >= 20.0).await;
    prometheus.fires(&cache, Lasts::On, &["CacheSignalsLate"]);
}

#[tokio::test]
async fn a_sweep_that_does_not_keep_up() {
    let server = RedisServer::start();
    let store = ChaosStore::before(redis_at(server.url()).connect().await.expect("a store"));
    let cache = node_on(&store).await;
    let monitor = CacheHealthMonitor::builder().start(&cache).expect("a monitor");
    monitor.check().await;
    let prometheus = Prometheus::of(&cache);
    store.inject(Operation::Sweep, Fault::Error);
    for number in 0..101 {
        let tag = format!("t{number}");
        cache_suite::fill(&cache, 1, "5m", &tag).await;
        cache.expire_tags(&[&tag]).await.expect("a receipt");
    }
    monitor.check().await;
    let open = sum(&cache, "cache_sweep_backlog", &[]);
    assert!(open > 100.0, "{open}");
    prometheus.fires(&cache, Lasts::Once, &["CacheSweepBehind"]);
}

/// Is never there, or takes nothing.
#[derive(Debug)]
struct Refuses(SinkError);

impl Sink for Refuses {
    async fn write(&self, _: &Batch) -> Result<(), SinkError> {
        Err(self.0.clone())
    }
}

#[tokio::test]
async fn changes_that_a_source_does_not_take() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let queue = |name, refuses| WriteBehind::builder(name).interval("100ms").start(&cache, Refuses(refuses));
    let away = queue("away", SinkError::Unavailable("it is away".to_owned())).await.expect("a queue");
    let strict = queue("strict", SinkError::Rejected("it is wrong".to_owned())).await.expect("a queue");
    let prometheus = Prometheus::of(&cache);
    away.put("k", &1_u8).await.expect("it waits");
    strict.put("k", &1_u8).await.expect("it waits");
    let aside = [("queue", "strict"), ("result", "set-aside")];
    until("it is set aside", async || sum(&cache, "cache_write_behind_changes_total", &aside) > 0.0).await;
    prometheus.fires(&cache, Lasts::Once, &["CacheQueueSetsAside"]);
    until("it fails", async || sum(&cache, "cache_write_behind_failures_total", &[("queue", "away")]) > 0.0).await;
    prometheus.fires(&cache, Lasts::On, &["CacheQueueFails"]);
}

#[tokio::test]
async fn messages_that_cannot_be_published() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let authority = Authority::of(&[("a", 1)]);
    let publisher = publisher(&cache, 200).await;
    let prometheus = Prometheus::of(&cache);
    let killed = server.kill();
    for number in 0..101 {
        let (publisher, message) = (publisher.clone(), authority.set("a", Some(number)));
        tokio::spawn(async move { publisher.publish("credit-configs", message).await });
    }
    until("they wait", async || sum(&cache, "cache_outbox_length", &[]) > 100.0).await;
    prometheus.fires(&cache, Lasts::Once, &["CacheOutboxGrows"]);
    drop(killed);
}

#[tokio::test]
async fn an_l1_that_is_too_small() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder.l1_bytes(1 << 20)).await;
    let policy = cache.policy("5m").expect("a policy");
    let large = "x".repeat(20_000);
    for place in 0..100 {
        cache.set(&format!("large:{place}"), &policy, &large).await.expect("it is stored");
    }
    let prometheus = Prometheus::of(&cache);
    for place in (0..100).cycle().take(2_000) {
        let compute = async || Err(());
        assert_eq!(cache.get_or_set(&format!("large:{place}"), &policy, compute).await.as_ref(), Ok(&large));
    }
    prometheus.fires(&cache, Lasts::On, &["CacheEvictsMuch"]);
}

/// Whoever adds an alert raises it.
#[test]
fn every_alert_is_raised_by_a_fault() {
    let alerts = read("docs/operations/alerts.yml");
    let tests =
        ["alerts.rs", "health.rs", "probe.rs"].map(|file| read(format!("tests/suite/telemetry/{file}"))).concat();
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 22, "{names:?}");
    for name in names {
        assert!(tests.contains(&format!("\"{name}\"")), "no fault raises {name}");
    }
}
