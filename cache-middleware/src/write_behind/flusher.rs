//! The flusher: seals a batch, has the sink write it, clears what was made without it, and settles it.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::batch::{Batch, Write};
use super::sink::{Sink, SinkError};
use crate::chance;
use crate::error::CacheError;
use crate::store::{Flusher, NextBatch, Queued, Target};

/// How long a failed attempt rests at first, and at most.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The task that flushes; it ends with the last handle.
#[derive(Debug)]
pub(super) struct Flushes {
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Drop for Flushes {
    fn drop(&mut self) {
        self.task.abort();
        // A batch that is under way may still reach its source: nobody else begins it before the claim lapses.
        if self.shared.busy.load(Ordering::SeqCst) || !self.shared.claimed.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let shared = self.shared.clone();
            runtime.spawn(async move {
                if let Ok(queues) = shared.queues() {
                    let _ = queues.give_up_claim(shared.queue(), shared.flusher.token).await;
                }
            });
        }
    }
}

impl Flushes {
    pub(super) fn start(shared: Arc<Shared>, sink: impl Sink) -> Self {
        Self { task: tokio::spawn(run(shared.clone(), sink)), shared }
    }
}

/// How a step ended.
enum Step {
    /// Something was done, and there may be more.
    Done,
    /// There is nothing for so long, or until somebody says so.
    Rest(Duration),
    Failed,
}

