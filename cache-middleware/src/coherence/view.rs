//! What a node knows of one partition: which clears it has heard of, and until when it may rely on having heard of all.
//!
//! `docs/coherence.md` explains the protocol, and `tests/alone/model` explores it.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::entry::{MarkList, Stamp};
use crate::store::{Signal, Told};
use crate::time::Moment;

/// Signals that are kept for a session that has not been proven yet; beyond, it begins with everything unknown.
const MOST_EARLY: usize = 256;

/// One partition as this node sees it.
///
/// A clear is noted in a fixed table: the slot of its mark holds the clock of the newest clear of any mark that shares the
/// slot. What was read at an older clock is not served. Two marks in one slot cost a look at the store, never a stale
/// answer; there is nothing to scan, and nothing that grows.
#[derive(Debug)]
pub(super) struct View {
    /// Until when this node may rely on what it has heard.
    trusted_until: AtomicU64,
    /// Changes whenever all that is held becomes void.
    life: AtomicU64,
    clears: Box<[AtomicU64]>,
    hasher: RandomState,
    chain: Mutex<Chain>,
}

/// The clears heard of, one after the other.
#[derive(Debug, Default)]
struct Chain {
    /// The newest session that was opened, and the newest that was closed.
    session: u64,
    closed: u64,
    incarnation: u64,
    /// The clock of the last signal.
    seen: u64,
    /// What was read at an older clock may have been cleared by something that was not heard.
    floor: u64,
    /// The last clear of this node in another life of the store than the one it knows, and when it was acknowledged.
    own_elsewhere: Option<(Stamp, Moment)>,
    early_session: u64,
    early: Vec<Signal>,
    /// Whether something of the early session could not be kept, or understood.
    early_doubt: bool,
}

impl Chain {
    /// The signals of a session that has not been proven yet.
    fn early(&mut self, session: u64) -> &mut Vec<Signal> {
        if self.early_session != session {
            self.early_session = session;
            self.early.clear();
            self.early_doubt = false;
        }
        &mut self.early
    }
}

/// Where a held entry stands in time: good until the view says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    life: u64,
    /// The clock at which no clear covered it.
    as_of: u64,
    slots: Box<[u32]>,
}

/// What became of a signal or a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// As it should be.
    InOrder,
    /// Something is missing, or everything has changed: what is held is void.
    Voided,
    /// Of a session that is over.
    Ignored,
}

