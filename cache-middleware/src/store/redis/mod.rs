//! The store in Redis. `docs/redis.md` explains the model; the scripts in `scripts/` are the model.

mod address;
mod atlas;
mod call;
mod channels;
mod condition;
mod counters;
mod ear;
mod examine;
mod fence;
mod flight;
mod hearing;
mod intents;
mod layout;
mod measure;
mod member;
mod operations;
mod place;
mod queues;
mod reads;
mod router;
mod scripts;
mod settings;
mod site;
mod suitability;
mod walk;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use redis::{FromRedisValue, ScriptInvocation};
use tokio::sync::Notify;

use self::address::{Address, TlsFiles};
use self::layout::Layout;
use self::member::RedisMember;
use self::router::Router;
use self::scripts::Scripts;
use self::settings::Settings;
use self::walk::Walk;
use super::{
    Channels, Clearing, Condition, Counted, Examination, Filled, Filling, FleetNode, Lease, Listed, Listener, Lookup,
    Member, NodeId, Overdue, Queues, REDIS_ADDRESSES, Receipt, Store, StoreSize, Swept, TagSize, Target, Usage,
};
use crate::chance::random;
use crate::entry::Entry;
use crate::error::{ConfigError, StoreError};
use crate::key::Key;
use crate::policy::too_long;
use crate::seal::{EncryptionKey, Keyring};
use crate::telemetry::{Sample, StoreCounts};
use crate::tenant::Tenant;

/// How many partitions a cluster has unless said otherwise.
const CLUSTER_PARTITIONS: u16 = 16;

/// The store in one Redis server or cluster, shared by every node that uses the same namespace.
#[derive(Debug)]
pub struct RedisStore {
    router: Arc<Router>,
    settings: Arc<Settings>,
    /// Names this node when it claims the sweep of a partition.
    token: String,
    walks: Mutex<Vec<Option<Walk>>>,
    /// The partition whose turn the next sweep is.
    turn: AtomicU16,
    /// Whether a partition had more to sweep in this pass over them.
    busy: AtomicBool,
    address: String,
    /// Values that were read and are no entries.
    refused_values: AtomicU64,
}

/// Settings of a [`RedisStore`].
#[derive(Debug, Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    namespace: String,
    partitions: Option<u16>,
    command_timeout: Duration,
    keep_marks: Duration,
    allow_unsafe_eviction: bool,
    trust_restarts: bool,
    replicas: (usize, Duration),
    tls: TlsFiles,
    keys: Vec<EncryptionKey>,
}

impl RedisStoreBuilder {
    /// Keeps the entries of several applications on one Redis apart. Default `cache`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Encrypts and authenticates values with the first of these keys, and reads those of all of them (feature
    /// `encryption`). To rotate, put a new key behind the old one on every node, then before it, and take the old one away after the
    /// longest TTL, when nothing waits in a queue. Names of keys, tags and routes stay readable: the index is made of them.
    pub fn encryption_keys(mut self, keys: impl IntoIterator<Item = EncryptionKey>) -> Self {
        self.keys = keys.into_iter().collect();
        self
    }

    /// Into how many hash slots the keys are spread; cannot change under a namespace. Default 1 on one server, 16 on a
    /// cluster, where they are spread over its masters.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// How long a command may take before the request goes on without the cache. Default 50 ms, or `CACHE_REDIS_TIMEOUT`. When
    /// commands fail, or take half of this, five in a row or half of the last twenty, nobody asks that server until it answers
    /// quickly again. Across regions it must be more than twice the round trip.
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// How long a mark is kept after its sweep, so that fills that began before it are told exactly what covers them.
    /// A fill that is older than the kept marks is refused. Default 60 s.
    pub fn keep_marks(mut self, duration: Duration) -> Self {
        self.keep_marks = duration;
        self
    }

    /// Goes on although Redis may evict the tag index: entries may then survive their clears. Logged as an error at
    /// every connection.
    pub fn allow_unsafe_eviction(mut self, allow: bool) -> Self {
        self.allow_unsafe_eviction = allow;
        self
    }

    /// Goes on with what a server holds that was started anew, or that has become the master: it is not taken as void.
    /// A clear that its snapshot, or the replica it was, had not seen is then undone. Only for servers that lose nothing.
    pub fn trust_restarts(mut self, trust: bool) -> Self {
        self.trust_restarts = trust;
        self
    }

