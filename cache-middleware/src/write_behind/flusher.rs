//! The flusher: takes a batch, has the sink write it, clears what was made without it, and settles it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::batch::Write;
use super::shared::Shared;
use super::sink::{Sink, SinkError};
use crate::backoff::Backoff;
use crate::chance;
use crate::error::StoreError;
use crate::manager::QueueClaim;
use crate::store::{Change, Flusher, NextBatch, Queued, Queues, Settled, Target, Unreadable};

/// How long a failed attempt rests at first, and at most.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The most bytes of changes that one answer of the store has, so that it comes in time and keeps nobody waiting.
const PAGE: u64 = 128 << 10;

/// What an attempt ends with whose claim could not be kept.
pub(super) const TAKEN: &str = "another node may be at it by now";

/// The longest reason that is kept for a change that is set aside.
const LONGEST_REASON: usize = 1_024;

/// The task that flushes; it ends with the last handle.
#[derive(Debug)]
pub(super) struct Flushes {
    task: JoinHandle<()>,
    shared: Arc<Shared>,
    _claim: QueueClaim,
}

impl Drop for Flushes {
    fn drop(&mut self) {
        self.task.abort();
        log::info!("this process flushes the queue {:?} no more: its last handle is gone", self.shared.queue());
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
    pub(super) fn start(shared: Arc<Shared>, sink: Arc<impl Sink>, claim: QueueClaim) -> Self {
        let worker = Worker { shared: shared.clone(), sink, written: None, checked: AtomicBool::new(false) };
        Self { task: tokio::spawn(worker.run()), shared, _claim: claim }
    }
}

/// A sealed batch: the changes after a number that was settled before, up to another.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    pub(super) done: u64,
    pub(super) upto: u64,
    /// Whether its one change is set aside already.
    aside: bool,
    pub(super) changes: Vec<Queued>,
}

/// How a step ended.
enum Step {
    /// Something was done, and there may be more.
    Done,
    /// There is nothing for so long, or until somebody says so.
    Rest(Duration),
}

pub(super) struct Worker<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Arc<S>,
    /// The batch that the sink has written, as this process knows for sure, and that is not settled yet; and whether the sink was
    /// asked to, and had not written it before.
    written: Option<(u64, u64, bool)>,
    /// Whether it was looked at that the sink records its position.
    pub(super) checked: AtomicBool,
}

