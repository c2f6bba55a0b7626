//! The manager: one cheap handle to the store, the flights, the rules and the tasks that look after them.

mod background;
mod builder;
mod check;
mod clears;
mod counters;
mod environment;
mod events;
mod fill;
mod hits;
mod intents;
mod keeper;
mod look;
mod measure;
mod popular;
mod probe;
#[cfg(feature = "metrics")]
mod publish;
mod put;
mod serve;
mod slide;
mod turn;
mod value_policy;
mod values;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use actix_web::dev::RequestHead;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub(crate) use self::background::Background;
pub use self::builder::CacheManagerBuilder;
pub use self::clears::{ClearReceipt, OnClearFailure};
pub use self::events::CacheEventBus;
pub(crate) use self::fill::{Draft, Variant};
pub(crate) use self::hits::HitCounts;
pub use self::hits::HitRatio;
use self::hits::HitsByType;
pub(crate) use self::intents::Intent;
use self::keeper::Keeper;
pub(crate) use self::look::{Asking, Demand, Hit, Missed, Stale};
pub(crate) use self::measure::Stopwatch;
use self::measure::TenantClasses;
pub(crate) use self::popular::AskedFor;
use self::popular::Popular;
pub use self::popular::Removed;
pub use self::probe::Difference;
pub(crate) use self::probe::Probe;
use self::probe::Probing;
pub use self::put::{EntryAfterWrite, WrittenThrough};
pub(crate) use self::serve::{Begun, Failure, Judged, Outdated, Served};
pub(crate) use self::slide::Sliding;
pub use self::value_policy::ValuePolicy;
use crate::adaptive::{AdaptedTtl, Learned};
use crate::coherence::{Coherence, CoherenceReport, ReadYourWrites};
use crate::entry::Stamp;
use crate::error::CacheError;
use crate::event::{Rules, Subscribers};
use crate::flight::FlightTable;
use crate::journal::Journal;
use crate::l1::L1;
use crate::policy::{LONGEST_SETTLE, StoreRules, Ttl, TtlTable, hint};
use crate::preset::{Preset, ResponseCaching};
use crate::store::{Member, Store, Usage};
use crate::telemetry::Telemetry;
use crate::tenant::Tenant;

/// The cache of a service. Clones share everything; put one into the app with `.app_data(cache.clone())`.
///
/// ```
/// use cache_middleware::CacheManager;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder()
///     .ttl("session-list", "5m")
///     .on("session.created", ["teacher:{teacher_id}"])
///     .build()
///     .await?;
/// let receipt = cache.clear_tag("teacher:7").await?;
/// assert_eq!(receipt.covered, 0);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone)]
pub struct CacheManager {
    inner: Arc<Inner>,
    /// Whose keys, tags and clears this handle speaks of.
    tenant: Option<Tenant>,
    /// Whether its clears wait until they are in effect on every node.
    strict: bool,
    /// For how long after its clears what they cover is not stored.
    settle: Duration,
}

/// What is wrong with routes for tenants where no request can name one.
pub(crate) const NO_RESOLVER: &str =
    "tenant_bound needs to know the tenant of a request: add `.tenant_of(|head| ..)` to the builder";

/// What is told to who starts something outside of a runtime.
const NO_RUNTIME: &str = "it goes on in tasks: start it within the Tokio runtime that lives as long as the service";

/// Whether what goes on in tasks can be started here.
pub(crate) fn in_a_runtime() -> Result<(), CacheError> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(CacheError::Invalid(NO_RUNTIME.to_owned())),
    }
}

/// Reads the tenant of a request; `Err` holds a name that is not one.
type TenantResolver = Arc<dyn Fn(&RequestHead) -> Option<String> + Send + Sync>;

