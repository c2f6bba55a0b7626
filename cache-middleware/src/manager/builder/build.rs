//! What `build()` checks and starts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::CacheManagerBuilder;
use crate::adaptive::Learned;
use crate::annotation::Annotation;
use crate::backoff::Backoff;
use crate::coherence::{Coherence, MOST_PARTITIONS};
use crate::error::ConfigError;
use crate::flight::FlightTable;
use crate::journal::Journal;
use crate::l1::L1;
use crate::manager::environment::Environment;
use crate::manager::keeper::{Keeper, Retried};
use crate::manager::probe::Probing;
use crate::manager::{CacheManager, Inner, check};
use crate::policy::{TtlTable, duration_of, parse_l1_ttl, parse_settle, parse_ttl, too_long};
use crate::store::{Member, MemoryStore, NodeId, Store};
use crate::telemetry::Telemetry;

/// The lifetime behind the TTL name `default` unless said otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// The bytes of L1 unless said otherwise: 100 MiB.
const DEFAULT_L1_BYTES: usize = 100 << 20;
/// The smallest L1 that is more than a table of clears.
const SMALLEST_L1_BYTES: usize = 1 << 20;
/// How long a start waits until signals are heard.
const FIRST_WORD: Duration = Duration::from_millis(500);

/// Settings that are right.
struct Checked {
    ttls: TtlTable,
    l1_bytes: usize,
    coherence: Coherence,
    l1_ttl: Duration,
    probing: Option<Arc<Probing>>,
    settles: HashMap<String, Duration>,
}