    /// Acknowledges a clear, and a change that is to be written behind, only when so many replicas have it as well (`WAIT`), so that
    /// a failover to one of them does not undo it. If they do not have it within the timeout, which comes on top of that of a
    /// command, the clear counts as not acknowledged and is retried, and the change is refused: it may be written or not.
    /// Default 0.
    pub fn wait_for_replicas(mut self, replicas: usize, timeout: Duration) -> Self {
        self.replicas = (replicas, timeout);
        self
    }

    /// For `rediss://`: a file of certificates (PEM) that sign the server's, instead of the system's.
    pub fn tls_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls.ca = Some(file.into());
        self
    }

    /// For `rediss://`: the certificate of this client and its key (PEM).
    pub fn tls_client(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self
    }

    /// Connects. Redis may be away: then the store answers [`StoreError::Unavailable`] until it is there.
    ///
    /// Must be called within the Tokio runtime that lives as long as the service.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is wrong, or if a server is there and must not be used: its eviction policy, its
    /// version, its role, or the number of partitions that the namespace was begun with.
    pub async fn connect(self) -> Result<RedisStore, ConfigError> {
        let address = Address::parse(&self.url, &self.tls).map_err(|why| {
            ConfigError::new(format!("the Redis address is not accepted: {why}. It is {REDIS_ADDRESSES}"))
        })?;
        let cluster = matches!(address, Address::Cluster(_));
        let partitions = self.partitions.unwrap_or(if cluster { CLUSTER_PARTITIONS } else { 1 });
        let layout = Layout::new(&self.namespace, partitions).map_err(|error| ConfigError::new(error.to_string()))?;
        let (wait_for_replicas, replica_timeout) = self.replicas;
        if wait_for_replicas > 0 && replica_timeout.is_zero() {
            return Err(ConfigError::new("wait_for_replicas waits for nothing: give it a timeout, such as 100 ms"));
        }
        if self.command_timeout.is_zero() {
            return Err(ConfigError::new("command_timeout is zero: no command would ever be answered"));
        }
        let waits = [("command_timeout", self.command_timeout), ("the timeout of wait_for_replicas", replica_timeout)];
        if let Some(problem) = waits.into_iter().find_map(|(name, wait)| too_long(name, wait)) {
            return Err(ConfigError::new(problem));
        }
        let shown = address.shown();
        if !self.keys.is_empty() {
            log::info!("values in Redis are encrypted");
        }
        let settings = Arc::new(Settings {
            layout,
            scripts: Scripts::new(cluster),
            keys: Keyring::new(self.keys),
            cluster,
            command_timeout: self.command_timeout,
            keep_marks: self.keep_marks,
            allow_unsafe_eviction: self.allow_unsafe_eviction,
            trust_restarts: self.trust_restarts,
            wait_for_replicas,
            replica_timeout,
            route_lost: Notify::new(),
            counts: StoreCounts::default(),
        });
        let router = match Router::start(address, settings.clone()).await {
            Ok(router) => Arc::new(router),
            Err(StoreError::Unsuitable(why) | StoreError::Unavailable(why) | StoreError::Failed(why)) => {
                return Err(ConfigError::new(why));
            }
        };
        let walks = settings.layout.partitions().map(|_| None).collect();
        Ok(RedisStore {
            router,
            settings,
            token: format!("{:016x}", random()),
            walks: Mutex::new(walks),
            turn: AtomicU16::new(0),
            busy: AtomicBool::new(false),
            address: shown,
            refused_values: AtomicU64::new(0),
        })
    }
}

impl RedisStore {
    /// Settings for the Redis at an address: `redis://127.0.0.1:6379`, `rediss://…` for TLS, several separated by commas
    /// for a cluster, `redis+sentinel://host,host/master-name`.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder {
            url: url.into(),
            namespace: "cache".to_owned(),
            partitions: None,
            command_timeout: Duration::from_millis(50),
            keep_marks: Duration::from_secs(60),
            allow_unsafe_eviction: false,
            trust_restarts: false,
            replicas: (0, Duration::from_millis(100)),
            tls: TlsFiles::default(),
            keys: Vec::new(),
        }
    }

    async fn invoke<T: FromRedisValue>(
        &self,
        partition: u16,
        invocation: ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let (mut connection, call) = self.router.call(partition)?;
        call.ended(invocation.invoke_async(&mut connection)).await
    }

    async fn query<T: FromRedisValue>(&self, partition: u16, command: &redis::Cmd) -> Result<T, StoreError> {
        let (mut connection, call) = self.router.call(partition)?;
        call.ended(command.query_async(&mut connection)).await
    }

    /// Runs an operation on every partition at once.
    async fn on_all<T, F, Fut>(&self, run: F) -> Result<Vec<T>, StoreError>
    where
        F: FnMut(u16) -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        try_join_all(self.settings.layout.partitions().map(run)).await
    }
}

