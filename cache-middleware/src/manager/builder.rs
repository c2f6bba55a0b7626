//! Settings of a manager, all checked by `build()`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use actix_web::dev::RequestHead;

use super::environment::Environment;
use super::keeper::{Keeper, Retried};
use super::pending::PendingClears;
use super::{CacheManager, Inner, TenantResolver, check};
use crate::annotation::Annotation;
use crate::coherence::{Coherence, MOST_PARTITIONS, ReadYourWrites};
use crate::error::ConfigError;
use crate::event::{Event, Rules, Subscribers};
use crate::flight::{BackOff, FlightTable};
use crate::l1::L1;
use crate::policy::{TtlTable, parse_l1_ttl, parse_ttl};
use crate::preset::Preset;
use crate::store::{Member, MemoryStore, NodeId, Store};

/// The lifetime behind the TTL name `default` unless said otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// How long requests wait for another's handler before one of them runs its own.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// How long a key rests after its fill has failed.
const DEFAULT_BACK_OFF: BackOff = BackOff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// The bytes of L1 unless said otherwise: 100 MiB.
const DEFAULT_L1_BYTES: usize = 100 << 20;
/// The smallest L1 that is more than a table of clears.
const SMALLEST_L1_BYTES: usize = 1 << 20;
const DEFAULT_L1_TTL: &str = "60s";

/// How long a start waits until signals are heard.
const FIRST_WORD: Duration = Duration::from_millis(500);

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
    back_off: BackOff,
    status_header: bool,
    forward_groups: bool,
    check_annotations: bool,
    l1_bytes: Option<usize>,
    l1_ttl: String,
    coherence: Option<Coherence>,
    read_your_writes: Option<ReadYourWrites>,
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
            status_header: true,
            forward_groups: false,
            check_annotations: true,
            l1_bytes: None,
            l1_ttl: DEFAULT_L1_TTL.to_owned(),
            coherence: None,
            read_your_writes: None,
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
        self.back_off = BackOff { first, longest };
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
    /// `CACHE_NAMESPACE`; `CACHE_ENCRYPTION_KEY`, several separated by commas; `CACHE_DEFAULT_TTL` in seconds; `CACHE_L1_BYTES`; `CACHE_COHERENCE`; `CACHE_REDIS_TIMEOUT` in milliseconds; `REDIS_TLS_CA`,
    /// `REDIS_TLS_CERT` and `REDIS_TLS_KEY` (files). What the program sets itself goes before.
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
        if self.back_off.first > self.back_off.longest {
            let BackOff { first, longest } = self.back_off;
            self.problems
                .push(format!("back_off begins with {first:?}, which is longer than its longest ({longest:?})"));
        }
        let environment = self.environment.take().unwrap_or_default();
        let ttls = self.ttl_table(&environment);
        if self.check_annotations {
            let tenants = self.tenant_of.is_some();
            self.problems.extend(check::annotations(&ttls, &self.rules, &self.subscribers, tenants));
        }
        for (name, preset) in &self.presets {
            if let Err(problem) = preset.options.rules(&ttls) {
                self.problems.push(format!("the preset {name:?}: {problem}"));
            }
        }
        match self.tenant_quota {
            Some(0) => self.problems.push("tenant_quota is zero: no response would ever be stored".to_owned()),
            Some(_) if self.tenant_of.is_none() => {
                self.problems.push("tenant_quota bounds tenants, and there is no tenant_of that names them".to_owned());
            }
            _ => {}
        }
        let l1_bytes = self.l1_bytes.or(environment.l1_bytes).unwrap_or(DEFAULT_L1_BYTES);
        if (1..SMALLEST_L1_BYTES).contains(&l1_bytes) {
            self.problems
                .push(format!("an L1 of {l1_bytes} bytes: give it {SMALLEST_L1_BYTES} at least, or 0 for none"));
        }
        let coherence = self.coherence.or(environment.coherence).unwrap_or_default();
        self.problems.extend(coherence.check().err().map(|problem| format!("coherence: {problem}")));
        self.problems.extend(self.read_your_writes.as_ref().and_then(|carried| carried.check().err()));
        let l1_ttl = parse_l1_ttl(&self.l1_ttl).unwrap_or_else(|error| {
            self.problems.push(format!("l1_ttl: {}", error.problems().join("; ")));
            Duration::ZERO
        });
        ConfigError::from_problems(std::mem::take(&mut self.problems))?;

        let store = match self.store {
            Some(store) => store,
            None => open_store(environment).await?,
        };
        let pending = Arc::new(PendingClears::default());
        if self.read_your_writes.is_some() && store.partitions() > MOST_PARTITIONS {
            return Err(ConfigError::new(format!(
                "read_your_writes has no room for the clocks of {} partitions: use {MOST_PARTITIONS} at most",
                store.partitions()
            )));
        }
        let (l1, member) = join(&*store, l1_bytes, coherence);
        if let Some(member) = &member {
            // From its first request on a node then shares flights and holds entries. With Redis away it starts all the same.
            let _ = tokio::time::timeout(FIRST_WORD, member.ready()).await;
        }
        let tenant_quota = self.tenant_quota.map(|bytes| (bytes / u64::from(store.partitions().max(1))).max(1));
        let retried = Retried {
            by: member.as_ref().map_or_else(NodeId::default, |member| member.id()),
            views: l1.as_ref().map(|l1| l1.views().clone()),
        };
        let keeper = Keeper::start(store.clone(), pending.clone(), retried);
        let inner = Inner {
            store,
            l1,
            l1_ttl,
            coherence,
            member,
            read_your_writes: self.read_your_writes,
            knows_strict: AtomicBool::new(Annotation::any_is_strict()),
            flights: FlightTable::new(self.patience, self.back_off),
            ttls,
            rules: self.rules,
            subscribers: self.subscribers,
            presets: self.presets,
            knows_tenants: AtomicBool::new(self.tenant_of.is_some()),
            tenant_of: self.tenant_of,
            tenant_quota,
            status_header: self.status_header,
            forward_groups: self.forward_groups,
            pending,
            local_clock: AtomicU64::new(1),
            keeper,
        };
        Ok(CacheManager { inner: Arc::new(inner), tenant: None, strict: false })
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

