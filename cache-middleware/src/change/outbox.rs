//! Messages on their way into the store: those of a channel in their order, and kept in memory until it has acknowledged them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

use crate::backoff::Backoff;
use crate::error::{CacheError, StoreError};
use crate::manager::CacheManager;
use crate::store::Store;
use crate::telemetry::{Measured, Sample, metric};

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_millis(500);

/// The messages that wait. The task that publishes them ends when they have left and nobody adds any.
pub(super) struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    keep: u64,
    most: usize,
    state: Mutex<State>,
    changed: Notify,
    /// How many wait.
    left: watch::Sender<usize>,
    /// How many were published.
    published: AtomicU64,
}

#[derive(Default)]
struct State {
    /// By channel: one that cannot be published on holds up no other.
    waiting: BTreeMap<Arc<str>, Waiting>,
    count: usize,
    /// Whether nobody adds any more.
    closed: bool,
    /// Whether the task has ended.
    ended: bool,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// Whether the last attempt has failed: whoever adds does not wait to be told.
    fails: bool,
}

struct Message {
    text: Bytes,
    /// Told when it is published; dropped when it is not yet.
    published: Option<oneshot::Sender<()>>,
}

impl Outbox {
    pub(super) fn start(cache: &CacheManager, keep: u64, most: usize) -> Self {
        let store = cache.store().clone();
        let (state, changed, left) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        let shared = Arc::new(Shared { store, keep, most, state, changed, left, published: AtomicU64::new(0) });
        cache.measure(&shared);
        tokio::spawn(empty(Ending(shared.clone())));
        Self { shared }
    }

    /// Publishes a message past those that wait.
    pub(super) async fn publish(&self, channel: &str, text: &Bytes) -> Result<(), StoreError> {
        self.shared.publish(channel, text).await
    }

    /// Adds a message. From then on it is published whatever becomes of the caller; the receiver is told when it is, and closed
    /// when that takes longer.
    pub(super) fn add(&self, channel: &Arc<str>, text: Bytes) -> Result<oneshot::Receiver<()>, CacheError> {
        let mut state = self.shared.lock();
        let most = self.shared.most;
        if state.count >= most {
            return Err(CacheError::QueueFull(format!(
                "{most} change messages wait for the store already: this one was not published, and those who keep the data learn \
                 of it when they load it again"
            )));
        }
        let (published, told) = oneshot::channel();
        let ended = state.ended;
        let waiting = state.waiting.entry(channel.clone()).or_default();
        let published = (!waiting.fails && !ended).then_some(published);
        waiting.messages.push_back(Message { text, published });
        state.count += 1;
        self.shared.left.send_replace(state.count);
        drop(state);
        self.shared.changed.notify_one();
        Ok(told)
    }

    pub(super) fn left(&self) -> watch::Receiver<usize> {
        self.shared.left.subscribe()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Measured for Shared {
    fn measure(&self, samples: &mut Vec<Sample>) {
        samples.push(Sample::counter(&metric::CHANGES, ["published".into()], self.published.load(Ordering::Relaxed)));
        samples.push(Sample::number(&metric::OUTBOX, [], self.lock().count as u64));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(&self, channel: &str, text: &Bytes) -> Result<(), StoreError> {
        match self.store.channels() {
            Some(channels) => {
                channels.publish(channel, text, self.keep).await?;
                self.published.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            None => Err(StoreError::Failed(format!("{} has no channels", self.store.describe()))),
        }
    }

    fn channels(&self) -> Vec<Arc<str>> {
        self.lock().waiting.keys().cloned().collect()
    }

    fn first(&self, channel: &Arc<str>) -> Option<Bytes> {
        self.lock().waiting.get(channel)?.messages.front().map(|first| first.text.clone())
    }

    fn published(&self, channel: &Arc<str>) {
        let mut state = self.lock();
        let Some(waiting) = state.waiting.get_mut(channel) else { return };
        waiting.fails = false;
        let first = waiting.messages.pop_front();
        if waiting.messages.is_empty() {
            state.waiting.remove(channel);
        }
        state.count -= usize::from(first.is_some());
        self.left.send_replace(state.count);
        if let Some(published) = first.and_then(|first| first.published) {
            let _ = published.send(());
        }
    }

    fn failed(&self, channel: &Arc<str>, error: &StoreError) {
        let mut state = self.lock();
        let Some(waiting) = state.waiting.get_mut(channel) else { return };
        if !std::mem::replace(&mut waiting.fails, true) {
            log::warn!("change messages of {channel} wait: {error}");
        }
        for message in &mut waiting.messages {
            message.published = None;
        }
    }

    /// Whether nothing waits, and nothing will.
    fn is_over(&self) -> bool {
        let state = self.lock();
        state.closed && state.count == 0
    }
}

/// The task, which may end with its runtime.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        for message in state.waiting.values_mut().flat_map(|waiting| &mut waiting.messages) {
            message.published = None;
        }
        if state.count > 0 {
            let lost = state.count;
            log::error!(
                "{lost} change messages were never published: those who keep the data learn of it when they load it again"
            );
        }
    }
}

/// Publishes what waits, of each channel the oldest first.
async fn empty(ending: Ending) {
    let shared = ending.0.clone();
    let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
    while !shared.is_over() {
        let channels = shared.channels();
        if channels.is_empty() {
            shared.changed.notified().await;
            continue;
        }
        let mut fails = false;
        for channel in channels {
            while let Some(text) = shared.first(&channel) {
                if let Err(error) = shared.publish(&channel, &text).await {
                    shared.failed(&channel, &error);
                    fails = true;
                    break;
                }
                shared.published(&channel);
            }
        }
        if fails {
            // What is added meanwhile, on another channel, is not held up.
            let _ = tokio::time::timeout(backoff.rest(), shared.changed.notified()).await;
        } else {
            backoff.reset();
        }
    }
}
