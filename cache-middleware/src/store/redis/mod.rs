//! The store in Redis. `docs/redis.md` explains the model; the scripts in `scripts/` are the model.

mod fence;
mod layout;
mod link;
mod operations;
mod scripts;
mod suitability;
mod walk;

use std::sync::atomic::{AtomicBool, AtomicU16};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use redis::{FromRedisValue, ScriptInvocation};

use self::layout::Layout;
use self::link::{Link, LinkSettings};
use self::scripts::Scripts;
use self::walk::Walk;
use super::{Filled, Lease, Listed, Lookup, Receipt, Store, StoreSize, Swept, Target};
use crate::entry::Entry;
use crate::error::{ConfigError, StoreError};
use crate::key::Key;

/// The store in one Redis server, shared by every node that uses the same namespace.
#[derive(Debug)]
pub struct RedisStore {
    link: Link,
    layout: Layout,
    scripts: Scripts,
    keep_marks: Duration,
    /// Names this node when it claims the sweep of a partition.
    token: String,
    walks: Mutex<Vec<Option<Walk>>>,
    /// The partition whose turn the next sweep is.
    turn: AtomicU16,
    /// Whether a partition had more to sweep in this pass over them.
    busy: AtomicBool,
    address: String,
}

/// Settings of a [`RedisStore`].
#[derive(Debug, Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    namespace: String,
    partitions: u16,
    command_timeout: Duration,
    keep_marks: Duration,
    allow_unsafe_eviction: bool,
}

impl RedisStoreBuilder {
    /// Keeps the entries of several applications on one Redis apart. Default `cache`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Into how many hash slots the keys are spread; cannot change under a namespace. Default 1, right for one server.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions;
        self
    }

    /// How long a command may take before the request goes on without the cache. Default 500 ms.
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

    /// Connects. Redis may be away: then the store answers [`StoreError::Unavailable`] until it is there.
    ///
    /// Must be called within the Tokio runtime that lives as long as the service.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is wrong, or if the server is there and must not be used: its eviction policy, its
    /// version, or the number of partitions that the namespace was begun with.
    pub async fn connect(self) -> Result<RedisStore, ConfigError> {
        let layout =
            Layout::new(&self.namespace, self.partitions).map_err(|error| ConfigError::new(error.to_string()))?;
        let info = Link::address(&self.url).map_err(|why| {
            ConfigError::new(format!(
                "the Redis address is not one ({why}); accepted: redis://[user:password@]host[:port][/database]"
            ))
        })?;
        let address = info.addr().to_string();
        let settings = LinkSettings {
            info,
            command_timeout: self.command_timeout,
            allow_unsafe_eviction: self.allow_unsafe_eviction,
            layout: layout.clone(),
            identity: scripts::identity(),
        };
        let link = Link::start(settings).map_err(|error| ConfigError::new(error.to_string()))?;
        if let Err(StoreError::Unsuitable(why)) = link.first_attempt().await {
            return Err(ConfigError::new(format!("Redis at {address} is refused: {why}")));
        }
        let walks = layout.partitions().map(|_| None).collect();
        Ok(RedisStore {
            link,
            layout,
            scripts: Scripts::new(),
            keep_marks: self.keep_marks,
            token: format!("{:016x}", random()),
            walks: Mutex::new(walks),
            turn: AtomicU16::new(0),
            busy: AtomicBool::new(false),
            address,
        })
    }
}

impl RedisStore {
    /// Settings for the Redis at an address such as `redis://127.0.0.1:6379`.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder {
            url: url.into(),
            namespace: "cache".to_owned(),
            partitions: 1,
            command_timeout: Duration::from_millis(500),
            keep_marks: Duration::from_secs(60),
            allow_unsafe_eviction: false,
        }
    }

    async fn invoke<T: FromRedisValue>(&self, invocation: ScriptInvocation<'_>) -> Result<T, StoreError> {
        let mut connection = self.link.connection()?;
        invocation.invoke_async(&mut connection).await.map_err(|error| self.link.report(&error))
    }

    async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        let mut connection = self.link.connection()?;
        command.query_async(&mut connection).await.map_err(|error| self.link.report(&error))
    }

    /// Runs an operation on every partition at once.
    async fn on_all<T, F, Fut>(&self, run: F) -> Result<Vec<T>, StoreError>
    where
        F: FnMut(u16) -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        try_join_all(self.layout.partitions().map(run)).await
    }
}

impl Store for RedisStore {
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Box::pin(self.do_read(key.name()))
    }

    fn lease<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lease, StoreError>> {
        Box::pin(self.do_lease(key))
    }

    fn fill<'a>(&'a self, _: &'a Key, entry: &'a Arc<Entry>) -> BoxFuture<'a, Result<Filled, StoreError>> {
        Box::pin(self.do_fill(entry))
    }

    fn clear<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.do_clear(targets))
    }

    fn expire<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.do_expire(targets))
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

    fn now_ms(&self) -> u64 {
        self.link.now_ms()
    }

    fn describe(&self) -> String {
        format!("Redis at {}", self.address)
    }
}

/// 64 random bits, from the seed that the standard library draws for every hasher.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
