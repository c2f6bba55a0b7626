//! Messages on their way into the store: in order, and kept in memory until it has acknowledged them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use crate::error::{CacheError, StoreError};
use crate::manager::CacheManager;
use crate::store::{Store, Target};

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_millis(500);

/// The messages, and the task that publishes them.
pub(super) struct Outbox {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    store: Arc<dyn Store>,
    keep: u64,
    most: usize,
    state: Mutex<State>,
    filled: Notify,
    /// How many wait.
    left: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Whether the last attempt has failed: whoever adds does not wait to be told.
    fails: bool,
}

/// A message, and what is made of the record that it is about.
#[derive(Clone)]
pub(super) struct Item {
    /// Whose it is.
    pub(super) cache: CacheManager,
    pub(super) targets: Vec<Target>,
    pub(super) channel: Arc<str>,
    pub(super) text: Bytes,
}

struct Waiting {
    item: Item,
    /// Whether its clear is acknowledged, or journaled.
    cleared: bool,
    /// Told when it is published; dropped when it is not yet.
    published: Option<oneshot::Sender<()>>,
}

impl Outbox {
    pub(super) fn start(store: Arc<dyn Store>, keep: u64, most: usize) -> Self {
        let (state, filled, left) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        let shared = Arc::new(Shared { store, keep, most, state, filled, left });
        let task = tokio::spawn(empty(shared.clone()));
        Self { shared, task }
    }

    /// Publishes a message past those that wait.
    pub(super) async fn publish(&self, item: &Item) -> Result<(), StoreError> {
        self.shared.publish(item).await
    }

    /// Adds a message. From then on it is published whatever becomes of the caller; the receiver is told when it is, and closed
    /// when that takes longer.
    pub(super) fn add(&self, item: Item) -> Result<oneshot::Receiver<()>, CacheError> {
        let mut state = self.shared.lock();
        let most = self.shared.most;
        if state.waiting.len() >= most {
            return Err(CacheError::QueueFull(format!(
                "{most} change messages wait for the store already: this one was not published, and those who keep the data learn \
                 of it when they load it again"
            )));
        }
        let (published, told) = oneshot::channel();
        let published = (!state.fails).then_some(published);
        state.waiting.push_back(Waiting { item, cleared: false, published });
        self.shared.left.send_replace(state.waiting.len());
        drop(state);
        self.shared.filled.notify_one();
        Ok(told)
    }

    pub(super) fn left(&self) -> watch::Receiver<usize> {
        self.shared.left.subscribe()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.task.abort();
        let lost = self.shared.lock().waiting.len();
        if lost > 0 {
            log::error!(
                "{lost} change messages were never published: those who keep the data learn of it when they load it again"
            );
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(&self, item: &Item) -> Result<(), StoreError> {
        match self.store.channels() {
            Some(channels) => channels.publish(&item.channel, &item.text, self.keep).await.map(|_| ()),
            None => Err(StoreError::Failed(format!("{} has no channels", self.store.describe()))),
        }
    }

    fn first(&self) -> Option<(Item, bool)> {
        self.lock().waiting.front().map(|first| (first.item.clone(), first.cleared))
    }

    /// Clears what was made of the record before. What the store does not acknowledge is the journal's from then on.
    async fn clear(&self, item: &Item) {
        let journaled = item.cache.clear(item.targets.clone()).await.map_or(true, |receipt| receipt.journaled);
        let mut state = self.lock();
        if let Some(first) = state.waiting.front_mut() {
            first.cleared = true;
            if journaled {
                first.published = None;
            }
        }
    }

    fn published(&self) {
        let mut state = self.lock();
        state.fails = false;
        if let Some(published) = state.waiting.pop_front().and_then(|first| first.published) {
            let _ = published.send(());
        }
        self.left.send_replace(state.waiting.len());
    }

    /// Whether it is the first time in a row.
    fn failed(&self) -> bool {
        let mut state = self.lock();
        for waiting in &mut state.waiting {
            waiting.published = None;
        }
        !std::mem::replace(&mut state.fails, true)
    }
}

/// Publishes what waits, the oldest first.
async fn empty(shared: Arc<Shared>) {
    let mut retry = FIRST_RETRY;
    loop {
        let Some((item, cleared)) = shared.first() else {
            shared.filled.notified().await;
            continue;
        };
        if !cleared {
            shared.clear(&item).await;
        }
        match shared.publish(&item).await {
            Ok(()) => {
                shared.published();
                retry = FIRST_RETRY;
            }
            Err(error) => {
                if shared.failed() {
                    log::warn!("change messages wait, the first of them of {}: {error}", item.channel);
                }
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
            }
        }
    }
}
