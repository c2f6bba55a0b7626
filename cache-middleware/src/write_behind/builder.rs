//! Settings of a queue.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::WriteBehind;
use super::batch::Write;
use super::flusher::Flushes;
use super::shared::Shared;
use super::sink::{Sink, SinkError};
use crate::chance;
use crate::error::CacheError;
use crate::manager::{CacheManager, in_a_runtime};
use crate::policy::duration_of;
use crate::store::{Flusher, NAMESPACE_RULE, QueueBounds, is_namespace};
use crate::time::Millis;

/// How long nobody else flushes while a flusher is not heard of.
const CLAIM: Duration = Duration::from_secs(10);

/// The most changes of a batch: Redis counts them at once.
const LARGEST_BATCH: u64 = 5_000;
/// The bytes of its changes.
const BATCH_BYTES: u64 = 4 << 20;

/// Asks a sink for its position, 0 if it keeps none.
pub(super) type PositionOf = Box<dyn Fn(String) -> BoxFuture<'static, Result<u64, SinkError>> + Send + Sync>;

fn position_of(sink: Arc<impl Sink>) -> PositionOf {
    Box::new(move |queue| {
        let sink = sink.clone();
        Box::pin(async move { Ok(sink.position(&queue).await?.unwrap_or(0)) })
    })
}

pub(super) type Clears = Arc<dyn Fn(&Write) -> Vec<String> + Send + Sync>;

/// Settings of a [`WriteBehind`].
///
/// At work: [`crate::WriteBehind`].
#[derive(Clone)]
#[must_use]
pub struct WriteBehindBuilder {
    pub(super) queue: String,
    batch: u64,
    interval: String,
    pub(super) within: Duration,
    pub(super) bounds: QueueBounds,
    pub(super) most_aside: u64,
    pub(super) max_bytes: usize,
    pub(super) clears: Option<Clears>,
}

impl std::fmt::Debug for WriteBehindBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteBehindBuilder").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl WriteBehindBuilder {
    pub(super) fn new(queue: String) -> Self {
        Self {
            queue,
            batch: 500,
            interval: "1s".to_owned(),
            within: Duration::from_secs(30),
            bounds: QueueBounds { changes: 100_000, bytes: 64 << 20 },
            most_aside: 1_000,
            max_bytes: 1 << 20,
            clears: None,
        }
    }

    /// The most changes of a batch: so many are flushed at once. Default 500, at most 5,000, and no more than 4 MiB.
    pub fn batch(mut self, changes: u64) -> Self {
        self.batch = changes;
        self
    }

    /// How long a change waits at most before it is flushed with whatever there is: a duration such as `1s`, the default.
    pub fn interval(mut self, duration: impl Into<String>) -> Self {
        self.interval = duration.into();
        self
    }

    /// How long the sink may take for a batch; then it counts as not available. Default 30 s.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// The most changes that wait, and their bytes. Default 100,000, and 64 MiB. Beyond that changes are refused.
    pub fn most_waiting(mut self, changes: u64, bytes: u64) -> Self {
        self.bounds = QueueBounds { changes, bytes };
        self
    }

    /// The most changes that are set aside; then the queue stops until somebody has looked at them. Default 1,000.
    pub fn most_set_aside(mut self, changes: u64) -> Self {
        self.most_aside = changes;
        self
    }

    /// The most bytes of a value as JSON. Default 1 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The tags of what is made of a change: they are cleared once it is written, because what was made before that was made
    /// without it. The key itself is cleared in any case.
    pub fn clears(mut self, tags: impl Fn(&Write) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.clears = Some(Arc::new(tags));
        self
    }

    /// Starts to flush into a sink. Every node that adds changes does so, with the same settings; one at a time flushes. Call it
    /// within the Tokio runtime that lives as long as the service, and keep the handle for as long: with the last one the flushing
    /// ends.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if a setting is not one, if the store of the manager keeps no queues, or if this manager has a queue
    /// of that name already.
    pub async fn start(self, cache: &CacheManager, sink: impl Sink) -> Result<WriteBehind, CacheError> {
        in_a_runtime()?;
        if !is_namespace(&self.queue) {
            return Err(CacheError::Invalid(format!("{:?} is not the name of a queue: {NAMESPACE_RULE}", self.queue)));
        }
        let interval = duration_of("interval", &self.interval)?;
        for (name, value) in [
            ("batch", self.batch),
            ("most_waiting", self.bounds.changes.min(self.bounds.bytes)),
            ("most_set_aside", self.most_aside),
            ("max_bytes", self.max_bytes as u64),
            ("within", Millis::from(self.within).0),
        ] {
            if value == 0 {
                return Err(CacheError::Invalid(format!("{name} is zero: nothing would ever be written")));
            }
        }
        if self.batch > LARGEST_BATCH {
            return Err(CacheError::Invalid(format!(
                "a batch has {LARGEST_BATCH} changes at most, not {}",
                self.batch
            )));
        }
        if self.bounds.bytes < self.max_bytes as u64 {
            let (bytes, value) = (self.bounds.bytes, self.max_bytes);
            return Err(CacheError::Invalid(format!(
                "most_waiting has {bytes} bytes, and one value may have {value} (max_bytes): no such value would ever fit"
            )));
        }
        let Some(queues) = cache.store().queues() else {
            return Err(CacheError::Invalid(format!("{} keeps no queues", cache.store().describe())));
        };
        let Some(claim) = cache.claim_queue(&self.queue) else {
            return Err(CacheError::Invalid(format!(
                "the queue {:?} is flushed by this manager already: clone its handle, or give this one another name",
                self.queue
            )));
        };
        if let Some(risk) = queues.risk(&self.queue).await {
            log::warn!("the queue {:?} may lose what waits: {risk}", self.queue);
        }
        let flusher = Flusher { token: chance::random(), claim: CLAIM, most: self.batch, bytes: BATCH_BYTES, interval };
        let sink = Arc::new(sink);
        let shared = Arc::new(Shared::new(cache.clone(), self, flusher, position_of(sink.clone())));
        cache.measure(&shared);
        // If it cannot be told now, changes are refused until it can.
        if let Err(error) = shared.begin().await {
            log::warn!("a new queue takes no changes yet: {error}");
            shared.progress.send_modify(|progress| {
                progress.failures += 1;
                progress.problem = Some(error.to_string());
            });
        }
        let flushes = Flushes::start(shared.clone(), sink, claim);
        Ok(WriteBehind { shared, cache: cache.clone(), _flushes: Arc::new(flushes) })
    }
}
