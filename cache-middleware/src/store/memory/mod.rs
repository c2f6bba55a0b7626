//! The store inside the process: for one node, for tests, and for a start without Redis.

mod channels;
mod counters;
mod index;
mod queues;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};

use self::channels::MemoryChannels;
use self::counters::Counters;
use self::queues::MemoryQueues;
use self::state::State;
use super::{
    Channels, Clearing, Counted, Filled, Filling, Found, Lease, Listed, Lookup, NodeId, Queues, Receipt, Store,
    StoreSize, Swept, TagSize, Target, Usage,
};
use crate::entry::Entry;
use crate::error::StoreError;
use crate::key::Key;
use crate::tenant::Tenant;
use crate::time::{Millis, MonotonicTime, TimeSource};

/// A bounded store in the memory of one process.
///
/// One lock guards it; no operation holds the lock for longer than a bounded number of entries takes. Over its bound
/// it evicts the least recently used entries, together with their places in the index.
///
/// ```
/// use cache_middleware::CacheManager;
/// use cache_middleware::store::MemoryStore;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::builder().max_bytes(64 << 20).build();
/// let cache = CacheManager::builder().store(store).build().await?;
/// assert!(cache.set("menu", &cache.policy("5m")?, &"soup").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    counters: Mutex<Counters>,
    queues: MemoryQueues,
    channels: MemoryChannels,
    time: Arc<dyn TimeSource>,
}

/// Settings of a [`MemoryStore`].
///
/// At work: [`MemoryStore`].
#[derive(Debug)]
#[must_use]
pub struct MemoryStoreBuilder {
    max_bytes: usize,
    keep_marks: Duration,
    time: Arc<dyn TimeSource>,
}

impl MemoryStoreBuilder {
    /// The most bytes its entries may weigh. Default 256 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How long a mark is kept after its sweep, so that fills that began before it are told exactly what covers them.
    /// A fill that is older than the kept marks is refused. Default 60 s.
    pub fn keep_marks(mut self, duration: Duration) -> Self {
        self.keep_marks = duration;
        self
    }

    /// The source of elapsed time.
    pub fn time(mut self, time: impl TimeSource) -> Self {
        self.time = Arc::new(time);
        self
    }

    /// Builds the store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        let keep_ms = Millis::from(self.keep_marks).0;
        let state = Mutex::new(State::new(self.max_bytes, keep_ms));
        let queues = MemoryQueues::new(self.time.clone());
        let channels = MemoryChannels::default();
        MemoryStore { state, counters: Mutex::default(), queues, channels, time: self.time }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl MemoryStore {
    /// The settings, to change some before [`MemoryStoreBuilder::build`].
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            max_bytes: 256 << 20,
            keep_marks: Duration::from_secs(60),
            time: Arc::new(MonotonicTime::default()),
        }
    }

    /// A panic while the lock was held would have been a bug in this module; the state is still the best there is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marked(&self, targets: &[Target], act: impl FnOnce(&mut State, u64) -> Receipt) -> Result<Receipt, StoreError> {
        if let Some(unfit) = targets.iter().find(|target| target.mark().is_none()) {
            return Err(StoreError::Failed(format!("{unfit:?} cannot be expired, only cleared")));
        }
        let now = self.time.now_ms();
        Ok(act(&mut self.lock(), now))
    }
}

impl Store for MemoryStore {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        let now = self.time.now_ms();
        let mut state = self.lock();
        let found = state.read(key.name(), now).map(|(entry, version, expired_ms)| {
            let held_for = Duration::from_millis(now.saturating_sub(entry.stored_at_ms));
            let expired_for = expired_ms.map(|at| Duration::from_millis(now.saturating_sub(at)));
            Found::new(entry, version, held_for, expired_for)
        });
        let stamp = Some(state.stamp());
        Box::pin(ready(Ok(Lookup { found, stamp })))
    }

    fn lease<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, Result<Lease, StoreError>> {
        let stamp = self.lock().stamp();
        Box::pin(ready(Ok(Lease { stamp })))
    }

    /// Nobody else can hold what is here: every clear is strict.
    fn fill<'a>(
        &'a self,
        _: &'a Key,
        entry: &'a Arc<Entry>,
        filling: &'a Filling,
    ) -> BoxFuture<'a, Result<Filled, StoreError>> {
        let now = self.time.now_ms();
        let filled = self.lock().fill(entry, filling, now);
        Box::pin(ready(Ok(filled)))
    }

    fn clear<'a>(&'a self, targets: &'a [Target], clearing: Clearing) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        let now = self.time.now_ms();
        let settle_ms = Millis::from(clearing.settle).0;
        let receipt = self.lock().clear(targets, now, settle_ms);
        Box::pin(ready(Ok(receipt)))
    }

    fn count<'a>(&'a self, key: &'a Key, by: i64, window: Duration) -> BoxFuture<'a, Result<Counted, StoreError>> {
        let now = self.time.now_ms();
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(ready(Ok(counters.count(key.name(), by, window, now))))
    }

    fn expire<'a>(&'a self, targets: &'a [Target], _: NodeId) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(ready(self.marked(targets, |state, now| state.expire(targets, now))))
    }

    fn entries<'a>(&'a self, target: &'a Target, limit: usize) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        let Some(mark) = target.mark() else {
            return Box::pin(ready(Err(StoreError::Failed(format!("the entries behind {target:?} cannot be listed")))));
        };
        let now = self.time.now_ms();
        let listed = self.lock().entries(target, &mark.id, limit, now);
        Box::pin(ready(Ok(listed)))
    }

    fn usage<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Usage, StoreError>> {
        let usage = self.lock().usage(tenant);
        Box::pin(ready(Ok(usage)))
    }

    fn sweep(&self) -> BoxFuture<'_, Result<Swept, StoreError>> {
        let now = self.time.now_ms();
        let swept = self.lock().sweep(now);
        Box::pin(ready(Ok(swept)))
    }

    fn size(&self) -> BoxFuture<'_, Result<StoreSize, StoreError>> {
        let size = self.lock().size();
        Box::pin(ready(Ok(size)))
    }

    fn tags(&self, most: usize) -> BoxFuture<'_, Result<Vec<TagSize>, StoreError>> {
        let tags = self.lock().tags(most);
        Box::pin(ready(Ok(tags)))
    }

    fn now_ms(&self, _: &Key) -> u64 {
        self.time.now_ms()
    }

    fn queues(&self) -> Option<&dyn Queues> {
        Some(&self.queues)
    }

    fn channels(&self) -> Option<&dyn Channels> {
        Some(&self.channels)
    }

    fn describe(&self) -> String {
        "the embedded store of this process".to_owned()
    }
}
