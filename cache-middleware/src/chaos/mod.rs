//! Faults on purpose, for tests of services that use this cache (feature `test-util`).
//!
//! [`ChaosStore`] stands before any store and delays, fails, loses, repeats or hangs what is asked of it, and the signals
//! that come from it; [`ChaosTime`] is a clock that runs at another speed, or leaps.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use cache_middleware::CacheManager;
//! use cache_middleware::chaos::{ChaosStore, Fault, Operation};
//! use cache_middleware::store::MemoryStore;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let store = ChaosStore::before(MemoryStore::default());
//! let cache = CacheManager::builder().shared_store(store.clone()).build().await?;
//!
//! store.inject(Operation::Clear, Fault::Error);
//! assert!(cache.clear_tag("room:7").await?.journaled);
//! store.heal();
//! tokio::time::timeout(Duration::from_secs(5), async {
//!     while store.asked(Operation::Clear) < 2 {
//!         tokio::time::sleep(Duration::from_millis(10)).await;
//!     }
//! })
//! .await?;
//! assert!(!cache.clear_tag("room:7").await?.journaled);
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channels;
mod queues;
mod signals;
mod store;
mod time;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use self::store::ChaosStore;
pub use self::time::ChaosTime;
use crate::error::StoreError;

/// What a fault befalls.
///
/// At work: [`crate::chaos`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Looking up an entry.
    Read,
    /// Reading the clock before a handler runs.
    Lease,
    /// Storing an entry.
    Fill,
    /// Clearing.
    Clear,
    /// Recording what a write is about to clear, and carrying it out.
    Intend,
    /// Counting.
    Count,
    /// Queues of changes: adding, flushing, setting aside.
    Queue,
    /// Publishing a message, and asking what comes after a position.
    Channel,
    /// A message as it is pushed to this node.
    Push,
    /// Expiring.
    Expire,
    /// Listing what is behind a tag, counting what a tenant has.
    List,
    /// Freeing the memory of cleared entries.
    Sweep,
    /// Asking for the right to run a handler.
    TakeOff,
    /// A signal of another node's clear, and the proofs that none is missing.
    Signal,
}

/// What befalls an operation.
///
/// At work: [`crate::chaos`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It comes so much later.
    Delay(Duration),
    /// It does not happen, and its caller is told so. A signal is lost, and nobody is told.
    Error,
    /// It happens, and its caller is told that it did not: the answer is lost. A signal is lost.
    Lost,
    /// It happens twice.
    Twice,
    /// It does not happen until the fault is healed, and its caller waits. A signal is lost.
    Hang,
    /// It happens, and its caller waits for the answer until the fault is healed. A signal is lost.
    Held,
}

/// The faults that are in force, and how often each operation was asked for.
#[derive(Debug, Default)]
struct Faults {
    injected: Mutex<HashMap<Operation, Fault>>,
    asked: Mutex<HashMap<Operation, u64>>,
    /// How many wait for each to be healed.
    waiting: Mutex<HashMap<Operation, usize>>,
    changed: tokio::sync::Notify,
}

impl Faults {
    fn inject(&self, operation: Operation, fault: Fault) {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner).insert(operation, fault);
        self.changed.notify_waiters();
    }

    fn heal(&self, which: impl Fn(Operation) -> bool) {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner).retain(|operation, _| !which(*operation));
        self.changed.notify_waiters();
    }

    fn of(&self, operation: Operation) -> Option<Fault> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner).get(&operation).copied()
    }

    fn count(&self, operation: Operation) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(operation).or_default() += 1;
    }

    fn asked(&self, operation: Operation) -> u64 {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(&operation).copied().unwrap_or(0)
    }

    /// Waits as long as an operation has a fault.
    async fn while_it_is(&self, operation: Operation, fault: Fault) {
        let _waiting = Waiting::begin(self, operation);
        loop {
            let changed = self.changed.notified();
            if self.of(operation) != Some(fault) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until somebody waits for an operation to be healed.
    async fn until_one_waits(&self, operation: Operation) {
        loop {
            let changed = self.changed.notified();
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&operation).copied();
            if waiting.is_some_and(|waiting| waiting > 0) {
                return;
            }
            changed.await;
        }
    }

    /// Does an operation as its fault has it.
    async fn befall<T, F>(&self, operation: Operation, act: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.count(operation);
        let lost = || StoreError::Unavailable("as chaos has it".to_owned());
        match self.of(operation) {
            None => act().await,
            Some(Fault::Error) => Err(lost()),
            Some(Fault::Lost) => act().await.and(Err(lost())),
            Some(Fault::Twice) => {
                act().await?;
                act().await
            }
            Some(Fault::Delay(by)) => {
                tokio::time::sleep(by).await;
                act().await
            }
            Some(Fault::Hang) => {
                self.while_it_is(operation, Fault::Hang).await;
                act().await
            }
            Some(Fault::Held) => {
                let answer = act().await;
                self.while_it_is(operation, Fault::Held).await;
                answer
            }
        }
    }
}

/// Somebody who waits; also one who goes away.
struct Waiting<'a> {
    faults: &'a Faults,
    operation: Operation,
}

impl<'a> Waiting<'a> {
    fn begin(faults: &'a Faults, operation: Operation) -> Self {
        *faults.waiting.lock().unwrap_or_else(PoisonError::into_inner).entry(operation).or_default() += 1;
        faults.changed.notify_waiters();
        Self { faults, operation }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.faults.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.get_mut(&self.operation) {
            *waiting -= 1;
        }
    }
}
