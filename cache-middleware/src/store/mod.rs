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

mod channel;
#[cfg(feature = "test-util")]
pub mod contract;
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

pub use self::channel::{Channels, Hearer, Hearing, Payload, Position, Pushed, Since};
pub use self::memory::{MemoryStore, MemoryStoreBuilder};
pub use self::queue::{
    Change, Enqueued, Flusher, NextBatch, Pending, QueueBounds, QueueSize, Queued, Queues, SetAside, Settled,
    Unreadable,
};
#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreBuilder};
pub use self::signal::{Clearing, FlightRight, Listener, Member, NodeId, Signal, TakeOff, Told, Waiting, Woken};
pub use self::target::Target;
pub(crate) use self::target::{decode_targets, encode_targets};
use crate::entry::{Entry, Stamp};
use crate::error::StoreError;
use crate::key::Key;
use crate::tenant::Tenant;

/// The longest lease on an L1: what a strict clear may have to wait for a node that has died.
pub const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// What a namespace may be, in words.
pub(crate) const NAMESPACE_RULE: &str = "it takes 1 to 64 of A-Z a-z 0-9 . _ -";

/// Whether a text may be a namespace, which keeps applications on one Redis apart.
pub(crate) fn is_namespace(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// The answer to a read.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The entry, if one may be served or at least revalidated.
    pub found: Option<Found>,
    /// The clock at the moment of the read; `None` if the store has not begun to count, and [`Store::lease`] must ask it to.
    pub stamp: Option<Stamp>,
}

/// An entry that was found, with its place in time.
#[derive(Debug, Clone)]
pub struct Found {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Whether it may be served without a question.
    pub freshness: Freshness,
    /// Its age: what it had when it was stored, and the time since.
    pub age: Duration,
    /// Tells it from what was stored under its key before or is stored after it ([`Filling::replaces`]).
    pub version: u64,
}

impl Found {
    /// One that has been held for a time, and was expired by hand so long ago.
    fn new(entry: Arc<Entry>, version: u64, held_for: Duration, expired_for: Option<Duration>) -> Self {
        let over = held_for.checked_sub(entry.life.fresh_for);
        let freshness = match over.max(expired_for) {
            None => Freshness::Fresh(entry.life.fresh_for.saturating_sub(held_for)),
            Some(stale_for) => Freshness::Stale(stale_for),
        };
        let age = entry.life.initial_age.saturating_add(held_for);
        Self { entry, freshness, age, version }
    }

    /// How long the store still holds it.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        (self.entry.life.initial_age.saturating_add(self.entry.life.total())).saturating_sub(self.age)
    }
}

/// The freshness of an entry. An entry whose time is over is not found at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// May be served for so much longer.
    Fresh(Duration),
    /// Not fresh any more, or marked by [`Store::expire`], for so long.
    Stale(Duration),
}

/// The right to fill an entry, with the clock it was granted at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The clock read before the handler runs.
    pub stamp: Stamp,
}

/// How an entry is filled.
#[derive(Debug, Clone, Default)]
pub struct Filling {
    /// Makes every clear that covers the entry a strict one.
    pub strict: bool,
    /// The most live entries that may have a mark, this one included.
    pub bounds: Vec<Bound>,
    /// The most bytes that the entry's tenant may have in its partition of the store, this entry included.
    pub quota: Option<u64>,
    /// The version of the entry that it replaces: it is not stored if another is there, or none.
    pub replaces: Option<u64>,
}

/// The most live entries that may have a mark, in one partition of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// An indexed mark of the entry.
    pub mark: Arc<str>,
    /// How many may have it.
    pub most: u64,
}

/// What became of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filled {
    /// The entry is visible, and no clear up to this stamp covers it.
    Stored(Stamp),
    /// A clear, or an `expire`, that covers the entry came after the lease.
    Cleared,
    /// The store cannot tell any more what was cleared since the lease: it lost its memory, or the lease is older than
    /// the marks it keeps.
    LeaseLost,
    /// The entry is larger than the whole store may be.
    TooLarge,
    /// So many entries as may have one of its marks have it: the first of the bounds that is reached.
    Full(usize),
    /// The tenant would have more bytes than it may.
    OverQuota,
    /// The entry that it was to replace is not there any more.
    Superseded,
    /// One of its marks was cleared so short a time ago that what the handler read may be older ([`Clearing::settle`]).
    Settling,
}

/// The acknowledgement of a clear or an expire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Receipt {
    /// The clock after the clear, one per partition of the store.
    pub stamps: Vec<Stamp>,
    /// The clock before it: a lease of the same incarnation that has it has missed no other clear of the partition.
    pub before: Vec<u64>,
    /// How many entries were behind the targets, as far as sets tell it at once: entries with several of the targets
    /// count several times; those reached only by a pattern or by [`Target::All`] are not counted.
    pub covered: u64,
    /// How many nodes were told by a signal.
    pub told: u64,
    /// The nodes that may still serve what was cleared, for [`Member::settle`]; empty unless the clear is strict.
    pub due: Vec<Due>,
}

/// A node that held a lease on its L1 when a strict clear happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Due {
    /// The partition the lease is about.
    pub partition: u16,
    /// The node.
    pub node: NodeId,
    /// What it must have heard of.
    pub at: Stamp,
    /// How long it may go on serving if it has not heard of the clear.
    pub lease: Duration,
    /// What the store keeps for it, to tell a lease from a later one.
    pub registered: String,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The full name of the key.
    pub key: Arc<str>,
    /// Time until it expires.
    pub expires_in: Duration,
}

/// What a writer was about to clear that is not heard of any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The number it was recorded under.
    pub number: u64,
    /// What it would have cleared.
    pub targets: Vec<Target>,
    /// For how long that would have settled.
    pub settle: Duration,
}

/// The state of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Its value.
    pub value: i64,
    /// How long until it ends and begins anew; zero if there is none.
    pub expires_in: Duration,
}

/// What one step of the sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Swept {
    /// Entries and index members looked at.
    pub visited: u64,
    /// Whether another step would find work.
    pub more: bool,
}

/// What a tenant has in a store, what waits to be swept included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Usage {
    /// How many entries.
    pub entries: u64,
    /// Their bytes as the store keeps them, names included.
    pub bytes: u64,
}

/// How large a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreSize {
    /// Entries held, those awaiting the sweep included.
    pub entries: u64,
    /// Members of all index sets, those awaiting the sweep included.
    pub index_members: u64,
    /// Clears whose entries have not all been removed.
    pub open_sweeps: u64,
}

/// The port behind which entries and their index live. See the [module](self) for what it promises.
///
/// Every method may be called from any thread, and a caller that drops its future leaves the store whole.
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

    /// What kind of store it is, for the log: never an address with a secret in it.
    fn describe(&self) -> String;
}
