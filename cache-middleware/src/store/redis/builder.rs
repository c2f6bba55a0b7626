//! The settings of the Redis store, and the start with them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::RedisStore;
use super::address::{Address, TlsFiles};
use super::layout::Layout;
use super::router::Router;
use super::scripts::Scripts;
use super::settings::Settings;
use crate::chance::random;
use crate::error::{ConfigError, StoreError};
use crate::policy::too_long;
use crate::seal::{EncryptionKey, Keyring};
use crate::store::REDIS_ADDRESSES;
use crate::telemetry::StoreCounts;

/// How many partitions a cluster has unless said otherwise.
const CLUSTER_PARTITIONS: u16 = 16;

/// Settings of a [`RedisStore`].
///
/// At work: [`RedisStore`].
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
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
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
