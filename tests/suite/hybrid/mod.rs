//! Critical and reference data, and the messages between them and their source.

mod attacks;
mod cluster;
mod critical;
mod data;
mod losses;
mod messages;
mod reference;
mod source;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cache_middleware::{
    CacheManager, ChangeConsumer, ChangeMessage, ChangePublisher, CriticalCache, CriticalCacheBuilder, Record,
    SourceError, SourceOfTruth,
};
use tokio::sync::watch;

/// An application, and a type of its data.
pub(crate) const APP: &str = "crm";
pub(crate) const COSTS: &str = "credit-configs";

/// An authority on numbers by name, in memory, that can be away, be slow and count.
#[derive(Debug)]
pub(crate) struct Authority {
    records: Mutex<BTreeMap<String, Record<String, i64>>>,
    versions: AtomicU64,
    pub(crate) asked_all: AtomicU64,
    pub(crate) asked_many: AtomicU64,
    pub(crate) asked_one: AtomicU64,
    away: Mutex<bool>,
    /// Whether answers are given; until then they wait, as they were made.
    open: watch::Sender<bool>,
}

impl Authority {
    pub(crate) fn of(records: &[(&str, i64)]) -> Arc<Self> {
        let authority = Arc::new(Self {
            records: Mutex::default(),
            versions: AtomicU64::new(0),
            asked_all: AtomicU64::new(0),
            asked_many: AtomicU64::new(0),
            asked_one: AtomicU64::new(0),
            away: Mutex::new(false),
            open: watch::Sender::new(true),
        });
        for (key, value) in records {
            authority.set(key, Some(*value));
        }
        authority
    }

    /// Changes a record; gives what is to be published of that.
    pub(crate) fn set(&self, key: &str, value: Option<i64>) -> ChangeMessage {
        let version = self.versions.fetch_add(1, Ordering::SeqCst) + 1;
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match value {
            Some(value) => records.insert(key.to_owned(), Record { key: key.to_owned(), version, value }),
            None => records.remove(key),
        };
        let json = |value: Option<i64>| value.map_or(serde_json::Value::Null, Into::into);
        let message = ChangeMessage::new("credit-config-changed").field("code", key).changed(&["cost"]);
        message.from_to(json(before.map(|record| record.value)), json(value)).version(version)
    }

    pub(crate) fn be_away(&self, away: bool) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away;
    }

    /// Whether answers are let out.
    pub(crate) fn answers(&self, open: bool) {
        self.open.send_replace(open);
    }

    pub(crate) fn records(&self) -> BTreeMap<String, i64> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.values().map(|record| (record.key.clone(), record.value)).collect()
    }

    /// What there is now, given when answers are let out.
    async fn answer<T>(
        &self,
        take: impl FnOnce(&BTreeMap<String, Record<String, i64>>) -> T,
    ) -> Result<T, SourceError> {
        let answer = take(&self.records.lock().unwrap_or_else(PoisonError::into_inner));
        if *self.away.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(SourceError::Unavailable("as the test has it".to_owned()));
        }
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        Ok(answer)
    }
}

/// A node's way to it.
#[derive(Debug, Clone)]
pub(crate) struct To(pub(super) Arc<Authority>);

impl SourceOfTruth<String, i64> for To {
    async fn one(&self, key: &String) -> Result<Option<Record<String, i64>>, SourceError> {
        self.0.asked_one.fetch_add(1, Ordering::SeqCst);
        self.0.answer(|records| records.get(key).cloned()).await
    }

    async fn many(&self, keys: &[String]) -> Result<Vec<Record<String, i64>>, SourceError> {
        self.0.asked_many.fetch_add(1, Ordering::SeqCst);
        self.0.answer(|records| keys.iter().filter_map(|key| records.get(key).cloned()).collect()).await
    }

    async fn all(&self) -> Result<Vec<Record<String, i64>>, SourceError> {
        self.0.asked_all.fetch_add(1, Ordering::SeqCst);
        self.0.answer(|records| records.values().cloned().collect()).await
    }
}

pub(crate) type Costs = CriticalCache<String, i64>;

/// A node that follows the costs, with a short beat.
pub(crate) async fn follows(cache: &CacheManager) -> ChangeConsumer {
    let consumer = ChangeConsumer::builder(APP).beat("20ms").start(cache).await.expect("a consumer");
    consumer.tenant("123").expect("a tenant")
}

pub(crate) fn builder() -> CriticalCacheBuilder<String, i64> {
    CriticalCache::builder(COSTS).key("code").refresh("1h")
}

pub(crate) async fn costs(changes: &ChangeConsumer, authority: &Arc<Authority>) -> Costs {
    builder().start(changes, To(authority.clone())).await.expect("a cache")
}

pub(crate) async fn publisher(cache: &CacheManager, keep: u64) -> ChangePublisher {
    let publisher = ChangePublisher::builder(APP).keep(keep).start(cache).await.expect("a publisher");
    publisher.tenant("123").expect("a tenant")
}

pub(crate) fn all(costs: &Costs) -> BTreeMap<String, i64> {
    costs.all().into_iter().collect()
}

/// Waits until something is so; a test that waits for what never comes says what that is.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    cache_suite::until(what, async || is_so()).await;
}

/// Waits until everything that was published is known to be in effect.
pub(crate) async fn until_proven(costs: &Costs) {
    let began = std::time::Instant::now();
    until("the cache is proven to be complete", || {
        costs.freshness().proven_for.is_some_and(|age| age < began.elapsed())
    })
    .await;
}