impl CacheManagerBuilder {
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
        let environment = self.environment.take().unwrap_or_default();
        let Checked { ttls, l1_bytes, coherence, l1_ttl, probing, settles } = self.checked(&environment)?;
        let (environment_journal, health_interval) = (environment.journal.clone(), environment.health_interval);
        let store = match self.store {
            Some(store) => store,
            None => open_store(environment).await?,
        };
        let journal = match self.journal.or(environment_journal) {
            Some(path) => Journal::open(&path).map_err(|error| {
                ConfigError::new(format!("the journal (CACHE_JOURNAL) {} cannot be used ({error}): name a file that this process can write, in a folder that exists", path.display()))
            })?,
            None => Journal::default(),
        };
        let journal = Arc::new(journal);
        if self.read_your_writes.is_some() && store.partitions() > MOST_PARTITIONS {
            return Err(ConfigError::new(format!(
                "read_your_writes has no room for the clocks of {} partitions: use {MOST_PARTITIONS} at most",
                store.partitions()
            )));
        }
        let (l1, member) = join(&*store, l1_bytes, coherence);
        // What is suspected must be older than clears may take that nobody has to wait for.
        if let Some(probing) = probing.as_ref().filter(|probing| l1.is_some() && probing.after < coherence.lease()) {
            return Err(ConfigError::new(format!(
                "probe: {:?} is less than a clear may take to be in effect on every node ({:?}), and what that allows would be taken for \
                 a fault: wait longer",
                probing.after,
                coherence.lease()
            )));
        }
        if let Some(member) = &member {
            // From its first request on a node then shares flights and holds entries. With Redis away it starts all the same.
            let _ = tokio::time::timeout(FIRST_WORD, member.ready()).await;
        }
        let tenant_quota = self.tenant_quota.map(|bytes| (bytes / u64::from(store.partitions().max(1))).max(1));
        let telemetry = Arc::new(Telemetry::new(self.request_metrics, self.most_routes, self.hooks));
        let popular = Arc::new(OnceLock::new());
        let retried = Retried {
            by: member.as_ref().map_or_else(NodeId::default, |member| member.id()),
            views: l1.as_ref().map(|l1| l1.views().clone()),
            telemetry: telemetry.clone(),
            popular: popular.clone(),
        };
        let keeper = Keeper::start(store.clone(), journal.clone(), retried);
        let inner = Inner {
            store,
            l1,
            l1_ttl,
            coherence,
            member,
            read_your_writes: self.read_your_writes,
            knows_strict: AtomicBool::new(Annotation::any_is_strict()),
            flights: FlightTable::new(self.patience, self.back_off),
            learned: Learned::new(self.adaptive_penalty),
            popular,
            routes_of: papaya::HashMap::new(),
            probing,
            telemetry,
            #[cfg(feature = "metrics")]
            published: crate::manager::publish::Published::default(),
            health_interval,
            tenant_classes: self.tenant_classes,
            hits: crate::manager::hits::HitsByType::default(),
            queues: Mutex::default(),
            sliding: Mutex::default(),
            ttls,
            rules: self.rules,
            subscribers: self.subscribers,
            settles,
            presets: self.presets,
            knows_tenants: AtomicBool::new(self.tenant_of.is_some()),
            tenant_of: self.tenant_of,
            tenant_quota,
            on_clear_failure: self.on_clear_failure,
            status_header: self.status_header,
            forward_groups: self.forward_groups,
            journal,
            local_clock: AtomicU64::new(1),
            keeper,
            background: Arc::new(Semaphore::new(self.background_runs.min(Semaphore::MAX_PERMITS))),
            runtime: tokio::runtime::Handle::current(),
        };
        let inner = Arc::new(inner);
        #[cfg(feature = "metrics")]
        tokio::spawn(crate::manager::publish::keep_publishing(Arc::downgrade(&inner)));
        let manager = CacheManager::of(inner);
        if self.check_annotations {
            manager.map().warnings.iter().for_each(|warning| log::warn!("{warning}"));
        }
        Ok(manager)
    }

    /// Every setting that can be judged without a look at the store.
    fn checked(&mut self, environment: &Environment) -> Result<Checked, ConfigError> {
        if self.patience.is_zero() {
            self.problems.push("flight_patience is zero: nobody would ever wait".to_owned());
        }
        self.problems.extend(too_long("flight_patience", self.patience));
        if self.adaptive_penalty.is_zero() {
            self.problems.push("adaptive_penalty is zero: every TTL would become its longest".to_owned());
        }
        if self.back_off.first > self.back_off.longest {
            let Backoff { first, longest, .. } = self.back_off;
            self.problems
                .push(format!("back_off begins with {first:?}, which is longer than its longest ({longest:?})"));
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(ConfigError::new(
                "build() starts tasks: call it within the Tokio runtime that lives as long as the service, as in `#[actix_web::main]`",
            ));
        }
        let ttls = self.ttl_table(environment);
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
                self.problems.push(
                    "tenant_quota bounds tenants, and nothing names them: add `.tenant_of(|head| ..)` to the builder"
                        .to_owned(),
                );
            }
            _ => {}
        }
        let l1_bytes = self.l1_bytes.or(environment.l1_bytes).unwrap_or(DEFAULT_L1_BYTES);
        if (1..SMALLEST_L1_BYTES).contains(&l1_bytes) {
            self.problems
                .push(format!("l1_bytes is {l1_bytes}: give it {SMALLEST_L1_BYTES} (1 MiB) at least, or 0 for no L1"));
        }
        let coherence = self.coherence.or(environment.coherence).unwrap_or_default();
        self.problems.extend(coherence.check().err().map(|problem| format!("coherence: {problem}")));
        let carried = self.read_your_writes.as_ref().and_then(|carried| carried.check().err());
        self.problems.extend(carried.map(|problem| format!("read_your_writes: {problem}")));
        let l1_ttl = parse_l1_ttl(&self.l1_ttl).unwrap_or_else(|error| {
            self.problems.push(error.line_of("l1_ttl"));
            Duration::ZERO
        });
        let probing = self.checked_probing();
        let settles = self.checked_settles();
        ConfigError::from_problems(std::mem::take(&mut self.problems))?;
        Ok(Checked { ttls, l1_bytes, coherence, l1_ttl, probing, settles })
    }

    fn checked_probing(&mut self) -> Option<Arc<Probing>> {
        let (part, after) = self.probe.take()?;
        match duration_of("probe", &after) {
            Ok(after) => Some(Arc::new(Probing::new(part, after))),
            Err(problem) => {
                self.problems.push(problem.to_string());
                None
            }
        }
    }

    fn checked_settles(&mut self) -> HashMap<String, Duration> {
        let mut settles = HashMap::new();
        for (event, text) in std::mem::take(&mut self.settles) {
            if !self.rules.has(&event) {
                self.problems.push(format!("settle: {}", self.rules.unknown(&event)));
            }
            match parse_settle(&text) {
                Ok(duration) => drop(settles.insert(event, duration)),
                Err(problem) => self.problems.push(format!("settle of {event:?}: {problem}")),
            }
        }
        settles
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
                Err(error) => self.problems.push(format!("the TTL {name:?}: {}", error.line())),
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