struct Inner {
    store: Arc<dyn Store>,
    /// The memory of this node in front of the store.
    l1: Option<L1>,
    l1_ttl: Duration,
    coherence: Coherence,
    /// This node in the fleet that shares the store.
    member: Option<Arc<dyn Member>>,
    read_your_writes: Option<ReadYourWrites>,
    /// Whether an entry of this program may ask for strict clears.
    knows_strict: AtomicBool,
    flights: FlightTable,
    /// What is known of keys whose TTLs adapt.
    learned: Learned,
    /// What is used most, if somebody wants to know.
    popular: Arc<OnceLock<Popular>>,
    /// The routes of annotated handlers, as far as they have been asked for.
    routes_of: papaya::HashMap<&'static str, String>,
    /// What is compared with what handlers say, if anything is.
    probing: Option<Arc<Probing>>,
    /// What is counted of all that happens.
    telemetry: Arc<Telemetry>,
    #[cfg(feature = "metrics")]
    published: publish::Published,
    /// How often health is checked, if the environment says so.
    health_interval: Option<Duration>,
    /// The class of a tenant, if somebody has classes.
    tenant_classes: Option<TenantClasses>,
    /// How often data are found, by their type.
    hits: HitsByType,
    /// The queues that this manager flushes.
    queues: Mutex<HashSet<String>>,
    /// Keys whose TTLs are begun anew just now.
    sliding: Mutex<HashSet<Arc<str>>>,
    ttls: TtlTable,
    rules: Rules,
    subscribers: Subscribers,
    /// For how long the clears of an event settle.
    settles: HashMap<String, Duration>,
    presets: HashMap<String, Preset>,
    tenant_of: Option<TenantResolver>,
    /// The most bytes of a tenant in a partition of the store.
    tenant_quota: Option<u64>,
    /// Whether there is a tenant: then nothing is meant for all of them unless it says so.
    knows_tenants: AtomicBool,
    on_clear_failure: OnClearFailure,
    status_header: bool,
    forward_groups: bool,
    journal: Arc<Journal>,
    /// Counts this node's clears, acknowledged or not: the clock of flights while there is no store to ask.
    local_clock: AtomicU64,
    keeper: Keeper,
    /// How many handlers may run that nobody waits for.
    background: Arc<Semaphore>,
    /// Where the manager was built: what must go on while a handler keeps its thread busy runs here.
    runtime: Handle,
}