impl Store for RedisStore {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Box::pin(self.do_read(key.name()))
    }

    fn read_many<'a>(&'a self, keys: &'a [&'a Key]) -> BoxFuture<'a, Vec<Result<Lookup, StoreError>>> {
        Box::pin(self.do_read_many(keys))
    }

    fn lease<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lease, StoreError>> {
        Box::pin(self.do_lease(key))
    }

    fn fill<'a>(
        &'a self,
        _: &'a Key,
        entry: &'a Arc<Entry>,
        filling: &'a Filling,
    ) -> BoxFuture<'a, Result<Filled, StoreError>> {
        Box::pin(self.do_fill(entry, filling))
    }

    fn usage<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Usage, StoreError>> {
        Box::pin(self.do_usage(tenant))
    }

    fn refused_values(&self) -> u64 {
        self.refused_values.load(Ordering::Relaxed)
    }

    fn condition(&self) -> BoxFuture<'_, Result<Condition, StoreError>> {
        Box::pin(self.do_condition())
    }

    fn tags(&self, most: usize) -> BoxFuture<'_, Result<Vec<TagSize>, StoreError>> {
        Box::pin(self.do_tags(most))
    }

    fn fleet(&self) -> BoxFuture<'_, Result<Vec<FleetNode>, StoreError>> {
        Box::pin(self.do_fleet())
    }

    fn examine<'a>(
        &'a self,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<Examination, StoreError>> {
        Box::pin(self.do_examine(progress))
    }

    fn measure(&self, samples: &mut Vec<Sample>) {
        self.do_measure(samples);
    }

    fn clear<'a>(&'a self, targets: &'a [Target], clearing: Clearing) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.do_clear(targets, clearing))
    }

    fn intend<'a>(
        &'a self,
        number: u64,
        targets: &'a [Target],
        settle: Duration,
        due: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.do_intend(number, targets, settle, due))
    }

    fn withdraw(&self, number: u64, carried_out: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.do_withdraw(number, carried_out))
    }

    fn overdue(&self) -> BoxFuture<'_, Result<Vec<Overdue>, StoreError>> {
        Box::pin(self.do_overdue())
    }

    fn count<'a>(&'a self, key: &'a Key, by: i64, window: Duration) -> BoxFuture<'a, Result<Counted, StoreError>> {
        Box::pin(self.do_count(key, by, window))
    }

    fn expire<'a>(&'a self, targets: &'a [Target], by: NodeId) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.do_expire(targets, by))
    }

    fn entries<'a>(&'a self, target: &'a Target, limit: usize) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        Box::pin(self.do_entries(target, limit))
    }

    fn sweep(&self) -> BoxFuture<'_, Result<Swept, StoreError>> {
        Box::pin(self.do_sweep())
    }

    fn size(&self) -> BoxFuture<'_, Result<StoreSize, StoreError>> {
        Box::pin(self.do_size())
    }

    fn now_ms(&self, key: &Key) -> u64 {
        self.router.now_ms(self.partition_of(key))
    }

    fn partitions(&self) -> u16 {
        self.settings.layout.partition_count()
    }

    fn partition_of(&self, key: &Key) -> u16 {
        self.settings.layout.partition_of(key.name())
    }

    fn join(&self, listener: Arc<dyn Listener>, lease: Duration) -> Option<Arc<dyn Member>> {
        let id = NodeId(random().max(1));
        Some(Arc::new(RedisMember::join(id, self.router.clone(), self.settings.clone(), listener, lease)))
    }

    fn queues(&self) -> Option<&dyn Queues> {
        Some(self)
    }

    fn channels(&self) -> Option<&dyn Channels> {
        Some(self)
    }

    fn describe(&self) -> String {
        format!("Redis at {}", self.address)
    }
}
