//! A store of each kind, for tests that hold on both.

use std::sync::Arc;
use std::time::Duration;

use cache_middleware::store::{MemoryStore, RedisStore, RedisStoreBuilder, Store};
use cache_middleware::{CacheManager, CacheManagerBuilder, Coherence};

use crate::RedisServer;

/// Settings of a store for tests whose subject is not time: a machine that is busy with other tests may keep a command waiting
/// for longer than a request would.
pub fn redis_at(url: impl Into<String>) -> RedisStoreBuilder {
    RedisStore::builder(url).command_timeout(Duration::from_millis(500))
}

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the process.
    Memory,
    /// On a Redis of its own.
    Redis,
    /// On a Redis of its own, spread over 4 partitions.
    RedisPartitioned,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Redis, Self::RedisPartitioned];
}

/// A store, and what it lives on.
#[derive(Debug)]
pub struct TestStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The server behind it, if it has one.
    pub server: Option<RedisServer>,
}

impl TestStore {
    /// Opens an empty store.
    ///
    /// # Panics
    /// If Redis does not start.
    pub async fn open(kind: Kind) -> Self {
        let partitions = match kind {
            Kind::Memory => return Self { store: Arc::new(MemoryStore::default()), server: None },
            Kind::Redis => 1,
            Kind::RedisPartitioned => 4,
        };
        let server = RedisServer::start();
        let store = redis_at(server.url()).partitions(partitions).connect().await.expect("a store");
        Self { store: Arc::new(store), server: Some(server) }
    }

    /// A node on the store: a manager that knows no TTL names and rules.
    ///
    /// # Panics
    /// If it cannot be built.
    pub async fn node(&self) -> CacheManager {
        node(&self.store).await
    }
}

/// A node on a store, without an L1: what one of them clears, the others see at once.
///
/// # Panics
/// If it cannot be built.
pub async fn node(store: &Arc<dyn Store>) -> CacheManager {
    built(CacheManager::builder().l1_bytes(0), store).await
}

/// A node on a store, with an L1.
///
/// # Panics
/// If it cannot be built.
pub async fn node_with_l1(store: &Arc<dyn Store>, coherence: Coherence) -> CacheManager {
    built(CacheManager::builder().coherence(coherence), store).await
}

async fn built(builder: CacheManagerBuilder, store: &Arc<dyn Store>) -> CacheManager {
    builder.shared_store(store.clone()).without_annotation_checks().build().await.expect("a manager")
}

/// Stores `count` small values under one tag, their keys `<tag>:<number>`.
///
/// # Panics
/// If one is not stored.
pub async fn fill(cache: &CacheManager, count: usize, ttl: &str, tag: &str) {
    let policy = cache.policy(ttl).and_then(|policy| policy.tag(tag)).expect("a policy");
    let values: Vec<(String, usize)> = (0..count).map(|number| (format!("{tag}:{number}"), number)).collect();
    for chunk in values.chunks(512) {
        let chunk: Vec<(&str, usize)> = chunk.iter().map(|(key, number)| (key.as_str(), *number)).collect();
        assert!(cache.set_many(&policy, &chunk).await.expect("a set").into_iter().all(|stored| stored));
    }
}