impl View {
    /// A view with so many slots.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            trusted_until: AtomicU64::new(0),
            life: AtomicU64::new(1),
            clears: (0..slots.clamp(64, 1 << 24)).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            chain: Mutex::new(Chain::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a held entry may be served: the view is proven, and no clear that was heard of covers it. Takes no lock.
    pub(super) fn allows(&self, hold: &Hold, now: Moment) -> bool {
        // In this order: what is trusted now was heard before, and is read after. The life comes last, because a table
        // that is emptied for another life says nothing: whoever has read an emptied slot then sees the new life.
        self.is_trusted(now)
            && hold.slots.iter().all(|slot| self.clears[*slot as usize].load(Ordering::SeqCst) <= hold.as_of)
            && self.life.load(Ordering::SeqCst) == hold.life
    }

    pub(super) fn is_trusted(&self, now: Moment) -> bool {
        now.0 < self.trusted_until.load(Ordering::SeqCst)
    }

    /// What to hold with an entry that no clear up to `at` covers; `None` if what was heard does not reach back so far,
    /// or covers it.
    pub(super) fn admit(&self, at: Stamp, marks: &MarkList) -> Option<Hold> {
        let slots: Box<[u32]> = marks.iter().map(|mark| self.slot(mark.id)).collect();
        let chain = self.lock();
        if chain.session == 0 || at.clock < chain.floor {
            return None;
        }
        if chain.incarnation != at.incarnation {
            // The store has another life than the one that signals are heard of, or had one a moment ago.
            self.void();
            return None;
        }
        let hold = Hold { life: self.life.load(Ordering::SeqCst), as_of: at.clock, slots };
        let covered = hold.slots.iter().any(|slot| self.clears[*slot as usize].load(Ordering::SeqCst) > at.clock);
        (!covered).then_some(hold)
    }

    /// Whether clears up to `clock` have been heard of, in this incarnation.
    pub(super) fn has_seen(&self, at: Stamp) -> bool {
        let chain = self.lock();
        chain.session > 0 && chain.incarnation == at.incarnation && chain.seen >= at.clock
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.lock().incarnation
    }

    fn slot(&self, mark: &str) -> u32 {
        u32::try_from(self.hasher.hash_one(mark) % self.clears.len() as u64).unwrap_or(0)
    }

    fn note(&self, chain: &mut Chain, told: &[Told], clock: u64) {
        for told in told {
            match told {
                Told::Mark(mark) => {
                    self.clears[self.slot(mark) as usize].fetch_max(clock, Ordering::SeqCst);
                }
                Told::Many => {
                    self.life.fetch_add(1, Ordering::SeqCst);
                    // What is on its way from the store may be older.
                    chain.floor = chain.floor.max(clock);
                }
            }
        }
    }

    /// A clear that this node made itself, and the store has acknowledged.
    pub(super) fn own(&self, at: Stamp, told: &[Told], now: Moment) {
        let mut chain = self.lock();
        if chain.incarnation == at.incarnation {
            self.note(&mut chain, told, at.clock);
        } else {
            // This node knows another life of the store than the one it has just cleared in. When it comes to know that
            // one, what was read there before the clear is not held.
            self.void();
            let newest = chain.own_elsewhere.map(|(known, _)| known).filter(|known| known.covers(at)).unwrap_or(at);
            chain.own_elsewhere = Some((newest, now));
        }
    }

    pub(super) fn signal(&self, session: u64, signal: &Signal) -> Heard {
        let mut chain = self.lock();
        if session <= chain.closed || session < chain.session {
            return Heard::Ignored;
        }
        if session > chain.session {
            // Kept until the first proof of the session tells from where on it counts.
            let early = chain.early(session);
            if early.len() < MOST_EARLY {
                early.push(signal.clone());
            } else {
                chain.early_doubt = true;
            }
            return Heard::InOrder;
        }
        self.link(&mut chain, signal)
    }

    /// Adds a signal to the chain.
    fn link(&self, chain: &mut Chain, signal: &Signal) -> Heard {
        if signal.at.incarnation != chain.incarnation {
            self.begin(chain, signal.at);
            return Heard::Voided;
        }
        self.note(chain, &signal.told, signal.at.clock);
        if signal.before > chain.seen {
            // One in between never came. What it cleared is not known.
            self.void();
            chain.floor = signal.at.clock;
            chain.seen = signal.at.clock;
            return Heard::Voided;
        }
        chain.seen = chain.seen.max(signal.at.clock);
        Heard::InOrder
    }

    /// The clock was `at` at `since` or later, and all signals before that have come or never will.
    pub(super) fn proven(&self, session: u64, at: Stamp, since: Moment, bound: Duration) -> Heard {
        let mut chain = self.lock();
        if session <= chain.closed || session < chain.session {
            return Heard::Ignored;
        }
        // Asked before this node cleared in another life of the store: an answer of the life before, that was late.
        if chain.own_elsewhere.is_some_and(|(own, when)| own.incarnation != at.incarnation && since <= when) {
            return Heard::Ignored;
        }
        let mut heard = Heard::InOrder;
        if session > chain.session {
            chain.session = session;
            self.begin(&mut chain, at);
            heard = Heard::Voided;
            let early = std::mem::take(chain.early(session));
            for signal in
                early.iter().filter(|signal| signal.at.incarnation != at.incarnation || signal.at.clock > at.clock)
            {
                self.link(&mut chain, signal);
            }
            if chain.early_doubt {
                return Heard::Voided;
            }
        } else if at.incarnation != chain.incarnation {
            self.begin(&mut chain, at);
            heard = Heard::Voided;
        } else if at.clock > chain.seen || chain.floor == u64::MAX {
            // A signal never came, or was not understood.
            self.void();
            chain.floor = at.clock;
            chain.seen = at.clock;
            heard = Heard::Voided;
        }
        // Last: whoever sees the trust sees what it relies on.
        self.trusted_until.fetch_max(since.after(bound).0, Ordering::SeqCst);
        heard
    }

    /// Begins anew at a stamp, knowing nothing of what was before.
    fn begin(&self, chain: &mut Chain, at: Stamp) {
        self.void();
        if chain.incarnation != at.incarnation {
            // Clocks of another life say nothing, and may be ahead of this one's.
            for slot in &self.clears {
                slot.store(0, Ordering::SeqCst);
            }
        }
        chain.incarnation = at.incarnation;
        chain.seen = at.clock;
        let own = chain.own_elsewhere.filter(|(own, _)| own.incarnation == at.incarnation);
        chain.floor = own.map_or(0, |(own, _)| own.clock).max(at.clock);
    }

    /// Nothing that is held may be served from now on, and nothing new before the next proof.
    fn void(&self) {
        self.trusted_until.store(0, Ordering::SeqCst);
        self.life.fetch_add(1, Ordering::SeqCst);
    }

    /// Something that is no signal came: it may have been a clear.
    pub(super) fn malformed(&self, session: u64) -> Heard {
        let mut chain = self.lock();
        if session <= chain.closed || session < chain.session {
            return Heard::Ignored;
        }
        if session > chain.session {
            chain.early(session);
            chain.early_doubt = true;
        } else {
            self.void();
            // The next proof tells from which clock on it is behind.
            chain.floor = u64::MAX;
        }
        Heard::Voided
    }

    pub(super) fn closed(&self, session: u64) {
        let mut chain = self.lock();
        chain.closed = chain.closed.max(session);
        if session >= chain.session {
            self.void();
            chain.floor = u64::MAX;
        }
    }
}