/// Joins the fleet that shares the store, if one may, with an L1 unless it has no bytes.
fn join(store: &dyn Store, l1_bytes: usize, coherence: Coherence) -> (Option<L1>, Option<Arc<dyn Member>>) {
    let bytes = if l1_bytes == 0 { SMALLEST_L1_BYTES } else { l1_bytes };
    let l1 = L1::new(bytes, store.partitions(), coherence.lease());
    let lease = if l1_bytes == 0 { Duration::ZERO } else { coherence.lease() };
    let member = store.join(l1.views().clone(), lease);
    (Some(l1).filter(|_| member.is_some() && l1_bytes > 0), member)
}

#[cfg(feature = "redis")]
async fn open_store(environment: Environment) -> Result<Arc<dyn Store>, ConfigError> {
    let Some(address) = environment.redis else { return Ok(embedded()) };
    let mut builder = crate::store::RedisStore::builder(address.url()).encryption_keys(environment.encryption_keys);
    if let Some(file) = address.tls_ca {
        builder = builder.tls_ca(file);
    }
    if let Some((certificate, key)) = address.tls_client {
        builder = builder.tls_client(certificate, key);
    }
    if let Some(timeout) = environment.redis_timeout {
        builder = builder.command_timeout(timeout);
    }
    if let Some(namespace) = environment.namespace {
        builder = builder.namespace(namespace);
    }
    Ok(Arc::new(builder.connect().await?))
}

#[cfg(not(feature = "redis"))]
async fn open_store(environment: Environment) -> Result<Arc<dyn Store>, ConfigError> {
    if environment.redis.is_some() {
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
