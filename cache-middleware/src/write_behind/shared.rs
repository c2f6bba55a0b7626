//! What the handles of a queue and its flusher have in common.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};

use super::FlushProgress;
use super::batch::Write;
use super::builder::{PositionOf, WriteBehindBuilder};
use crate::error::{CacheError, StoreError};
use crate::manager::CacheManager;
use crate::store::{Flusher, QueueSize, Queued, Queues, Target};
use crate::tag::Tag;
use crate::telemetry::{Measured, Sample, metric};

/// Numbers are microseconds, exact in the doubles of Redis's scripts.
const LARGEST_POSITION: u64 = 1 << 52;

pub(super) struct Shared {
    pub(super) cache: CacheManager,
    pub(super) position: PositionOf,
    pub(super) settings: WriteBehindBuilder,
    pub(super) flusher: Flusher,
    /// Has the flusher look now.
    pub(super) nudge: Notify,
    /// Whether it takes what there is, full or not.
    pub(super) urgent: AtomicBool,
    /// Whether this node keeps others from flushing, and whether it has a batch under way.
    pub(super) claimed: AtomicBool,
    pub(super) busy: AtomicBool,
    pub(super) progress: watch::Sender<FlushProgress>,
    /// How many changes wait, as it was when somebody last looked.
    size: Mutex<Option<QueueSize>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Measured for Shared {
    fn measure(&self, samples: &mut Vec<Sample>) {
        let queue = || Cow::Owned(self.queue().to_owned());
        let FlushProgress { changes, set_aside, failures, .. } = *self.progress.borrow();
        samples.push(Sample::counter(&metric::QUEUE_WRITES, [queue(), "written".into()], changes));
        samples.push(Sample::counter(&metric::QUEUE_WRITES, [queue(), "set-aside".into()], set_aside));
        samples.push(Sample::counter(&metric::QUEUE_FAILURES, [queue()], failures));
        if let Some(size) = *self.size.lock().unwrap_or_else(PoisonError::into_inner) {
            samples.push(Sample::number(&metric::QUEUE_WAITING, [queue()], size.waiting));
        }
    }

    fn look(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Ok(queues) = self.queues() else { return };
            let size = queues.size(self.queue()).await.ok();
            *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
        })
    }
}

impl Shared {
    pub(super) fn new(
        cache: CacheManager,
        settings: WriteBehindBuilder,
        flusher: Flusher,
        position: PositionOf,
    ) -> Self {
        let progress = watch::Sender::new(FlushProgress::default());
        let [urgent, claimed, busy] = [const { AtomicBool::new(false) }; 3];
        Self {
            cache,
            position,
            settings,
            flusher,
            nudge: Notify::new(),
            urgent,
            claimed,
            busy,
            progress,
            size: Mutex::default(),
        }
    }

    pub(super) fn queue(&self) -> &str {
        &self.settings.queue
    }

    pub(super) fn queues(&self) -> Result<&dyn Queues, StoreError> {
        let none = || StoreError::Failed("the store keeps no queues".to_owned());
        self.cache.store().queues().ok_or_else(none)
    }

    /// Has the numbers of changes begin after what the sink knows.
    pub(super) async fn begin(&self) -> Result<(), CacheError> {
        let position = (self.position)(self.queue().to_owned()).await;
        let position = position.map_err(|error| {
            CacheError::Sink(format!("the sink of the queue {:?} does not say its position: {error}", self.queue()))
        })?;
        if position >= LARGEST_POSITION {
            return Err(CacheError::Sink(format!(
                "the sink of the queue {:?} says the position {position}, which no batch has had: record `batch.upto()`",
                self.queue()
            )));
        }
        Ok(self.queues()?.begin(self.queue(), position).await?)
    }

    /// What is cleared once a write has happened.
    pub(super) fn targets(&self, write: &Write) -> Result<Vec<Target>, CacheError> {
        let tags = self.settings.clears.as_ref().map(|clears| clears(write)).unwrap_or_default();
        let tags = tags.iter().map(|tag| Ok(Target::Tag(write.owner(), Tag::new(tag)?)));
        tags.chain([Ok(Target::Key(write.owner(), write.key().to_owned()))]).collect()
    }

    /// What is cleared once a change has happened: its key, and the tags of what is made of it. A tag that is none was refused where
    /// it was put, unless that node knows other tags.
    pub(super) fn targets_of(&self, queued: &Queued) -> Vec<Target> {
        let Ok(change) = &queued.change else { return vec![Write::target_of(&queued.key)] };
        let write = Write::of(&queued.key, change.clone());
        self.targets(&write).unwrap_or_else(|error| {
            log::error!("after a change of {:?} its key alone is cleared: {error}", queued.key);
            vec![Write::target_of(&queued.key)]
        })
    }
}
