//! Sequences that once broke what critical and reference data promise.

mod hints;
mod messages;
mod reference;
mod table;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::{MemoryStore, Store};
use cache_middleware::time::ManualTime;
use cache_middleware::{
    ChangeMessage, ChangePublisher, CriticalCache, HttpSource, PastLimit, Record, ReferenceCache, SourceError,
    SourceOfTruth,
};
use cache_suite::{Kind, TestStore, node};
use serde_json::json;
use tokio::sync::watch;

use super::{APP, Authority, COSTS, To, all, builder, costs, follows, publisher, until, until_proven};

const CHANNEL: &str = "crm:123:credit-configs";

pub(super) fn a() -> String {
    "a".to_owned()
}

/// A source whose answers to each of its questions are made when it is asked, and given when the test says so.
#[derive(Debug)]
pub(super) struct Gated {
    records: Mutex<BTreeMap<String, Record<String, i64>>>,
    all: watch::Sender<bool>,
    many: watch::Sender<bool>,
    asked_all: AtomicU64,
    asked_many: AtomicU64,
    refuses: Mutex<Option<String>>,
    all_refused: Mutex<bool>,
}

impl Gated {
    fn of(records: &[(&str, u64, i64)]) -> Arc<Self> {
        let records = records.iter().map(|(key, version, value)| {
            ((*key).to_owned(), Record { key: (*key).to_owned(), version: *version, value: *value })
        });
        Arc::new(Self {
            records: Mutex::new(records.collect()),
            all: watch::Sender::new(true),
            many: watch::Sender::new(true),
            asked_all: AtomicU64::new(0),
            asked_many: AtomicU64::new(0),
            refuses: Mutex::new(None),
            all_refused: Mutex::new(false),
        })
    }

    fn set(&self, key: &str, version: u64, value: Option<i64>) {
        let mut records = self.records.lock().expect("a lock");
        match value {
            Some(value) => records.insert(key.to_owned(), Record { key: key.to_owned(), version, value }),
            None => records.remove(key),
        };
    }
}

#[derive(Debug, Clone)]
pub(super) struct ToGated(pub(super) Arc<Gated>);

impl SourceOfTruth<String, i64> for ToGated {
    async fn one(&self, key: &String) -> Result<Option<Record<String, i64>>, SourceError> {
        Ok(self.many(std::slice::from_ref(key)).await?.pop())
    }

    async fn many(&self, keys: &[String]) -> Result<Vec<Record<String, i64>>, SourceError> {
        let found = {
            let records = self.0.records.lock().expect("a lock");
            keys.iter().filter_map(|key| records.get(key).cloned()).collect()
        };
        self.0.asked_many.fetch_add(1, Ordering::SeqCst);
        if let Some(refused) = &*self.0.refuses.lock().expect("a lock")
            && keys.contains(refused)
        {
            return Err(SourceError::Refused("it says 400".to_owned()));
        }
        let _ = self.0.many.subscribe().wait_for(|open| *open).await;
        Ok(found)
    }

    async fn all(&self) -> Result<Vec<Record<String, i64>>, SourceError> {
        let found = self.0.records.lock().expect("a lock").values().cloned().collect();
        self.0.asked_all.fetch_add(1, Ordering::SeqCst);
        if *self.0.all_refused.lock().expect("a lock") {
            return Err(SourceError::Unavailable("as the test has it".to_owned()));
        }
        let _ = self.0.all.subscribe().wait_for(|open| *open).await;
        Ok(found)
    }
}

/// Asks until the source was asked for it.
pub(super) async fn asks(cache: &CriticalCache<String, i64>, key: &str) -> Option<i64> {
    for _ in 0..2_000 {
        let look = cache.look(&key.to_owned()).await.expect("an answer");
        if !look.cached {
            return look.value;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it was always cached");
}
