//! Settings of a manager, all checked by `build()`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix_web::dev::RequestHead;

use super::environment::{Environment, RedisAddress};
use super::keeper::Keeper;
use super::pending::PendingClears;
use super::{CacheManager, Inner, TenantResolver, check};
use crate::error::ConfigError;
use crate::event::{Event, Rules, Subscribers};
use crate::flight::FlightTable;
use crate::policy::{TtlTable, parse_ttl};
use crate::preset::Preset;
use crate::store::{MemoryStore, Store};

/// The lifetime behind the TTL name `default` unless said otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// How long requests wait for another's handler before one of them runs its own.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

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
    patience: Duration,
    status_header: bool,
    check_annotations: bool,
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
            patience: DEFAULT_PATIENCE,
            status_header: true,
            check_annotations: true,
            problems: Vec::new(),
        }
    }
}

impl CacheManagerBuilder {
    /// The store, such as a [`MemoryStore`] or a `RedisStore`. Without one: Redis if [`Self::from_env`] finds an
    /// address, else a [`MemoryStore`] in this process.
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

    /// Calls a function after each event of a name, in a task of its own: once its clears have been acknowledged, or are
    /// waiting to be retried.
    pub fn subscribe<F, Fut>(mut self, event: &str, subscriber: F) -> Self
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

    /// How long requests wait for another's run of the same handler before one of them runs its own. Default 10 s.
    pub fn flight_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether responses carry `Cache-Status` (RFC 9211). Default: they do.
    pub fn status_header(mut self, on: bool) -> Self {
        self.status_header = on;
        self
    }

    /// Builds without a look at the program's annotations: for tests and programs with several managers, of which none
    /// knows all TTL names and events. What is then missing shows only when a request needs it.
    pub fn without_annotation_checks(mut self) -> Self {
        self.check_annotations = false;
        self
    }

    /// Takes settings from the environment: `REDIS_URL`, or `REDIS_HOST`, `REDIS_PORT` and `REDIS_PASSWORD`;
    /// `CACHE_NAMESPACE`; `CACHE_DEFAULT_TTL` in seconds. What the program sets itself goes before.
    ///
    /// A variable that begins with `CACHE_` and is none of these is named in the log, because it does nothing.
    pub fn from_env(self) -> Self {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in names.filter(|name| Environment::is_unknown(name)) {
            log::warn!("the environment sets {name}, which this version of the cache does not read");
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

    /// Checks everything, connects, and starts the tasks that look after the store. Call it within the Tokio runtime
    /// that lives as long as the service (`#[actix_web::main]` is one).
    ///
    /// Redis may be away: the service then starts, its handlers answer, and the cache is used as soon as it is there.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found: a wrong value, an unknown TTL name or an event without a rule in an
    /// annotation (with its file and line), a placeholder of a rule that an annotation does not supply, a Redis that
    /// must not be used.
    pub async fn build(mut self) -> Result<CacheManager, ConfigError> {
        if self.patience.is_zero() {
            self.problems.push("flight_patience is zero: nobody would ever wait".to_owned());
        }
        let environment = self.environment.take().unwrap_or_default();
        let ttls = self.ttl_table(&environment);
        if self.check_annotations {
            self.problems.extend(check::annotations(&ttls, &self.rules, &self.subscribers));
        }
        for (name, preset) in &self.presets {
            if let Err(problem) = preset.rules(&ttls) {
                self.problems.push(format!("the preset {name:?}: {problem}"));
            }
        }
        ConfigError::from_problems(std::mem::take(&mut self.problems))?;

        let store = match self.store {
            Some(store) => store,
            None => open_store(environment.redis, environment.namespace).await?,
        };
        let pending = Arc::new(PendingClears::default());
        let keeper = Keeper::start(store.clone(), pending.clone());
        let inner = Inner {
            store,
            flights: FlightTable::new(self.patience),
            ttls,
            rules: self.rules,
            subscribers: self.subscribers,
            presets: self.presets,
            tenant_of: self.tenant_of,
            status_header: self.status_header,
            pending,
            local_clock: AtomicU64::new(1),
            keeper,
        };
        Ok(CacheManager { inner: Arc::new(inner), tenant: None })
    }

    fn ttl_table(&mut self, environment: &Environment) -> TtlTable {
        let mut ttls = TtlTable::new(environment.default_ttl.unwrap_or(DEFAULT_TTL));
        for (name, text) in &self.ttls {
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                self.problems.push(format!(
                    "{name:?} is not a TTL name: a name does not begin with a digit, so that it is never taken for a duration"
                ));
            }
            if name != "default" && ttls.get(name).is_some() {
                self.problems.push(format!("the TTL {name:?} is given twice"));
            }
            match parse_ttl(text) {
                Ok(duration) => ttls.insert(name, duration),
                Err(error) => self.problems.push(format!("the TTL {name:?}: {}", error.problems().join("; "))),
            }
        }
        ttls
    }
}

#[cfg(feature = "redis")]
async fn open_store(redis: Option<RedisAddress>, namespace: Option<String>) -> Result<Arc<dyn Store>, ConfigError> {
    let Some(address) = redis else { return Ok(embedded()) };
    let mut builder = crate::store::RedisStore::builder(address.url());
    if let Some(namespace) = namespace {
        builder = builder.namespace(namespace);
    }
    Ok(Arc::new(builder.connect().await?))
}

#[cfg(not(feature = "redis"))]
async fn open_store(redis: Option<RedisAddress>, _: Option<String>) -> Result<Arc<dyn Store>, ConfigError> {
    if redis.is_some() {
        return Err(ConfigError::new(
            "REDIS_URL or REDIS_HOST is set, but cache-middleware was built without its feature `redis`",
        ));
    }
    Ok(embedded())
}

fn embedded() -> Arc<dyn Store> {
    let store = MemoryStore::default();
    log::info!("responses are cached in {}", store.describe());
    Arc::new(store)
}
