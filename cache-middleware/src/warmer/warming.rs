//! What is warmed when, and with how much effort.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::event::Event;
use crate::manager::{CacheManager, Removed};

type Run = Box<dyn FnOnce(CacheManager) -> BoxFuture<'static, Result<(), String>> + Send>;
type AtStart = Arc<dyn Fn(CacheManager) -> BoxFuture<'static, Vec<Warm>> + Send + Sync>;
type OnEvent = Arc<dyn Fn(Event) -> Vec<Warm> + Send + Sync>;
type AfterClear = Arc<dyn Fn(Removed) -> Option<Warm> + Send + Sync>;

/// Something to have ready.
///
/// At work: [`crate::Warming`].
pub struct Warm {
    pub(super) key: String,
    pub(super) priority: i32,
    pub(super) run: Run,
}

impl fmt::Debug for Warm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warm").field("key", &self.key).field("priority", &self.priority).finish_non_exhaustive()
    }
}

impl Warm {
    /// What fills an entry: a call of `get_or_set`, of a cached function, or a request to the service itself. The key names it
    /// among all nodes: of those that start together, one warms it.
    pub fn new<F, Fut, E>(key: impl Into<String>, run: F) -> Self
    where
        F: FnOnce(CacheManager) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let run: Run = Box::new(move |cache| {
            let running = run(cache);
            Box::pin(async move { running.await.map_err(|error| error.to_string()) })
        });
        Self { key: key.into(), priority: 0, run }
    }

    /// The higher, the earlier. Default 0.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }
}

/// What is warmed when, and with how much effort.
///
/// ```
/// use cache_middleware::{CacheManager, CacheWarmer, Warm, Warming};
/// use std::convert::Infallible;
///
/// async fn menu(cache: CacheManager) -> Result<(), Infallible> {
///     let policy = cache.policy("5m").expect("a policy");
///     cache.get_or_set("menu", &policy, async || Ok("soup".to_owned())).await.map(drop)
/// }
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().on("menu.updated", ["menu"]).build().await?;
/// let warming = Warming::new()
///     .at_start(async |_| vec![Warm::new("menu", menu)])
///     .on("menu.updated", |_| vec![Warm::new("menu", menu).priority(10)])
///     .concurrency(2);
/// let warmer = CacheWarmer::start(&cache, warming)?;
/// warmer.ready().await;
/// assert_eq!(cache.get::<String>("menu").await.as_deref(), Some("soup"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Warming {
    pub(super) at_start: Vec<AtStart>,
    pub(super) on_event: Vec<(String, OnEvent)>,
    /// How many at most, and how.
    pub(super) after_clears: Option<(usize, AfterClear)>,
    pub(super) concurrency: usize,
    pub(super) per_second: u32,
    pub(super) within: Duration,
}

impl fmt::Debug for Warming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warming").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

impl Default for Warming {
    fn default() -> Self {
        Self {
            at_start: Vec::new(),
            on_event: Vec::new(),
            after_clears: None,
            concurrency: 4,
            per_second: 50,
            within: Duration::from_secs(30),
        }
    }
}

impl Warming {
    /// Nothing yet; 4 at a time, 50 a second, within 30 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// Warms what a function names when the warmer starts, once for all nodes that start within the time limit.
    pub fn at_start<F, Fut>(mut self, what: F) -> Self
    where
        F: Fn(CacheManager) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Warm>> + Send + 'static,
    {
        self.at_start.push(Arc::new(move |cache| Box::pin(what(cache))));
        self
    }

    /// Warms what a function names after each event of a name, once its clears are acknowledged: on the node that has
    /// published it.
    pub fn on(mut self, event: impl Into<String>, what: impl Fn(Event) -> Vec<Warm> + Send + Sync + 'static) -> Self {
        self.on_event.push((event.into(), Arc::new(what)));
        self
    }

    /// Warms what was used most of what each clear of this node has removed, at most so many entries: the function says how one is
    /// filled again, or that it is not. Uses are counted from the start of the warmer on, for up to 4,096 entries.
    ///
    /// For a value that is `get_or_set`, or the cached function, chosen by [`Removed::key`]; for a response it is a request to the
    /// service itself, for [`Removed::path`] with [`Removed::host`] as its `Host`, because handlers are bound to the threads of
    /// their server.
    pub fn after_clears(mut self, most: usize, what: impl Fn(Removed) -> Option<Warm> + Send + Sync + 'static) -> Self {
        self.after_clears = Some((most, Arc::new(what)));
        self
    }

    /// How many run at a time.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.concurrency = most;
        self
    }

    /// How many begin in a second.
    pub fn per_second(mut self, most: u32) -> Self {
        self.per_second = most;
        self
    }

    /// For how long after its cause something may begin, and run.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }
}

/// How far the warmer is.
///
/// At work: [`crate::Warming`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WarmerProgress {
    /// How many wait.
    pub waiting: u64,
    /// How many run.
    pub running: u64,
    /// How many were warmed.
    pub done: u64,
    /// How many failed.
    pub failed: u64,
    /// How many another node has taken, or for which no time was left.
    pub skipped: u64,
    /// How many found no room.
    pub dropped: u64,
    /// Whether what was to be warmed at the start has been, or will not be.
    pub ready: bool,
}
