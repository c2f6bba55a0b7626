//! The store: entries, the tag index, and the clock that says what is newer than what.
//!
//! # The contract
//!
//! A store has a **clock** that moves with every clear, and a **mark** for whatever was cleared: the clock at that
//! moment. A **lease** is the clock read *before* the handler runs. A **fill** is refused when a mark of the entry
//! (its key, route, tenant or one of its tags) is newer than the lease, compared in the same atomic step that makes
//! the entry visible. So an entry is never older than a clear that was acknowledged before its handler started
//! (promises P1, P2), whatever the order in which messages arrive and however long the handler took.
//!
//! A clear is acknowledged once its marks are set: O(1), whatever the number of entries behind a tag (P3). Until the
//! entries are removed by [`Store::sweep`], reads compare the marks themselves.
//!
//! [`contract`] holds every store to this (feature `test-util`).

mod answer;
mod channel;
mod condition;
#[cfg(feature = "test-util")]
pub mod contract;
mod examination;
mod memory;
mod queue;
#[cfg(feature = "redis")]
mod redis;
mod signal;
mod target;

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

pub use self::answer::{
    Bound, Counted, Due, Filled, Filling, Found, Freshness, Lease, Listed, Lookup, Overdue, Receipt, StoreSize, Swept,
    Usage,
};
pub use self::channel::{Channels, Hearer, Hearing, MessageText, Position, Pushed, Since};
pub(crate) use self::condition::tag_sizes;
pub use self::condition::{ClusterCondition, Condition, FleetNode, TagSize};
pub use self::examination::{Examination, Problem, ProblemKind};
pub use self::memory::{MemoryStore, MemoryStoreBuilder};
pub use self::queue::{
    Change, Enqueued, Flusher, NextBatch, Pending, QueueBounds, QueueSize, Queued, Queues, SetAside, Settled,
    Unreadable,
};
#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreBuilder};
pub use self::signal::{
    Clearing, FlightRight, Landing, Listener, Member, NodeId, Signal, TakeOff, Told, Waiting, Woken,
};
pub use self::target::Target;
pub(crate) use self::target::{decode_targets, encode_targets};
use crate::entry::Entry;
use crate::error::StoreError;
use crate::key::Key;
use crate::telemetry::Sample;
use crate::tenant::Tenant;

/// The longest lease on an L1: what a strict clear may have to wait for a node that has died.
pub const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// The addresses of Redis that are accepted, in words.
pub(crate) const REDIS_ADDRESSES: &str = "redis://[user:password@]host[:port][/database], rediss:// for TLS, several separated by commas for a \
     cluster, or redis+sentinel://[user:password@]host[:port],host[:port]/master-name[/database]";

/// What a namespace may be, in words.
pub(crate) const NAMESPACE_RULE: &str = "it takes 1 to 64 of A-Z a-z 0-9 . _ -";

