//! Warming: entries are made before anybody asks for them, within a budget.

mod queue;
mod warming;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::queue::Queue;
pub use self::warming::{Warm, WarmerProgress, Warming};
use crate::error::CacheError;
use crate::manager::{CacheManager, in_a_runtime};
use crate::policy::too_long;
use crate::store::Target;
use crate::telemetry::{Measured, Sample, metric};

/// How many may wait; more are dropped, and counted.
const MOST_WAITING: usize = 10_000;

/// Warms entries. It ends when it is dropped.
///
/// ```
/// use cache_middleware::{CacheManager, CacheWarmer, Warm, Warming};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().on("menu.updated", ["menu"]).build().await?;
/// let menu = || {
///     Warm::new("menu", async |cache: CacheManager| {
///         let policy = cache.policy("1h")?.tag("menu")?;
///         let load = async || Ok::<_, std::io::Error>("soup".to_owned());
///         cache.get_or_set("menu", &policy, load).await?;
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
///     })
/// };
/// let warming = Warming::new().at_start(move |_| async move { vec![menu()] }).on("menu.updated", move |_| vec![menu()]);
/// let warmer = CacheWarmer::start(&cache, warming)?;
/// warmer.ready().await;
/// assert_eq!(cache.get::<String>("menu").await.as_deref(), Some("soup"));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a warmer ends when it is dropped"]
pub struct CacheWarmer {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cache: CacheManager,
    queue: Mutex<Queue>,
    /// One permit for each that waits.
    waiting: Semaphore,
    /// When the next may begin.
    next: Mutex<Instant>,
    interval: Duration,
    within: Duration,
    progress: watch::Sender<WarmerProgress>,
    /// How many of the start are left, and one while it is not known yet what they are.
    starting: Mutex<usize>,
}

impl Measured for Shared {
    fn measure(&self, samples: &mut Vec<Sample>) {
        let WarmerProgress { waiting, running, done, failed, skipped, dropped, .. } = *self.progress.borrow();
        for (result, count) in [("done", done), ("failed", failed), ("skipped", skipped), ("dropped", dropped)] {
            samples.push(Sample::counter(&metric::WARMED, [result.into()], count));
        }
        samples.push(Sample::number(&metric::WARMING, [], waiting + running));
    }
}

impl Drop for CacheWarmer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl CacheWarmer {
    /// Starts to warm, for as long as the warmer is kept. Call it within the Tokio runtime that lives as long as the service.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if a limit is zero, [`CacheError::Event`] if an event has no rule and no subscriber.
    pub fn start(cache: &CacheManager, warming: Warming) -> Result<Self, CacheError> {
        in_a_runtime()?;
        let Warming { at_start, on_event, after_clears, concurrency, per_second, within } = warming;
        let zero = [("concurrency", concurrency == 0), ("per_second", per_second == 0), ("within", within.is_zero())];
        if let Some((limit, _)) = zero.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(CacheError::Invalid(format!("{limit} is zero: nothing would ever be warmed")));
        }
        if let Some(problem) = too_long("within", within) {
            return Err(CacheError::Invalid(problem));
        }
        for (event, _) in &on_event {
            cache.check_event(event).map_err(CacheError::Event)?;
        }
        let shared = Arc::new(Shared {
            cache: cache.clone(),
            queue: Mutex::default(),
            waiting: Semaphore::new(0),
            next: Mutex::new(Instant::now()),
            interval: Duration::from_secs(1) / per_second,
            within,
            progress: watch::Sender::new(WarmerProgress::default()),
            starting: Mutex::new(1),
        });
        cache.measure(&shared);
        for (event, what) in on_event {
            let weak = Arc::downgrade(&shared);
            cache.subscribe(&event, move |event| {
                let told = weak.upgrade().map(|shared| (shared, what(event)));
                async move {
                    if let Some((shared, warms)) = told {
                        shared.add(warms, false);
                    }
                }
            });
        }
        let mut tasks: Vec<JoinHandle<()>> = (0..concurrency).map(|_| tokio::spawn(work(shared.clone()))).collect();
        if let Some((most, what)) = after_clears {
            let (mut clears, shared) = (cache.watch_clears(), shared.clone());
            tasks.push(tokio::spawn(async move {
                while let Some(targets) = next_clears(&mut clears).await {
                    let removed = shared.cache.most_used_of(&targets, most);
                    // One that panics takes nobody along.
                    let warms = |removed| std::panic::catch_unwind(AssertUnwindSafe(|| what(removed))).ok().flatten();
                    shared.add(removed.into_iter().filter_map(warms).collect(), false);
                }
            }));
        }
        tasks.push(tokio::spawn({
            let shared = shared.clone();
            async move {
                for what in at_start {
                    let naming = AssertUnwindSafe(async { what(shared.cache.clone()).await }).catch_unwind();
                    match tokio::time::timeout(shared.within, naming).await {
                        Ok(Ok(warms)) => shared.add(warms, true),
                        Ok(Err(_)) => log::error!("what to warm at the start is not known: it panicked"),
                        Err(_) => log::error!("what to warm at the start is not known: its time is over"),
                    }
                }
                shared.one_of_the_start_has_ended();
            }
        }));
        Ok(Self { shared, tasks })
    }

    /// Warms something now.
    pub fn warm(&self, warms: Vec<Warm>) {
        self.shared.add(warms, false);
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> WarmerProgress {
        *self.shared.progress.borrow()
    }

    /// Waits until what was to be warmed at the start has been, or the time for it is over: for a readiness that waits for it.
    pub async fn ready(&self) {
        // The sender lives in what we hold.
        let _ = self.shared.progress.subscribe().wait_for(|progress| progress.ready).await;
    }

    /// Waits until nothing waits or runs.
    pub async fn idle(&self) {
        let idle = |progress: &WarmerProgress| progress.ready && progress.waiting + progress.running == 0;
        let _ = self.shared.progress.subscribe().wait_for(idle).await;
    }
}

