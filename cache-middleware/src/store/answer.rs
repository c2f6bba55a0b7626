//! What is asked of a store beside a key, and what it answers.

use std::sync::Arc;
use std::time::Duration;

#[cfg(doc)]
use super::{Clearing, Member, Store};
use super::{Landing, NodeId, Target};

use crate::entry::{Entry, Stamp};

/// The answer to a read.
///
/// At work: [`Store`].
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The entry, if one may be served or at least revalidated.
    pub found: Option<Found>,
    /// The clock at the moment of the read; `None` if the store has not begun to count, and [`Store::lease`] must ask it to.
    pub stamp: Option<Stamp>,
}

/// An entry that was found, with its place in time.
///
/// At work: [`Store`].
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
    pub(super) fn new(entry: Arc<Entry>, version: u64, held_for: Duration, expired_for: Option<Duration>) -> Self {
        let over = held_for.checked_sub(entry.life.fresh_for.duration());
        let freshness = match over.max(expired_for) {
            None => Freshness::Fresh(entry.life.fresh_for.duration().saturating_sub(held_for)),
            Some(stale_for) => Freshness::Stale(stale_for),
        };
        let age = entry.life.initial_age.duration().saturating_add(held_for);
        Self { entry, freshness, age, version }
    }

    /// How long the store still holds it.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        (self.entry.life.initial_age.duration().saturating_add(self.entry.life.total())).saturating_sub(self.age)
    }
}

/// The freshness of an entry. An entry whose time is over is not found at all.
///
/// At work: [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// May be served for so much longer.
    Fresh(Duration),
    /// Not fresh any more, or marked by [`Store::expire`], for so long.
    Stale(Duration),
}

/// The right to fill an entry, with the clock it was granted at.
///
/// At work: [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The clock read before the handler runs.
    pub stamp: Stamp,
}

/// How an entry is filled.
///
/// At work: [`Store`].
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
    /// The flight that lands when the entry is stored.
    pub landing: Option<Landing>,
}

/// The most live entries that may have a mark, in one partition of the store.
///
/// At work: [`Store`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// An indexed mark of the entry.
    pub mark: Arc<str>,
    /// How many may have it.
    pub most: u64,
}

/// What became of a fill.
///
/// At work: [`Store`].
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
///
/// At work: [`Store`].
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
///
/// At work: [`Store`].
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
///
/// At work: [`Store`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The full name of the key.
    pub key: Arc<str>,
    /// Time until it expires.
    pub expires_in: Duration,
}

/// What a writer was about to clear that is not heard of any more.
///
/// At work: [`Store`].
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
///
/// At work: [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Its value.
    pub value: i64,
    /// How long until it ends and begins anew; zero if there is none.
    pub expires_in: Duration,
}

/// What one step of the sweep did.
///
/// At work: [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Swept {
    /// Entries and index members looked at.
    pub visited: u64,
    /// Whether another step would find work.
    pub more: bool,
}

/// What a tenant has in a store, what waits to be swept included.
///
/// At work: [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Usage {
    /// How many entries.
    pub entries: u64,
    /// Their bytes as the store keeps them, names included.
    pub bytes: u64,
}

/// How large a store is.
///
/// At work: [`Store`].
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
