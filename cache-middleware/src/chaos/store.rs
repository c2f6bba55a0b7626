//! A store behind faults.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::signals::{ChaosListener, ChaosMember};
use super::{Fault, Faults, Operation};
use crate::entry::Entry;
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{
    Channels, Clearing, Condition, Counted, Examination, Filled, Filling, FleetNode, Lease, Listed, Listener, Lookup,
    Member, NodeId, Overdue, Queues, Receipt, Store, StoreSize, Swept, TagSize, Target, Usage,
};
use crate::telemetry::Sample;
use crate::tenant::Tenant;

/// A store with faults before it. Without any it is the store.
///
/// At work: [`crate::chaos`].
#[derive(Debug)]
pub struct ChaosStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) faults: Arc<Faults>,
}

impl ChaosStore {
    /// Stands before a store.
    #[must_use]
    pub fn before(store: impl Store) -> Arc<Self> {
        Self::before_shared(Arc::new(store))
    }

    /// Stands before a store that others share: each node may have faults of its own.
    #[must_use]
    pub fn before_shared(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner: store, faults: Arc::default() })
    }

    /// Has a fault befall an operation from now on, in the place of an earlier one.
    pub fn inject(&self, operation: Operation, fault: Fault) {
        self.faults.inject(operation, fault);
    }

    /// Takes all faults away; what hangs goes on.
    pub fn heal(&self) {
        self.faults.heal(|_| true);
    }

    /// Takes the fault of one operation away.
    pub fn heal_only(&self, operation: Operation) {
        self.faults.heal(|healed| healed == operation);
    }

    /// Waits until somebody waits in an operation that hangs, or whose answer is held.
    pub async fn until_held(&self, operation: Operation) {
        self.faults.until_one_waits(operation).await;
    }

    /// How often an operation was asked for.
    #[must_use]
    pub fn asked(&self, operation: Operation) -> u64 {
        self.faults.asked(operation)
    }
}

impl Store for ChaosStore {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Box::pin(self.faults.befall(Operation::Read, || self.inner.read(key)))
    }

    fn read_many<'a>(&'a self, keys: &'a [&'a Key]) -> BoxFuture<'a, Vec<Result<Lookup, StoreError>>> {
        Box::pin(async move {
            let befallen = self.faults.befall(Operation::Read, || async { Ok(self.inner.read_many(keys).await) });
            befallen.await.unwrap_or_else(|error| vec![Err(error); keys.len()])
        })
    }

    fn lease<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lease, StoreError>> {
        Box::pin(self.faults.befall(Operation::Lease, || self.inner.lease(key)))
    }

    fn fill<'a>(
        &'a self,
        key: &'a Key,
        entry: &'a Arc<Entry>,
        filling: &'a Filling,
    ) -> BoxFuture<'a, Result<Filled, StoreError>> {
        Box::pin(self.faults.befall(Operation::Fill, move || self.inner.fill(key, entry, filling)))
    }

    fn clear<'a>(&'a self, targets: &'a [Target], clearing: Clearing) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.faults.befall(Operation::Clear, move || self.inner.clear(targets, clearing)))
    }

    fn intend<'a>(
        &'a self,
        number: u64,
        targets: &'a [Target],
        settle: Duration,
        due: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.faults.befall(Operation::Intend, move || self.inner.intend(number, targets, settle, due)))
    }

    fn withdraw(&self, number: u64, carried_out: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.faults.befall(Operation::Intend, move || self.inner.withdraw(number, carried_out)))
    }

    fn overdue(&self) -> BoxFuture<'_, Result<Vec<Overdue>, StoreError>> {
        Box::pin(self.faults.befall(Operation::Intend, || self.inner.overdue()))
    }

    fn count<'a>(&'a self, key: &'a Key, by: i64, window: Duration) -> BoxFuture<'a, Result<Counted, StoreError>> {
        Box::pin(self.faults.befall(Operation::Count, move || self.inner.count(key, by, window)))
    }

    fn expire<'a>(&'a self, targets: &'a [Target], by: NodeId) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.faults.befall(Operation::Expire, move || self.inner.expire(targets, by)))
    }

    fn entries<'a>(&'a self, target: &'a Target, limit: usize) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        Box::pin(self.faults.befall(Operation::List, move || self.inner.entries(target, limit)))
    }

    fn usage<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Usage, StoreError>> {
        Box::pin(self.faults.befall(Operation::List, || self.inner.usage(tenant)))
    }

    fn sweep(&self) -> BoxFuture<'_, Result<Swept, StoreError>> {
        Box::pin(self.faults.befall(Operation::Sweep, || self.inner.sweep()))
    }

    fn size(&self) -> BoxFuture<'_, Result<StoreSize, StoreError>> {
        Box::pin(self.faults.befall(Operation::List, || self.inner.size()))
    }

    fn condition(&self) -> BoxFuture<'_, Result<Condition, StoreError>> {
        Box::pin(self.faults.befall(Operation::List, || self.inner.condition()))
    }

    fn tags(&self, most: usize) -> BoxFuture<'_, Result<Vec<TagSize>, StoreError>> {
        Box::pin(self.faults.befall(Operation::List, move || self.inner.tags(most)))
    }

    fn fleet(&self) -> BoxFuture<'_, Result<Vec<FleetNode>, StoreError>> {
        Box::pin(self.faults.befall(Operation::List, || self.inner.fleet()))
    }

    fn examine<'a>(
        &'a self,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<Examination, StoreError>> {
        Box::pin(self.faults.befall(Operation::List, || self.inner.examine(progress)))
    }

    fn measure(&self, samples: &mut Vec<Sample>) {
        self.inner.measure(samples);
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
        let listener = Arc::new(ChaosListener::new(listener, self.faults.clone()));
        let member = self.inner.join(listener, lease)?;
        Some(Arc::new(ChaosMember::new(member, self.faults.clone())))
    }

    fn refused_values(&self) -> u64 {
        self.inner.refused_values()
    }

    fn queues(&self) -> Option<&dyn Queues> {
        self.inner.queues().map(|_| self as &dyn Queues)
    }

    fn channels(&self) -> Option<&dyn Channels> {
        self.inner.channels().map(|_| self as &dyn Channels)
    }

    fn describe(&self) -> String {
        format!("{}, behind chaos", self.inner.describe())
    }
}
