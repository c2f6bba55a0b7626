//! The store in Redis. `docs/redis.md` explains the model; the scripts in `scripts/` are the model.

mod address;
mod atlas;
mod builder;
mod call;
mod channels;
mod condition;
mod counters;
mod ear;
mod examine;
mod fence;
mod flight;
mod hearing;
mod intents;
mod layout;
mod measure;
mod member;
mod operations;
mod place;
mod queues;
mod reads;
mod router;
mod scripts;
mod settings;
mod site;
mod suitability;
mod walk;

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use redis::{FromRedisValue, ScriptInvocation};

pub use self::builder::RedisStoreBuilder;
use self::member::RedisMember;
use self::router::Router;
use self::settings::Settings;
use self::walk::Walk;
use super::{
    Channels, Clearing, Condition, Counted, Examination, Filled, Filling, FleetNode, Lease, Listed, Listener, Lookup,
    Member, NodeId, Overdue, Queues, Receipt, Store, StoreSize, Swept, TagSize, Target, Usage,
};
use crate::chance::random;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::key::Key;
use crate::telemetry::Sample;
use crate::tenant::Tenant;

/// The store in one Redis server or cluster, shared by every node that uses the same namespace.
///
/// ```no_run
/// use std::time::Duration;
///
/// use cache_middleware::CacheManager;
/// use cache_middleware::store::RedisStore;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::builder("redis://127.0.0.1").namespace("shop").command_timeout(Duration::from_millis(20));
/// let cache = CacheManager::builder().store(store.connect().await?).build().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RedisStore {
    router: Arc<Router>,
    settings: Arc<Settings>,
    /// Names this node when it claims the sweep of a partition.
    token: String,
    walks: Mutex<Vec<Option<Walk>>>,
    /// The partition whose turn the next sweep is.
    turn: AtomicU16,
    /// Whether a partition had more to sweep in this pass over them.
    busy: AtomicBool,
    address: String,
    /// Values that were read and are no entries.
    refused_values: AtomicU64,
}

impl RedisStore {
    /// Settings for the Redis at an address: `redis://127.0.0.1:6379`, `rediss://…` for TLS, several separated by commas
    /// for a cluster, `redis+sentinel://host,host/master-name`.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url.into())
    }

    async fn invoke<T: FromRedisValue>(
        &self,
        partition: u16,
        invocation: ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let (mut connection, call) = self.router.call(partition)?;
        call.ended(invocation.invoke_async(&mut connection)).await
    }

    async fn query<T: FromRedisValue>(&self, partition: u16, command: &redis::Cmd) -> Result<T, StoreError> {
        let (mut connection, call) = self.router.call(partition)?;
        call.ended(command.query_async(&mut connection)).await
    }

    /// Runs an operation on every partition at once.
    async fn on_all<T, F, Fut>(&self, run: F) -> Result<Vec<T>, StoreError>
    where
        F: FnMut(u16) -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        try_join_all(self.settings.layout.partitions().map(run)).await
    }
}

impl Store for RedisStore {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Box::pin(self.do_read(key.name()))
    }

    fn read_many<'a>(&'a self, keys: &'a [&'a Key]) -> BoxFuture<'a, Vec<Result<Lookup, StoreError>>> {
        Box::pin(self.do_read_many(keys))
    }

    fn lease<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lease, StoreError>> {
        Box::pin(self.do_lease(key))
    }

    fn fill<'a>(
        &'a self,
        _: &'a Key,
        entry: &'a Arc<Entry>,
        filling: &'a Filling,
    ) -> BoxFuture<'a, Result<Filled, StoreError>> {
        Box::pin(self.do_fill(entry, filling))
    }

    fn usage<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Usage, StoreError>> {
        Box::pin(self.do_usage(tenant))
    }

    fn refused_values(&self) -> u64 {
        self.refused_values.load(Ordering::Relaxed)
    }

    fn condition(&self) -> BoxFuture<'_, Result<Condition, StoreError>> {
        Box::pin(self.do_condition())
    }

    fn tags(&self, most: usize) -> BoxFuture<'_, Result<Vec<TagSize>, StoreError>> {
        Box::pin(self.do_tags(most))
    }

    fn fleet(&self) -> BoxFuture<'_, Result<Vec<FleetNode>, StoreError>> {
        Box::pin(self.do_fleet())
    }

    fn examine<'a>(
        &'a self,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<Examination, StoreError>> {
        Box::pin(self.do_examine(progress))
    }

    fn measure(&self, samples: &mut Vec<Sample>) {
        self.do_measure(samples);
    }

    fn clear<'a>(&'a self, targets: &'a [Target], clearing: Clearing) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.do_clear(targets, clearing))
    }

    fn intend<'a>(
        &'a self,
        number: u64,
        targets: &'a [Target],
        settle: Duration,
        due: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.do_intend(number, targets, settle, due))
    }

    fn withdraw(&self, number: u64, carried_out: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.do_withdraw(number, carried_out))
    }

    fn overdue(&self) -> BoxFuture<'_, Result<Vec<Overdue>, StoreError>> {
        Box::pin(self.do_overdue())
    }

    fn count<'a>(&'a self, key: &'a Key, by: i64, window: Duration) -> BoxFuture<'a, Result<Counted, StoreError>> {
        Box::pin(self.do_count(key, by, window))
    }

    fn expire<'a>(&'a self, targets: &'a [Target], by: NodeId) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.do_expire(targets, by))
    }

    fn entries<'a>(&'a self, target: &'a Target, limit: usize) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        Box::pin(self.do_entries(target, limit))
    }

    fn sweep(&self) -> BoxFuture<'_, Result<Swept, StoreError>> {
        Box::pin(self.do_sweep())
    }

    fn size(&self) -> BoxFuture<'_, Result<StoreSize, StoreError>> {
        Box::pin(self.do_size())
    }

    fn now_ms(&self, key: &Key) -> u64 {
        self.router.now_ms(self.partition_of(key))
    }

    fn partitions(&self) -> u16 {
        self.settings.layout.partition_count()
    }

    fn partition_of(&self, key: &Key) -> u16 {
        self.settings.layout.partition_of(key.name())
    }

    fn join(&self, listener: Arc<dyn Listener>, lease: Duration) -> Option<Arc<dyn Member>> {
        let id = NodeId(random().max(1));
        Some(Arc::new(RedisMember::join(id, self.router.clone(), self.settings.clone(), listener, lease)))
    }

    fn queues(&self) -> Option<&dyn Queues> {
        Some(self)
    }

    fn channels(&self) -> Option<&dyn Channels> {
        Some(self)
    }

    fn describe(&self) -> String {
        format!("Redis at {}", self.address)
    }
}
