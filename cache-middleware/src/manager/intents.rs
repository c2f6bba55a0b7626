//! Intents: what a write is about to clear, recorded before its handler runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::CacheManager;
use crate::chance;
use crate::error::StoreError;
use crate::store::{Store, Target};

/// How long after a writer was last heard of its clear is carried out by another.
const DUE: Duration = Duration::from_secs(5);
const RENEWAL: Duration = Duration::from_millis(1_500);

/// What a write is about to clear. It is kept until it is withdrawn; if it is dropped instead, or dies with its process, some
/// node carries it out within [`DUE`] and what it takes to notice.
#[derive(Debug)]
pub(crate) struct Intent {
    store: Arc<dyn Store>,
    number: u64,
    renewal: JoinHandle<()>,
}

impl CacheManager {
    /// Records what a write is about to clear: one command.
    pub(crate) async fn intend(&self, targets: Vec<Target>) -> Result<Intent, StoreError> {
        let (store, number) = (self.inner.store.clone(), chance::random());
        let settle = self.settle;
        store.intend(number, &targets, settle, DUE).await?;
        let renewed = store.clone();
        // Not on the handler's own thread, which it may keep busy for longer than it is due.
        let renewal = self.inner.runtime.spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                // Once too often is a clear too many, and no harm.
                let _ = renewed.intend(number, &targets, settle, DUE).await;
            }
        });
        Ok(Intent { store, number, renewal })
    }
}

impl Intent {
    /// The clear is acknowledged, or there is none: forgotten in the background, because nobody needs to wait for it.
    pub(crate) fn withdraw(self) {
        let (store, number) = (self.store.clone(), self.number);
        drop(self);
        tokio::spawn(async move { store.withdraw(number, false).await });
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}
