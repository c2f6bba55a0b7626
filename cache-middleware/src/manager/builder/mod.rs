//! Settings of a manager, all checked by `build()`.

mod build;
mod telemetry;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::RequestHead;

#[cfg(doc)]
use super::CacheManager;
use super::environment::Environment;
use super::measure::TenantClasses;
use super::{OnClearFailure, TenantResolver};
use crate::backoff::Backoff;
use crate::coherence::{Coherence, ReadYourWrites};
use crate::event::{Event, Rules, Subscribers};
use crate::preset::Preset;
use crate::store::Store;
use crate::telemetry::{Hooks, MOST_ROUTES};

/// How long requests wait for another's handler before one of them runs its own.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// What an answer that is out of date weighs unless said otherwise, as time that a handler runs.
const DEFAULT_ADAPTIVE_PENALTY: Duration = Duration::from_millis(10);

/// How many handlers run that nobody waits for.
const DEFAULT_BACKGROUND_RUNS: usize = 256;

/// How long a key rests after its fill has failed.
const DEFAULT_BACK_OFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

const DEFAULT_L1_TTL: &str = "60s";

/// Settings of a [`CacheManager`]; [`CacheManagerBuilder::build`] checks them.
#[must_use]
pub struct CacheManagerBuilder {
    store: Option<Arc<dyn Store>>,
    environment: Option<Environment>,
    ttls: Vec<(String, String)>,
    rules: Rules,
    subscribers: Subscribers,
    presets: HashMap<String, Preset>,
    tenant_of: Option<TenantResolver>,
    tenant_quota: Option<u64>,
    patience: Duration,
    back_off: Backoff,
    background_runs: usize,
    adaptive_penalty: Duration,
    status_header: bool,
    forward_groups: bool,
    check_annotations: bool,
    l1_bytes: Option<usize>,
    l1_ttl: String,
    coherence: Option<Coherence>,
    read_your_writes: Option<ReadYourWrites>,
    settles: Vec<(String, String)>,
    journal: Option<PathBuf>,
    on_clear_failure: OnClearFailure,
    hooks: Hooks,
    most_routes: usize,
    probe: Option<(f64, String)>,
    request_metrics: bool,
    tenant_classes: Option<TenantClasses>,
    problems: Vec<String>,
}

impl std::fmt::Debug for CacheManagerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheManagerBuilder").field("ttls", &self.ttls).finish_non_exhaustive()
    }
}

impl Default for CacheManagerBuilder {
    fn default() -> Self {
        Self {
            store: None,
            environment: None,
            ttls: Vec::new(),
            rules: Rules::default(),
            subscribers: Subscribers::default(),
            presets: HashMap::new(),
            tenant_of: None,
            tenant_quota: None,
            patience: DEFAULT_PATIENCE,
            back_off: DEFAULT_BACK_OFF,
            background_runs: DEFAULT_BACKGROUND_RUNS,
            adaptive_penalty: DEFAULT_ADAPTIVE_PENALTY,
            status_header: true,
            forward_groups: false,
            check_annotations: true,
            l1_bytes: None,
            l1_ttl: DEFAULT_L1_TTL.to_owned(),
            coherence: None,
            read_your_writes: None,
            settles: Vec::new(),
            journal: None,
            on_clear_failure: OnClearFailure::default(),
            hooks: Hooks::default(),
            most_routes: MOST_ROUTES,
            probe: None,
            request_metrics: true,
            tenant_classes: None,
            problems: Vec::new(),
        }
    }
}

impl CacheManagerBuilder {
    /// The store, such as a [`MemoryStore`](crate::store::MemoryStore) or a `RedisStore`. Without one: Redis if [`Self::from_env`] finds an
    /// address, else a [`MemoryStore`](crate::store::MemoryStore) in this process.
    pub fn store(self, store: impl Store) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// The store, shared with other managers.
    pub fn shared_store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Registers a TTL under a name: `.ttl("session-list", "5m")`. The name `default` is there already (5 minutes, or
    /// `CACHE_DEFAULT_TTL` seconds) and may be given again.
    pub fn ttl(mut self, name: impl Into<String>, duration: impl Into<String>) -> Self {
        self.ttls.push((name.into(), duration.into()));
        self
    }

    /// Adds a rule: what an event clears. `{field}` is a field of the event.
    pub fn on<T: Into<String>>(mut self, event: &str, tags: impl IntoIterator<Item = T>) -> Self {
        let problems = self.rules.add(event, tags.into_iter().map(Into::into));
        self.problems.extend(problems);
        self
    }

    /// Says which tags the program clears by calls, such as `cache.clear_tag("menu")`, so that [`crate::CacheManager::map`] and the log of
    /// the start do not warn that nobody clears them.
    pub fn cleared_by_call<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        let problems = self.rules.add_calls(tags.into_iter().map(Into::into));
        self.problems.extend(problems);
        self
    }

    /// Has the clears of an event settle: for so long after it, such as `500ms`, answers to its tags are given but not stored.
    /// For databases that are read through replicas; see [`CacheManager::settling`].
    pub fn settle(mut self, event: impl Into<String>, duration: impl Into<String>) -> Self {
        self.settles.push((event.into(), duration.into()));
        self
    }