/// Whether a text may be a namespace, which keeps applications on one Redis apart.
pub(crate) fn is_namespace(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// The port behind which entries and their index live. See the [module](self) for what it promises.
///
/// Every method may be called from any thread, and a caller that drops its future leaves the store whole.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use cache_middleware::entry::{Entry, Lifetime, Payload};
/// use cache_middleware::key::{Key, KeySpace};
/// use cache_middleware::store::{Clearing, Filled, Filling, Freshness, MemoryStore, Store, Target};
/// use cache_middleware::tag::{Mark, Tag};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::default();
/// let (key, tag) = (Key::new(None, KeySpace::Value, None, "menu"), Tag::new("menus")?);
/// // Before the source is read: whatever is cleared from here on makes the fill void.
/// let lease = store.lease(&key).await?;
/// let entry = Arc::new(Entry {
///     stamp: lease.stamp,
///     key: key.name().clone(),
///     marks: [Mark::tag(None, &tag)].iter().collect(),
///     stored_at_ms: store.now_ms(&key),
///     life: Lifetime::fresh(Duration::from_secs(60)),
///     payload: Payload::Value("\"soup\"".into()),
/// });
/// assert!(matches!(store.fill(&key, &entry, &Filling::default()).await?, Filled::Stored(_)));
/// let found = store.read(&key).await?.found.ok_or("it is there")?;
/// assert!(matches!(found.freshness, Freshness::Fresh(left) if left > Duration::from_secs(50)));
///
/// let receipt = store.clear(&[Target::Tag(None, tag)], Clearing::default()).await?;
/// assert_eq!(receipt.covered, 1);
/// assert!(store.read(&key).await?.found.is_none());
/// assert_eq!(store.fill(&key, &entry, &Filling::default()).await?, Filled::Cleared);
/// # Ok(())
/// # }
/// ```
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Looks up a key and reads the clock, in one step.
    fn read<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lookup, StoreError>>;

    /// Looks up several keys: each in one step, and what can be asked together together. The answers are in the order of the keys.
    fn read_many<'a>(&'a self, keys: &'a [&'a Key]) -> BoxFuture<'a, Vec<Result<Lookup, StoreError>>> {
        Box::pin(join_all(keys.iter().map(|key| self.read(key))))
    }

    /// Reads the clock of a key, and makes the store begin to count if it has not.
    fn lease<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Lease, StoreError>>;

    /// Publishes an entry for the total of its lifetime, unless it was cleared after the lease. The entry's `stamp` and
    /// `stored_at_ms` must be the lease's stamp and [`Store::now_ms`].
    fn fill<'a>(
        &'a self,
        key: &'a Key,
        entry: &'a Arc<Entry>,
        filling: &'a Filling,
    ) -> BoxFuture<'a, Result<Filled, StoreError>>;

    /// Makes everything behind the targets unservable, in one step of the clock if there are no more than 100, and tells
    /// the other nodes.
    fn clear<'a>(&'a self, targets: &'a [Target], clearing: Clearing) -> BoxFuture<'a, Result<Receipt, StoreError>>;

    /// Records what a write is about to clear, and for how long that settles, under a number of the caller's: if neither this is
    /// called again under the number nor [`Store::withdraw`] for as long as `due`, the store has somebody carry it out
    /// ([`Store::overdue`]). A store that ends with its process has nothing to record.
    fn intend<'a>(
        &'a self,
        _number: u64,
        _targets: &'a [Target],
        _settle: Duration,
        _due: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }

    /// Forgets what a write was about to clear. If somebody else has `carried_out` that, it is given out again, later and later,
    /// because the writer may only have been slow; and not forgotten at all if it has been heard of meanwhile.
    fn withdraw(&self, _number: u64, _carried_out: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }

    /// What writers were about to clear that nobody has heard of for too long: a few of them, and for a while nobody else is
    /// given the same.
    fn overdue(&self) -> BoxFuture<'_, Result<Vec<Overdue>, StoreError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    /// Adds to the counter of a key, which begins at 0 and ends a window after its first addition; 0 only reads it. Counters
    /// are apart from entries: no clear reaches them.
    fn count<'a>(&'a self, key: &'a Key, by: i64, window: Duration) -> BoxFuture<'a, Result<Counted, StoreError>>;

    /// Makes everything behind the targets stale, and tells the other nodes. Takes tags, keys, routes and tenants.
    ///
    /// # Errors
    /// [`StoreError::Failed`] for patterns and [`Target::All`], which cannot be expired.
    fn expire<'a>(&'a self, targets: &'a [Target], by: NodeId) -> BoxFuture<'a, Result<Receipt, StoreError>>;

    /// The live entries behind a target that has a mark: at most `limit`, those that expire first.
    ///
    /// # Errors
    /// [`StoreError::Failed`] for patterns and [`Target::All`].
    fn entries<'a>(&'a self, target: &'a Target, limit: usize) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>>;

    /// What a tenant has.
    fn usage<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Usage, StoreError>>;

    /// Does one bounded step of freeing the memory of cleared and expired entries.
    fn sweep(&self) -> BoxFuture<'_, Result<Swept, StoreError>>;

    /// Counts what the store holds. Takes time in the size of the store: for tests and operators.
    fn size(&self) -> BoxFuture<'_, Result<StoreSize, StoreError>>;

    /// Store time in milliseconds where a key is kept: the same on every node up to a round trip, whatever the hosts'
    /// clocks say.
    fn now_ms(&self, key: &Key) -> u64;

    /// How many partitions it has, each with a clock of its own.
    fn partitions(&self) -> u16 {
        1
    }

    /// The partition that a key is in.
    fn partition_of(&self, _key: &Key) -> u16 {
        0
    }

    /// Makes this process a node of the fleet that shares the store: `listener` is told of clears, and the store knows
    /// that this node may serve from its memory for `lease` after each proof ([`Duration::ZERO`]: it never does).
    /// `None` if no other process shares the store.
    fn join(&self, _listener: Arc<dyn Listener>, _lease: Duration) -> Option<Arc<dyn Member>> {
        None
    }

    /// How many values were read that are no entries: foreign, cut short, tampered with, of another version, or sealed for
    /// another place or by an unknown key. Each was a miss.
    fn refused_values(&self) -> u64 {
        0
    }

    /// Its queues of changes that are written later; `None` if it keeps none.
    fn queues(&self) -> Option<&dyn Queues> {
        None
    }

    /// Its channels of messages; `None` if it has none.
    fn channels(&self) -> Option<&dyn Channels> {
        None
    }

    /// How it is just now. One that is not asked over a network is always well.
    fn condition(&self) -> BoxFuture<'_, Result<Condition, StoreError>> {
        Box::pin(async {
            let size = self.size().await?;
            Ok(Condition {
                keys: size.entries,
                index_members: size.index_members,
                open_sweeps: size.open_sweeps,
                ..Condition::default()
            })
        })
    }

    /// Tags and how many entries they have, those with the most first; of more than `most` in a partition some by chance.
    fn tags(&self, _most: usize) -> BoxFuture<'_, Result<Vec<TagSize>, StoreError>> {
        Box::pin(ready(Err(StoreError::Failed(format!("{} does not list its tags", self.describe())))))
    }

    /// The nodes that share the store and may serve from their memory.
    fn fleet(&self) -> BoxFuture<'_, Result<Vec<FleetNode>, StoreError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    /// Looks at everything it holds, and finds what does not fit together. Takes time in the size of the store, in steps that hold up
    /// nobody; `progress` is told how many keys have been looked at.
    fn examine<'a>(
        &'a self,
        _progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<Examination, StoreError>> {
        Box::pin(ready(Err(StoreError::Failed(format!("{} cannot be examined", self.describe())))))
    }

    /// Adds what it counts of itself: commands by how they ended, how long they took, connections.
    fn measure(&self, _samples: &mut Vec<Sample>) {}

    /// What kind of store it is, for the log: never an address with a secret in it.
    fn describe(&self) -> String;
}