impl Shared {
    fn add(&self, warms: Vec<Warm>, at_start: bool) {
        let deadline = Instant::now() + self.within;
        for warm in warms {
            let added =
                self.queue.lock().unwrap_or_else(PoisonError::into_inner).add(warm, deadline, at_start, MOST_WAITING);
            if added && at_start {
                *self.starting.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            }
            self.progress.send_modify(|progress| {
                progress.waiting += u64::from(added);
                progress.dropped += u64::from(!added);
            });
            self.waiting.add_permits(usize::from(added));
        }
    }

    fn one_of_the_start_has_ended(&self) {
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        *starting -= 1;
        if *starting == 0 {
            self.progress.send_modify(|progress| progress.ready = true);
        }
    }

    /// When this one may begin.
    fn slot(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = Instant::now().max(*next);
        *next = slot + self.interval;
        slot
    }

    /// Whether this node is the one of the fleet to warm it. Without a store to ask there is nothing to warm.
    async fn is_ours(&self, key: &str) -> bool {
        let counted = self.cache.count(&format!("warm\n{key}"), 1, self.within).await;
        counted.is_ok_and(|counted| counted.value == 1)
    }
}

/// What is cleared next, with all that was cleared meanwhile.
async fn next_clears(clears: &mut broadcast::Receiver<Arc<[Target]>>) -> Option<Vec<Target>> {
    let mut targets = loop {
        match clears.recv().await {
            Ok(targets) => break targets.to_vec(),
            // There were more than can wait: the newest are left.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    };
    while let Ok(more) = clears.try_recv() {
        targets.extend_from_slice(&more);
    }
    Some(targets)
}

/// How something ended.
enum Ended {
    Done,
    Failed,
    Skipped,
}

async fn work(shared: Arc<Shared>) {
    loop {
        let Ok(permit) = shared.waiting.acquire().await else { return };
        permit.forget();
        let item = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(item) = item else { continue };
        shared.progress.send_modify(|progress| {
            progress.waiting -= 1;
            progress.running += 1;
        });
        let at_start = item.at_start;
        let ended = warm(&shared, item).await;
        shared.progress.send_modify(|progress| {
            progress.running -= 1;
            match ended {
                Ended::Done => progress.done += 1,
                Ended::Failed => progress.failed += 1,
                Ended::Skipped => progress.skipped += 1,
            }
        });
        if at_start {
            shared.one_of_the_start_has_ended();
        }
    }
}

async fn warm(shared: &Shared, item: queue::Item) -> Ended {
    let queue::Item { warm: Warm { key, run, .. }, deadline, at_start, .. } = item;
    if at_start && !shared.is_ours(&key).await {
        return Ended::Skipped;
    }
    let slot = shared.slot();
    if slot >= deadline {
        return Ended::Skipped;
    }
    sleep_until(slot).await;
    // One that panics takes nobody along.
    let running = AssertUnwindSafe(async { run(shared.cache.clone()).await }).catch_unwind();
    match timeout_at(deadline, running).await {
        Ok(Ok(Ok(()))) => Ended::Done,
        Ok(Ok(Err(why))) => {
            log::warn!("{key:?} was not warmed: {why}");
            Ended::Failed
        }
        Ok(Err(_)) => {
            log::error!("{key:?} was not warmed: it panicked");
            Ended::Failed
        }
        Err(_) => {
            log::warn!("{key:?} was not warmed: its time is over");
            Ended::Failed
        }
    }
}