impl<S: Sink> Worker<S> {
    async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_REST, LONGEST_REST);
        loop {
            let step = AssertUnwindSafe(self.step()).catch_unwind().await;
            self.shared.busy.store(false, Ordering::SeqCst);
            match step.unwrap_or_else(|_| Err("a panic: is it in `clears`?".to_owned())) {
                Ok(Step::Done) => backoff.reset(),
                Ok(Step::Rest(time)) => {
                    backoff.reset();
                    let _ = timeout(time, self.shared.nudge.notified()).await;
                }
                Err(problem) => {
                    let rest = backoff.rest();
                    self.failed(problem, rest == FIRST_REST);
                    self.rest(rest).await;
                }
            }
        }
    }

    /// Told at once, and then no more: not with every attempt of an outage.
    fn failed(&self, problem: String, first: bool) {
        if first {
            log::warn!("the queue {:?} is not flushed: {problem}", self.shared.queue());
        }
        self.shared.progress.send_modify(|progress| {
            progress.failures += 1;
            progress.problem = Some(problem);
        });
    }

    /// Whatever was wrong is over.
    fn recovered(&self) {
        self.shared.progress.send_if_modified(|progress| {
            let was_wrong = progress.problem.take().is_some();
            if was_wrong {
                log::info!("the queue {:?} is flushed again", self.shared.queue());
            }
            was_wrong
        });
    }

    /// Rests, by chance shorter, so that the nodes of a fleet do not come together; until somebody is in a hurry.
    async fn rest(&self, rest: Duration) {
        let rest = rest.mul_f64(1.0 - chance::part() / 2.0);
        sleep(rest.min(FIRST_REST)).await;
        let hurried = async {
            while !self.shared.urgent.load(Ordering::SeqCst) {
                self.shared.nudge.notified().await;
            }
        };
        let _ = timeout(rest.saturating_sub(FIRST_REST), hurried).await;
    }

    fn queues(&self) -> Result<&dyn Queues, String> {
        self.shared.queues().map_err(told)
    }

    async fn step(&mut self) -> Result<Step, String> {
        let shared = self.shared.clone();
        let longest = shared.flusher.interval;
        let interval = if shared.urgent.swap(false, Ordering::SeqCst) { Duration::ZERO } else { longest };
        let queues = shared.queues().map_err(told)?;
        let next = queues.next_batch(shared.queue(), Flusher { interval, ..shared.flusher }).await.map_err(told)?;
        let (upto, done, aside) = match next {
            NextBatch::Sealed { upto, done, aside } => (upto, done, aside),
            NextBatch::Nothing(wait) => {
                self.recovered();
                // Others may have something urgent.
                if shared.claimed.swap(false, Ordering::SeqCst) {
                    queues.give_up_claim(shared.queue(), shared.flusher.token).await.map_err(told)?;
                }
                return Ok(Step::Rest(wait.unwrap_or(longest).min(longest)));
            }
            NextBatch::Claimed(lapses) => return Ok(Step::Rest(lapses.min(longest))),
        };
        shared.claimed.store(true, Ordering::SeqCst);
        shared.busy.store(true, Ordering::SeqCst);
        let began = Instant::now();
        let sealed = Sealed { done, upto, aside, changes: self.changes(upto).await? };
        // A slow link may have taken most of the claim.
        let spent = began.elapsed() > shared.flusher.claim / 4;
        if spent && !queues.keep_claim(shared.queue(), shared.flusher).await.map_err(told)? {
            return Err(TAKEN.to_owned());
        }
        self.flush(&sealed).await.map(|()| Step::Done)
    }

    /// The changes of the sealed batch, a page at a time.
    async fn changes(&self, upto: u64) -> Result<Vec<Queued>, String> {
        let mut changes: Vec<Queued> = Vec::new();
        loop {
            let after = changes.last().map_or(0, |queued| queued.number);
            let page = self.queues()?.page(self.shared.queue(), after, upto, PAGE).await.map_err(told)?;
            let is_last = page.last().is_none_or(|queued| queued.number >= upto);
            changes.extend(page);
            if is_last {
                return Ok(changes);
            }
        }
    }

    async fn flush(&mut self, sealed: &Sealed) -> Result<(), String> {
        let Sealed { done, upto, aside, changes } = sealed;
        if let Some((of, end, written)) = self.written
            && (of, end) == (*done, *upto)
        {
            return self.settle(sealed, written).await;
        }
        // Somebody was about to end it.
        if *aside {
            return self.end_aside(sealed).await;
        }
        // They are written, and somebody was about to settle them.
        if changes.is_empty() {
            return self.settle(sealed, false).await;
        }
        let written = match changes.iter().position(|queued| queued.change.is_err()) {
            // Those before it first.
            Some(place) if place > 0 => return self.narrow(sealed, place).await,
            Some(_) if changes.first().is_some_and(|queued| queued.change == Err(Unreadable::UnknownKey)) => {
                return self.leave_to_others().await;
            }
            Some(_) => Err(SinkError::Rejected("it cannot be read".to_owned())),
            None => self.write(sealed).await,
        };
        match written {
            Ok(written) => {
                self.written = Some((*done, *upto, written));
                self.settle(sealed, written).await
            }
            Err(SinkError::Unavailable(why)) => Err(why),
            Err(SinkError::Rejected(_)) if changes.len() > 1 => self.narrow(sealed, changes.len() / 2).await,
            Err(SinkError::Rejected(why)) => self.set_aside(sealed, &why).await,
        }
    }

    /// The changes leave the queue, once what was made without them is cleared.
    async fn settle(&mut self, sealed: &Sealed, written: bool) -> Result<(), String> {
        self.clear(&sealed.changes).await?;
        let settled = loop {
            match self.queues()?.settle(self.shared.queue(), sealed.upto, written).await.map_err(told)? {
                Settled::Some => {}
                Settled::All => break true,
                Settled::Other => break false,
            }
        };
        self.written = None;
        if settled {
            self.shared.progress.send_modify(|progress| {
                progress.batches += 1;
                progress.changes += sealed.changes.len() as u64;
            });
            self.recovered();
        }
        Ok(())
    }

    /// Clears what was made without the changes. Until it is acknowledged they stay in the queue, and what waits there goes before
    /// what the source has.
    async fn clear(&self, changes: &[Queued]) -> Result<(), String> {
        let mut targets: Vec<Target> = changes.iter().flat_map(|queued| self.shared.targets_of(queued)).collect();
        targets.sort_by_cached_key(|target| format!("{target:?}"));
        targets.dedup();
        if targets.is_empty() {
            return Ok(());
        }
        self.shared.cache.clear_or_fail(&targets).await.map_err(told)
    }

    /// Has the batch be its first changes alone.
    async fn narrow(&self, sealed: &Sealed, keep: usize) -> Result<(), String> {
        let Some(last) = sealed.changes.get(keep.saturating_sub(1)) else { return Ok(()) };
        let token = self.shared.flusher.token;
        let narrowed = self.queues()?.narrow(self.shared.queue(), token, sealed.upto, last.number).await;
        narrowed.map(|_| ()).map_err(told)
    }

    /// A change that another node may be able to read is none to set aside.
    async fn leave_to_others(&self) -> Result<(), String> {
        let token = self.shared.flusher.token;
        self.queues()?.give_up_claim(self.shared.queue(), token).await.map_err(told)?;
        self.shared.claimed.store(false, Ordering::SeqCst);
        Err("a change is sealed by a key that this node does not have".to_owned())
    }

    /// Copies the change aside, before anything says that it needs not be written any more.
    async fn set_aside(&self, sealed: &Sealed, why: &str) -> Result<(), String> {
        let queued = sealed.changes.first().ok_or("a batch without changes was rejected")?;
        let (token, most) = (self.shared.flusher.token, self.shared.settings.most_aside);
        let queue = self.shared.queue();
        let aside = self.queues()?.set_aside(queue, token, queued.number, shortened(why), most).await;
        if aside.map_err(told)? { self.end_aside(sealed).await } else { Err(TAKEN.to_owned()) }
    }

    /// Ends a batch whose one change is set aside. It waits no more, and the source does not have it: what was made of it goes, and the
    /// sink's position moves on, before the batch ends.
    async fn end_aside(&self, sealed: &Sealed) -> Result<(), String> {
        self.fence(sealed).await.map_err(|error| error.to_string())?;
        self.clear(&sealed.changes).await?;
        let (queue, token) = (self.shared.queue(), self.shared.flusher.token);
        if !self.queues()?.close_aside(queue, token, sealed.upto).await.map_err(told)? {
            return Err(TAKEN.to_owned());
        }
        for queued in &sealed.changes {
            let key = Write::of(&queued.key, Change::Add(0)).key().to_owned();
            // Without the reason, which may quote the value.
            log::error!(
                "a change of {key:?} in the queue {queue:?} is set aside, and readers get what the source has: `rejected()` tells \
                 why, `put_back` and `discard` decide"
            );
        }
        self.shared.progress.send_modify(|progress| progress.set_aside += 1);
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn told(error: StoreError) -> String {
    error.to_string()
}

/// Not more of a reason than tells it.
fn shortened(why: &str) -> &str {
    let mut end = why.len().min(LONGEST_REASON);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    &why[..end]
}
