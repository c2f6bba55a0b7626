//! The task that looks after a manager's store: it sweeps, retries the clears in the journal, and carries out those of
//! writers that are not heard of any more.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::popular::Popular;
use crate::coherence::Views;
use crate::error::StoreError;
use crate::journal::Journal;
use crate::store::{Clearing, NodeId, Store, Swept, Target};
use crate::telemetry::{ClearKind, ClearState, Cleared, Telemetry};

/// The sweep rests when it has worked for so long.
const SPELL: Duration = Duration::from_millis(5);
/// How long the sweep rests when there is nothing to do.
const REST: Duration = Duration::from_millis(500);
/// How often it is asked what writers have left undone.
const OVERDUE: Duration = Duration::from_secs(1);
/// How long to wait before a clear is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Whose clears are retried, and who is to know of them.
#[derive(Debug, Clone)]
pub(super) struct Retried {
    pub(super) by: NodeId,
    pub(super) views: Option<Arc<Views>>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) popular: Arc<OnceLock<Popular>>,
}

impl Retried {
    /// Clears, and tells of it as of a clear that somebody waits for. Nobody does: a strict one would have nobody to be strict for.
    async fn clear(&self, store: &dyn Store, targets: &[Target], settle: Duration) -> Result<(), StoreError> {
        let receipt = store.clear(targets, Clearing { by: self.by, strict: false, settle }).await?;
        if let Some(views) = &self.views {
            views.own(&receipt.stamps, targets);
        }
        self.telemetry.clears.note(&Cleared {
            kind: ClearKind::Clear,
            state: ClearState::Acknowledged,
            targets,
            covered: receipt.covered,
            nodes_told: receipt.told,
            took: None,
        });
        if let Some(popular) = self.popular.get() {
            popular.tell_of_clear(targets);
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Keeper {
    wake: Arc<Notify>,
    tasks: [JoinHandle<()>; 3],
}

impl Drop for Keeper {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Keeper {
    pub(super) fn start(store: Arc<dyn Store>, journal: Arc<Journal>, retried: Retried) -> Self {
        let wake = Arc::new(Notify::new());
        let tasks = [
            tokio::spawn(sweep(store.clone(), wake.clone(), retried.telemetry.clone())),
            tokio::spawn(retry(store.clone(), journal, retried.clone())),
            tokio::spawn(carry_out(store, retried)),
        ];
        Self { wake, tasks }
    }

    /// A clear may have left something to sweep.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Sweeps in steps, and rests after a few for as long as they took: at most half of the store's time goes to it. Others
/// are served between any two steps. A rest after each would be longer than the step: timers have milliseconds.
async fn sweep(store: Arc<dyn Store>, wake: Arc<Notify>, telemetry: Arc<Telemetry>) {
    let mut worked = Duration::ZERO;
    loop {
        let began = Instant::now();
        let swept = store.sweep().await;
        if let Ok(swept) = &swept {
            telemetry.swept(swept.visited);
        }
        match swept {
            Ok(Swept { more: true, .. }) => {
                worked += began.elapsed();
                if worked >= SPELL {
                    sleep(worked).await;
                    worked = Duration::ZERO;
                } else {
                    // A store in this process may never wait by itself.
                    tokio::task::yield_now().await;
                }
            }
            Ok(_) | Err(_) => {
                let _ = tokio::time::timeout(REST, wake.notified()).await;
            }
        }
    }
}

async fn retry(store: Arc<dyn Store>, journal: Arc<Journal>, retried: Retried) {
    loop {
        sleep(RETRY).await;
        let (number, targets, settle) = journal.all();
        if targets.is_empty() {
            continue;
        }
        if retried.clear(&*store, &targets, settle).await.is_ok() {
            if let Err(error) = journal.acknowledge(number).await {
                log::error!("the journal cannot be written, and will have clears carried out again: {error}");
            }
            log::info!("what was waiting in the journal is cleared ({} targets)", targets.len());
        }
    }
}

/// Clears what writers were about to clear that are not heard of any more. Any node does: whichever asks first. As long as
/// there is more, it does not rest.
async fn carry_out(store: Arc<dyn Store>, retried: Retried) {
    loop {
        let overdue = store.overdue().await.unwrap_or_default();
        if overdue.is_empty() {
            sleep(OVERDUE).await;
            continue;
        }
        let settle = overdue.iter().map(|overdue| overdue.settle).max().unwrap_or_default();
        let mut targets: Vec<Target> = Vec::new();
        for target in overdue.iter().flat_map(|overdue| &overdue.targets) {
            if !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        match retried.clear(&*store, &targets, settle).await {
            Ok(()) => {
                log::warn!(
                    "{} writers are not heard of any more; what they were about to clear is cleared: {targets:?}",
                    overdue.len()
                );
                let withdrawn = overdue.iter().map(|overdue| store.withdraw(overdue.number, true));
                futures_util::future::join_all(withdrawn).await;
            }
            // It is given out again, to this node or another.
            Err(_) => sleep(OVERDUE).await,
        }
    }
}