impl fmt::Debug for CacheManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheManager")
            .field("store", &self.inner.store.describe())
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl CacheManager {
    /// The handle of no tenant.
    fn of(inner: Arc<Inner>) -> Self {
        Self { inner, tenant: None, strict: false, settle: Duration::ZERO }
    }

    /// The settings of a new manager.
    pub fn builder() -> CacheManagerBuilder {
        CacheManagerBuilder::default()
    }

    /// A handle that speaks only of this tenant's keys and tags: its clears reach nobody else's entries, and
    /// `clear_all` on it clears the tenant.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the name is not a tenant name.
    pub fn tenant(&self, name: &str) -> Result<Self, CacheError> {
        let tenant = Tenant::new(name)?;
        if !self.inner.knows_tenants.load(Ordering::Relaxed) {
            self.inner.knows_tenants.store(true, Ordering::Relaxed);
        }
        Ok(Self { tenant: Some(tenant), ..self.clone() })
    }

    /// A handle whose clears are strict, whatever the manager's [`Coherence`] is: they return when they are in effect on
    /// every node, or when a node that does not answer can no longer serve from its memory.
    #[must_use]
    pub fn strictly(&self) -> Self {
        Self { strict: true, ..self.clone() }
    }

    /// A handle whose clears settle: for so long after one, answers to its tags and keys are given but not stored
    /// (`detail=settling`). For databases that are read through replicas: a handler that runs right after the clear may still
    /// read what was before. 60 s at most: a longer one is that.
    #[must_use]
    pub fn settling(&self, duration: Duration) -> Self {
        Self { settle: self.settle.max(duration.min(LONGEST_SETTLE)), ..self.clone() }
    }

    /// How coherent the memory of this node has been, and how it has been used; `None` without one.
    #[must_use]
    pub fn coherence(&self) -> Option<CoherenceReport> {
        Some(self.inner.l1.as_ref()?.report(self.inner.coherence))
    }

    /// The TTLs of the keys that are asked for most on this node, of those whose policy lets them adapt, and what they follow from.
    #[must_use]
    pub fn adapted_ttls(&self, limit: usize) -> Vec<AdaptedTtl> {
        self.inner.learned.most_asked(limit)
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The duration registered under a TTL name.
    #[must_use]
    pub fn ttl(&self, name: &str) -> Option<Duration> {
        self.inner.ttls.get(name)
    }

    /// The duration a TTL stands for, or why it stands for none.
    pub(crate) fn resolve(&self, ttl: Ttl) -> Result<Duration, String> {
        match ttl {
            Ttl::For(duration) => Ok(duration),
            Ttl::Named(name) => self.inner.ttls.get(name).ok_or_else(|| self.inner.ttls.unknown(name)),
        }
    }

    /// The right to flush a queue; `None` if somebody has it.
    pub(crate) fn claim_queue(&self, name: &str) -> Option<QueueClaim> {
        let is_free = self.inner.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        is_free.then(|| QueueClaim { manager: self.clone(), queue: name.to_owned() })
    }

    pub(crate) fn has_resolver(&self) -> bool {
        self.inner.tenant_of.is_some()
    }

    /// The handle for a request: that of its tenant, if there is a resolver and it names one.
    pub(crate) fn for_request(&self, head: &RequestHead) -> Result<Self, CacheError> {
        match self.inner.tenant_of.as_ref().and_then(|resolve| resolve(head)) {
            Some(name) => self.tenant(&name),
            None => Ok(self.clone()),
        }
    }

    /// What the tenant of this handle has in the store.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the handle is no tenant's, [`CacheError::Store`] if the store did not answer.
    pub async fn usage(&self) -> Result<Usage, CacheError> {
        let tenant = self.tenant.as_ref();
        let tenant = tenant.ok_or_else(|| CacheError::Invalid("only a tenant's handle has a usage".to_owned()))?;
        Ok(self.inner.store.usage(tenant).await?)
    }

    pub(crate) fn current_tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// The preset of a name, or why there is none.
    pub(crate) fn stored_preset(&self, name: &str) -> Result<&Preset, String> {
        self.inner.presets.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.inner.presets.keys().map(String::as_str).collect();
            let hint = hint(name, &known);
            format!("there is no preset {name:?}{hint} Add `.preset({name:?}, ..)` to the builder")
        })
    }

    /// The storing rules that settings stand for, or what is wrong with them.
    pub(crate) fn rules_of<M>(&self, settings: &ResponseCaching<M>) -> Result<StoreRules, String> {
        if settings.options.tenant_bound && self.inner.tenant_of.is_none() {
            return Err(NO_RESOLVER.to_owned());
        }
        settings.options.rules(&self.inner.ttls)
    }

    /// How long a clear may take to be in effect on all nodes.
    pub(crate) fn lease(&self) -> Duration {
        self.inner.coherence.lease()
    }

    /// Whether every clear is in effect on all nodes when it is acknowledged.
    fn is_strict(&self) -> bool {
        matches!(self.inner.coherence, Coherence::Strict(_))
    }

    pub(crate) fn read_your_writes(&self) -> Option<&ReadYourWrites> {
        self.inner.read_your_writes.as_ref()
    }

    pub(crate) fn on_clear_failure(&self) -> OnClearFailure {
        self.inner.on_clear_failure
    }

    pub(crate) fn forwards_groups(&self) -> bool {
        self.inner.forward_groups
    }

    pub(crate) fn writes_status_header(&self) -> bool {
        self.inner.status_header
    }

    /// The stamp of flights that have no store to ask: only this node's clears move it.
    fn local_stamp(&self) -> Stamp {
        Stamp { incarnation: 0, clock: self.inner.local_clock.load(Ordering::SeqCst) }
    }
}

/// The right to flush a queue, which one handle of a manager has at a time, until it is dropped.
#[derive(Debug)]
pub(crate) struct QueueClaim {
    manager: CacheManager,
    queue: String,
}

impl Drop for QueueClaim {
    fn drop(&mut self) {
        self.manager.inner.queues.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.queue);
    }
}
