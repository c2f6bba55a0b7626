//! A store whose replies can be held: the operation happens, and its caller learns of it later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_middleware::entry::Entry;
use cache_middleware::store::{
    Clearing, Counted, Filled, Filling, Lease, Listed, Listener, Lookup, Member, NodeId, Receipt, Store, StoreSize,
    Swept, Target, Usage,
};
use cache_middleware::{Key, StoreError, Tenant};
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore};

/// Holds the replies of one kind of operation.
#[derive(Debug)]
pub struct Gate {
    open: Semaphore,
    waiting: AtomicUsize,
    arrived: Notify,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: Semaphore::new(Semaphore::MAX_PERMITS), waiting: AtomicUsize::new(0), arrived: Notify::new() }
    }
}

impl Gate {
    /// Holds every reply from now on.
    pub fn close(&self) {
        self.open.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets all replies through.
    pub fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS - self.open.available_permits());
    }

    /// Waits until a reply is held.
    pub async fn held(&self) {
        loop {
            let arrived = self.arrived.notified();
            if self.waiting.load(Ordering::SeqCst) > 0 {
                return;
            }
            arrived.await;
        }
    }

    async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.arrived.notify_waiters();
        let _permit = self.open.acquire().await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A store behind gates.
#[derive(Debug)]
pub struct GatedStore {
    inner: Arc<dyn Store>,
    /// Holds replies to reads.
    pub reads: Gate,
    /// Holds replies to fills.
    pub fills: Gate,
}

impl GatedStore {
    /// Puts gates, all open, before a store.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, reads: Gate::default(), fills: Gate::default() })
    }
}

impl Store for GatedStore {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Box::pin(async move {
            let reply = self.inner.read(key).await;
            self.reads.pass().await;
            reply
        })
    }

    fn lease<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lease, StoreError>> {
        self.inner.lease(key)
    }

    fn fill<'a>(
        &'a self,
        key: &'a Key,
        entry: &'a Arc<Entry>,
        filling: &'a Filling,
    ) -> BoxFuture<'a, Result<Filled, StoreError>> {
        Box::pin(async move {
            let reply = self.inner.fill(key, entry, filling).await;
            self.fills.pass().await;
            reply
        })
    }

    fn clear<'a>(&'a self, targets: &'a [Target], clearing: Clearing) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        self.inner.clear(targets, clearing)
    }

    fn count<'a>(&'a self, key: &'a Key, by: i64, window: Duration) -> BoxFuture<'a, Result<Counted, StoreError>> {
        self.inner.count(key, by, window)
    }

    fn expire<'a>(&'a self, targets: &'a [Target], by: NodeId) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        self.inner.expire(targets, by)
    }

    fn entries<'a>(&'a self, target: &'a Target, limit: usize) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        self.inner.entries(target, limit)
    }

    fn usage<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Usage, StoreError>> {
        self.inner.usage(tenant)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<Swept, StoreError>> {
        self.inner.sweep()
    }

    fn size(&self) -> BoxFuture<'_, Result<StoreSize, StoreError>> {
        self.inner.size()
    }

    fn now_ms(&self, key: &Key) -> u64 {
        self.inner.now_ms(key)
    }

    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }

    fn partition_of(&self, key: &Key) -> u16 {
        self.inner.partition_of(key)
    }

    fn join(&self, listener: Arc<dyn Listener>, lease: Duration) -> Option<Arc<dyn Member>> {
        self.inner.join(listener, lease)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