    /// Calls a function after each event of a name, in a task of its own: once its clears have been acknowledged, or are
    /// waiting to be retried.
    pub fn subscribe<F, Fut>(self, event: &str, subscriber: F) -> Self
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.subscribers.add(event, subscriber);
        self
    }

    /// Keeps settings of the middleware under a name, for `cache.preset(name)`.
    pub fn preset(mut self, name: impl Into<String>, preset: Preset) -> Self {
        let name = name.into();
        if self.presets.contains_key(&name) {
            self.problems.push(format!("the preset {name:?} is given twice"));
        }
        self.presets.insert(name, preset);
        self
    }

    /// Reads the tenant of each request: its keys, tags and clears are then apart from all other tenants'.
    pub fn tenant_of(mut self, resolve: impl Fn(&RequestHead) -> Option<String> + Send + Sync + 'static) -> Self {
        self.tenant_of = Some(Arc::new(resolve));
        self
    }

    /// The most bytes that each tenant may have in the store, spread evenly over its partitions. Beyond it, responses pass
    /// and are not stored, with the reason `tenant-quota`, until others have gone. Default: none.
    pub fn tenant_quota(mut self, bytes: u64) -> Self {
        self.tenant_quota = Some(bytes);
        self
    }

    /// How long requests wait for another's run of the same handler before one of them runs its own. Default 10 s.
    pub fn flight_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long a handler that has failed is not run again for the same key, the first time and at most; each further failure
    /// doubles it. Only while there is a stale entry to serve instead. Default 1 s and 30 s.
    pub fn back_off(mut self, first: Duration, longest: Duration) -> Self {
        self.back_off = Backoff::new(first, longest);
        self
    }

    /// What one answer that is out of date weighs, as time that a handler runs: what adaptive TTLs weigh the two by. Default 10 ms;
    /// more makes them shorter.
    pub fn adaptive_penalty(mut self, penalty: Duration) -> Self {
        self.adaptive_penalty = penalty;
        self
    }

    /// How many handlers may run at a time that nobody waits for: refreshes, and runs that were late. Beyond it, what is stale
    /// within its window is served without a refresh, and late runs end. None runs for longer than six times the patience. Default 256.
    pub fn background_runs(mut self, most: usize) -> Self {
        self.background_runs = most;
        self
    }

    /// The bytes of L1, the memory of this node in front of Redis; 0 switches it off. Default 100 MiB, or
    /// `CACHE_L1_BYTES`. The embedded store has no L1: it is in memory itself.
    pub fn l1_bytes(mut self, bytes: usize) -> Self {
        self.l1_bytes = Some(bytes);
        self
    }

    /// The longest an entry is held in L1 unless its policy says otherwise. Default `60s`.
    pub fn l1_ttl(mut self, duration: impl Into<String>) -> Self {
        self.l1_ttl = duration.into();
        self
    }

    /// When clears of other nodes are in effect on this one, and this node's on them. Default
    /// [`Coherence::Bounded`] by 1 s, or `CACHE_COHERENCE`. All nodes should have the same.
    pub fn coherence(mut self, coherence: Coherence) -> Self {
        self.coherence = Some(coherence);
        self
    }

    /// Keeps the clears that Redis has not acknowledged in a file too, so that they outlive the process: it is written and
    /// synced before a response leaves. Each process needs a file of its own. Default: in memory only, or `CACHE_JOURNAL`.
    pub fn journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.journal = Some(path.into());
        self
    }

    /// What the client of a write gets whose clear is only journaled. Default: the response of the write.
    pub fn on_clear_failure(mut self, what: OnClearFailure) -> Self {
        self.on_clear_failure = what;
        self
    }

    /// Gives callers a token of their writes, with which no node answers them with anything older. Default: none.
    pub fn read_your_writes(mut self, carried: ReadYourWrites) -> Self {
        self.read_your_writes = Some(carried);
        self
    }

    /// Whether responses carry `Cache-Status` (RFC 9211). Default: they do.
    pub fn status_header(mut self, on: bool) -> Self {
        self.status_header = on;
        self
    }

    /// Lets `Cache-Group-Invalidation` (RFC 9875) go on to the caches of others after it has been obeyed. Default: it does
    /// not, because it tells how a service is made.
    pub fn forward_groups(mut self, on: bool) -> Self {
        self.forward_groups = on;
        self
    }

    /// Builds without a look at the program's annotations: for tests and programs with several managers, of which none
    /// knows all TTL names and events. What is then missing shows only when a request needs it.
    pub fn without_annotation_checks(mut self) -> Self {
        self.check_annotations = false;
        self
    }

    /// Takes settings from the environment: `REDIS_URL`, or `REDIS_HOST`, `REDIS_PORT` and `REDIS_PASSWORD`;
    /// `REDIS_TLS_CA`, `REDIS_TLS_CERT` and `REDIS_TLS_KEY`, files; `CACHE_NAMESPACE`; `CACHE_ENCRYPTION_KEY`, several separated by commas;
    /// `CACHE_DEFAULT_TTL` in seconds; `CACHE_L1_BYTES`; `CACHE_COHERENCE`; `CACHE_REDIS_TIMEOUT` and `CACHE_HEALTH_CHECK_INTERVAL` in
    /// milliseconds; `CACHE_JOURNAL`, a file. What the program sets itself goes before.
    ///
    /// A variable that begins with `CACHE_` and is none of these is named in the log, because it does nothing.
    pub fn from_env(self) -> Self {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in names.filter(|name| Environment::is_unknown(name)) {
            let hint = Environment::hint(&name);
            log::warn!("the environment sets {name}, which this version of the cache does not read{hint}");
        }
        self.from_variables(|name| std::env::var(name).ok())
    }

    /// As [`Self::from_env`], with variables from elsewhere, as tests have them.
    pub fn from_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        match Environment::read(variable) {
            Ok(environment) => self.environment = Some(environment),
            Err(problems) => self.problems.extend(problems),
        }
        self
    }
}
