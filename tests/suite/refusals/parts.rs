//! Settings of policies, and of what runs beside the service.

use std::time::Duration;

use cache_middleware::{
    Batch, CacheHealthMonitor, CacheManager, CacheWarmer, ChangeConsumer, ChangePublisher, CriticalCache, Dashboard,
    EarlyRefresh, HealthThresholds, HttpSource, Limits, PastLimit, Record, ReferenceCache, Sink, SinkError,
    SourceError, SourceOfTruth, Warming, WriteBehind,
};

use super::{Refusal, refusals};

const MINUTE: Duration = Duration::from_secs(60);

async fn manager() -> CacheManager {
    let builder = CacheManager::builder().ttl("pages", "5m").without_annotation_checks();
    builder.build().await.expect("a manager")
}

pub(super) async fn policies() -> Vec<Refusal> {
    let cache = manager().await;
    let mut refused = refusals!(policy = cache, policy;
        [.policy("page")]
        [.policy("5 parsecs")]
    );
    let policy = || cache.policy("pages").expect("a policy");
    refused.extend(refusals!(changed = policy(), changed;
        [.tag("two words")]
        [.early_refresh(1.5)]
        [.early_refresh(EarlyRefresh::XFetch { beta: 0.0 })]
        [.jitter(2.0)]
        [.sliding(MINUTE)]
        [.adaptive_ttl(10 * MINUTE, MINUTE)]
        [.adaptive_ttl(10 * MINUTE, 20 * MINUTE)]
    ));
    let sliding = || policy().sliding(10 * MINUTE).expect("longer than its TTL");
    refused.extend(refusals!(changed = sliding(), changed;
        [.adaptive_ttl(MINUTE, 10 * MINUTE)]
    ));
    refused
}

/// A sink that nothing reaches.
struct Nowhere;

impl Sink for Nowhere {
    async fn write(&self, _: &Batch) -> Result<(), SinkError> {
        Ok(())
    }
}

pub(super) async fn services() -> Vec<Refusal> {
    let cache = manager().await;
    let mut refused = refusals!(warming = Warming::new(), CacheWarmer::start(&cache, warming);
        [.concurrency(0)]
        [.per_second(0)]
        [.within(Duration::ZERO)]
        [.within(Duration::MAX)]
        [.on("page.updatd", |_| Vec::new())]
    );
    refused.extend(refusals!(queue = WriteBehind::builder, queue.start(&cache, Nowhere).await;
        [("two words")]
        [("q").interval("soon")]
        [("q").batch(0)]
        [("q").batch(5_001)]
        [("q").within(Duration::ZERO)]
        [("q").most_waiting(0, 1)]
        [("q").most_waiting(9, 9)]
        [("q").most_set_aside(0)]
    ));
    let _first = WriteBehind::builder("orders").start(&cache, Nowhere).await.expect("a queue");
    refused.extend(refusals!(queue = WriteBehind::builder, queue.start(&cache, Nowhere).await;
        [("orders")]
    ));
    let (mut backwards, mut no_number) = (HealthThresholds::default(), HealthThresholds::default());
    backwards.hit_rate = Limits::new(60.0, 80.0);
    no_number.memory = Limits::new(f64::NAN, 95.0);
    refused.extend(refusals!(monitor = CacheHealthMonitor::builder(), monitor.start(&cache);
        [.interval("soon")]
        [.interval("10m")]
        [.thresholds(backwards)]
        [.thresholds(no_number)]
    ));
    let monitor = CacheHealthMonitor::builder().start(&cache).expect("a monitor");
    refused.push(Refusal::of("Dashboard::builder(&monitor)", Dashboard::builder(&monitor).build()));
    refused.extend(refusals!(dashboard = Dashboard::builder(&monitor), dashboard.build();
        [.password("hunter2")]
    ));
    refused
}

/// A source that knows single records only.
#[derive(Debug)]
struct Single;

impl SourceOfTruth<String, u64> for Single {
    async fn one(&self, _: &String) -> Result<Option<Record<String, u64>>, SourceError> {
        Ok(None)
    }
}

pub(super) async fn hybrid() -> Vec<Refusal> {
    let cache = manager().await;
    let mut refused = refusals!(publisher = ChangePublisher::builder, publisher.start(&cache).await;
        [("two words")]
        [("crm").max_bytes(1)]
        [("crm").most_waiting(0)]
    );
    refused.extend(refusals!(consumer = ChangeConsumer::builder, consumer.start(&cache).await;
        [("two words")]
        [("crm").beat("soon")]
        [("crm").beat("5m")]
    ));
    let changes = ChangeConsumer::builder("crm").start(&cache).await.expect("a consumer");
    refused.extend(refusals!(critical = CriticalCache::<String, u64>::builder, critical.start(&changes, Single).await;
        [("two words")]
        [("costs").refresh("soon")]
        [("costs").limit("soon", PastLimit::AskSource)]
        [("costs").within(Duration::ZERO)]
        [("costs").max_entries(0)]
        [("costs")]
    ));
    refused.extend(refusals!(users = ReferenceCache::<String, u64>::builder, users.start(&changes, Single).await;
        [("two words")]
        [("users").ttl("page")]
        [("users").negative_ttl("soon")]
        [("users").stale("soon")]
        [("users").l1_ttl("soon")]
        [("users").within(Duration::ZERO)]
        [("users").target_hit_ratio(85.0)]
    ));
    refused.extend(refusals!(source = HttpSource::builder, source.build();
        [("crm:8080/api")]
        [("ftp://crm/api")]
        [("http://crm/api?page=1")]
        [("http://crm/api").within(Duration::ZERO)]
        [("http://crm/api").most_at_once(0)]
        [("http://crm/api").header("two words", "x")]
    ));
    refused
}