async fn run(shared: Arc<Shared>, sink: impl Sink) {
    let mut rest = FIRST_REST;
    loop {
        let step = step(&shared, &sink).await.unwrap_or_else(|problem| {
            // Told at once, and then once for each longer rest: not with every attempt of an outage.
            if rest == FIRST_REST {
                log::warn!("the queue {:?} is not flushed: {problem}", shared.queue());
            }
            shared.progress.send_modify(|progress| {
                progress.failures += 1;
                progress.problem = Some(problem);
            });
            Step::Failed
        });
        shared.busy.store(false, Ordering::SeqCst);
        match step {
            Step::Done => rest = FIRST_REST,
            Step::Rest(time) => {
                rest = FIRST_REST;
                let _ = timeout(time, shared.nudge.notified()).await;
            }
            Step::Failed => {
                // By chance, so that the nodes of a fleet do not come together.
                sleep(rest.mul_f64(1.0 - chance::part() / 2.0)).await;
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

async fn step(shared: &Shared, sink: &impl Sink) -> Result<Step, String> {
    let queues = shared.queues().map_err(|error| error.to_string())?;
    let interval = if shared.urgent.swap(false, Ordering::SeqCst) { Duration::ZERO } else { shared.flusher.interval };
    let flusher = Flusher { interval, ..shared.flusher };
    let next = queues.next_batch(shared.queue(), flusher).await.map_err(|error| error.to_string())?;
    let (after, changes) = match next {
        NextBatch::Sealed { after, changes } => (after, changes),
        NextBatch::Nothing(wait) => {
            // Others may have something urgent.
            if shared.claimed.swap(false, Ordering::SeqCst) {
                queues.give_up_claim(shared.queue(), shared.flusher.token).await.map_err(|error| error.to_string())?;
            }
            return Ok(Step::Rest(wait.unwrap_or(shared.flusher.interval).min(shared.flusher.interval)));
        }
        NextBatch::Claimed(lapses) => return Ok(Step::Rest(lapses.min(shared.flusher.interval))),
    };
    shared.claimed.store(true, Ordering::SeqCst);
    shared.busy.store(true, Ordering::SeqCst);
    let written = match changes.iter().position(|queued| queued.change.is_none()) {
        // Those before it first.
        Some(place) if place > 0 => return narrow(shared, &changes, place).await,
        Some(_) => Err(SinkError::Rejected("it cannot be read".to_owned())),
        None => write(shared, sink, after, &changes).await,
    };
    match written {
        Ok(()) => settle(shared, &changes).await,
        Err(SinkError::Unavailable(why)) => Err(why),
        Err(SinkError::Rejected(_)) if changes.len() > 1 => narrow(shared, &changes, changes.len() / 2).await,
        Err(SinkError::Rejected(why)) => set_aside(shared, &changes, &why).await,
    }
}

/// Has the sink write what it does not have yet, while the claim is kept.
async fn write(shared: &Shared, sink: &impl Sink, after: u64, changes: &[Queued]) -> Result<(), SinkError> {
    let attempt = async {
        let position =
            sink.position(shared.queue()).await.map_err(|error| SinkError::Unavailable(error.to_string()))?;
        let missing = changes.partition_point(|queued| position.is_some_and(|position| queued.number <= position));
        match Batch::of(shared.queue(), position.unwrap_or(after), &changes[missing..]) {
            Some(batch) => sink.write(&batch).await,
            None => Ok(()),
        }
    };
    let within = shared.settings.within;
    // One that panics has rejected what it was given: it would again.
    let mut attempt = pin!(timeout(within, AssertUnwindSafe(attempt).catch_unwind()));
    let ended = loop {
        match timeout(shared.flusher.claim / 3, &mut attempt).await {
            Ok(ended) => break ended,
            Err(_) => {
                if let Ok(queues) = shared.queues() {
                    let _ = queues.keep_claim(shared.queue(), shared.flusher).await;
                }
            }
        }
    };
    match ended {
        Ok(Ok(written)) => written,
        Ok(Err(_)) => Err(SinkError::Rejected("the sink panicked".to_owned())),
        Err(_) => Err(SinkError::Unavailable(format!("it took longer than {within:?}"))),
    }
}

async fn settle(shared: &Shared, changes: &[Queued]) -> Result<Step, String> {
    clear(shared, changes).await?;
    let upto = changes.last().map_or(0, |queued| queued.number);
    let queues = shared.queues().map_err(|error| error.to_string())?;
    if queues.settle(shared.queue(), upto).await.map_err(|error| error.to_string())? {
        shared.progress.send_modify(|progress| {
            progress.batches += 1;
            progress.changes += changes.len() as u64;
            progress.problem = None;
        });
    }
    Ok(Step::Done)
}

/// Clears what was made without the changes. Not journaled: until it is acknowledged, the changes stay in the queue, and what waits
/// there goes before what the source has.
async fn clear(shared: &Shared, changes: &[Queued]) -> Result<(), String> {
    let mut targets: Vec<Target> = Vec::new();
    for queued in changes {
        let change = queued.change.clone().unwrap_or(crate::store::Change::Add(0));
        let of_write = shared.targets(&Write::of(&queued.key, change));
        let told = |error: CacheError| format!("what to clear after {:?}: {error}", queued.key);
        targets.extend(of_write.map_err(told)?);
    }
    targets.sort_by_cached_key(|target| format!("{target:?}"));
    targets.dedup();
    let receipt = shared.cache.clear(targets).await.map_err(|error| error.to_string())?;
    if receipt.journaled { Err("the clear after it was not acknowledged".to_owned()) } else { Ok(()) }
}

/// Has the batch be its first changes alone.
async fn narrow(shared: &Shared, changes: &[Queued], keep: usize) -> Result<Step, String> {
    let (Some(last), Some(new_last)) = (changes.last(), changes.get(keep.saturating_sub(1))) else {
        return Ok(Step::Done);
    };
    let queues = shared.queues().map_err(|error| error.to_string())?;
    let narrowed = queues.narrow(shared.queue(), shared.flusher.token, last.number, new_last.number).await;
    narrowed.map(|_| Step::Done).map_err(|error| error.to_string())
}

async fn set_aside(shared: &Shared, changes: &[Queued], why: &str) -> Result<Step, String> {
    let Some(queued) = changes.first() else { return Ok(Step::Done) };
    let queues = shared.queues().map_err(|error| error.to_string())?;
    let (token, most) = (shared.flusher.token, shared.settings.most_aside);
    let aside = queues.set_aside(shared.queue(), token, queued.number, why, most).await;
    if aside.map_err(|error| error.to_string())? {
        log::error!("a change of {:?} in the queue {:?} is set aside: {why}", queued.key, shared.queue());
        shared.progress.send_modify(|progress| progress.set_aside += 1);
        // It waits no more, and the source does not have it: what was made of it goes.
        clear(shared, changes).await?;
    }
    Ok(Step::Done)
}
