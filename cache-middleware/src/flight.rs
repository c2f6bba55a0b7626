//! Flights: one running fill per key on this node (promise P6).
//!
//! The first request that misses leads; the others follow and wait. The right to lead is a value: when it is dropped
//! without a landing, because the handler failed or panicked, or because the client hung up and the server dropped the
//! future, the followers are woken and one of them leads.
//!
//! A follower takes what the leader brings only if that is not older than the follower's own look at the store
//! ([`Landed::Entry`], `valid_at`): so a request that arrives after a clear never gets the response of a flight that
//! took off before it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::entry::{Entry, Stamp};
use crate::time::Millis;

const SHARDS: usize = 64;

/// How many keys that gave up are remembered, and for how long.
const SOLITARY_KEYS: usize = 1_024;
const SOLITARY_FOR: Duration = Duration::from_secs(10);

/// How many keys whose fills failed are remembered.
const RESTING_KEYS: usize = 10_000;

/// How a flight ended.
#[derive(Debug, Clone)]
pub(crate) enum Landed {
    /// With an entry that no clear up to `valid_at` covers, of the age it had then.
    Entry { entry: Arc<Entry>, valid_at: Stamp, age: Duration },
    /// With a response that must not be shared: everyone runs the handler alone.
    GaveUp,
    /// Without a response: somebody else should lead.
    Lost,
}

#[derive(Debug)]
pub(crate) struct FlightTable {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// How long followers wait for one leader.
    patience: Duration,
    /// Keys whose responses could not be shared a moment ago: waiting for another's would only cost time.
    solitary: Mutex<LruCache<Arc<str>, Instant>>,
    /// Keys whose fills failed.
    resting: Mutex<LruCache<Arc<str>, Rest>>,
    back_off: Backoff,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until_ms: u64,
    took: Duration,
}

#[derive(Debug, Default)]
struct Shard {
    flights: HashMap<Arc<str>, Arc<Flight>>,
    /// Counts the flights that have ended.
    ended: u64,
}

#[derive(Debug)]
struct Flight {
    took_off: Instant,
    /// The epoch of the journal before its look: it may not know of a clear that was added since.
    epoch: u64,
    landed: watch::Sender<Option<Landed>>,
}

/// What a request became by joining.
pub(crate) enum Joined<'a> {
    Leader(Leading<'a>),
    Follower(Following<'a>),
}

/// The right and duty to land a flight.
pub(crate) struct Leading<'a> {
    table: &'a FlightTable,
    name: Arc<str>,
    flight: Arc<Flight>,
    /// Whether another flight of the shard ended between the caller's look at the store and its take-off.
    pub(crate) must_look_again: bool,
}

pub(crate) struct Following<'a> {
    table: &'a FlightTable,
    name: Arc<str>,
    flight: Arc<Flight>,
}

impl FlightTable {
    pub(crate) fn new(patience: Duration, back_off: Backoff) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            patience,
            solitary: Mutex::new(LruCache::new(NonZeroUsize::new(SOLITARY_KEYS).unwrap_or(NonZeroUsize::MIN))),
            resting: Mutex::new(LruCache::new(NonZeroUsize::new(RESTING_KEYS).unwrap_or(NonZeroUsize::MIN))),
            back_off,
        }
    }

    /// How long requests wait for another's handler.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    fn shard(&self, name: &str) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many flights of the key's shard have ended: to be read before the look at the store that precedes
    /// [`FlightTable::join`].
    pub(crate) fn ended(&self, name: &str) -> u64 {
        self.shard(name).ended
    }

    /// Leads a new flight, or follows the one that is under way, if it is neither older than anybody waits for nor than `oldest`, and knows of every clear in the
    /// journal that the caller knows of.
    pub(crate) fn join(
        &self,
        name: &Arc<str>,
        (ended_before, epoch): (u64, u64),
        oldest: Option<Duration>,
    ) -> Joined<'_> {
        let mut shard = self.shard(name);
        let young = |flight: &&Arc<Flight>| {
            flight.epoch >= epoch
                && flight.took_off.elapsed() <= self.patience
                && oldest.is_none_or(|oldest| flight.took_off.elapsed() <= oldest)
        };
        if let Some(flight) = shard.flights.get(name).filter(young) {
            return Joined::Follower(Following { table: self, name: name.clone(), flight: flight.clone() });
        }
        let flight = Arc::new(Flight { took_off: Instant::now(), epoch, landed: watch::Sender::new(None) });
        shard.flights.insert(name.clone(), flight.clone());
        let must_look_again = shard.ended != ended_before;
        Joined::Leader(Leading { table: self, name: name.clone(), flight, must_look_again })
    }

    /// Whether a flight is under way that is worth waiting for.
    pub(crate) fn is_under_way(&self, name: &str) -> bool {
        self.shard(name).flights.get(name).is_some_and(|flight| flight.took_off.elapsed() <= self.patience)
    }

    /// Ends a flight: the table forgets it before anyone is woken, so that who comes next starts anew.
    fn end(&self, name: &Arc<str>, flight: &Arc<Flight>, landed: Landed) {
        let mut shard = self.shard(name);
        shard.ended += 1;
        if shard.flights.get(name).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            shard.flights.remove(name);
        }
        drop(shard);
        // A leader that lands after its followers lost patience tells nobody any more.
        flight.landed.send_if_modified(|state| {
            let first = state.is_none();
            if first {
                *state = Some(landed);
            }
            first
        });
    }

    fn solitary(&self) -> MutexGuard<'_, LruCache<Arc<str>, Instant>> {
        self.solitary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the key's responses could not be shared a moment ago.
    pub(crate) fn is_solitary(&self, name: &str) -> bool {
        self.solitary().peek(name).is_some_and(|since| since.elapsed() < SOLITARY_FOR)
    }

    fn resting(&self) -> MutexGuard<'_, LruCache<Arc<str>, Rest>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fill of the key failed so short a time ago that another is not tried while there is something to serve.
    pub(crate) fn is_resting(&self, name: &str, now_ms: u64) -> bool {
        self.resting().peek(name).is_some_and(|rest| now_ms < rest.until_ms)
    }

    /// Notes how a fill of the key ended.
    pub(crate) fn filled(&self, name: &Arc<str>, failed: bool, now_ms: u64) {
        let mut resting = self.resting();
        if !failed {
            resting.pop(name);
            return;
        }
        let took = self.back_off.after(resting.get(name).map(|rest| rest.took));
        let until_ms = now_ms.saturating_add(Millis::from(took).0);
        resting.put(name.clone(), Rest { until_ms, took });
    }

    pub(crate) fn set_solitary(&self, name: &Arc<str>, solitary: bool) {
        if solitary {
            self.solitary().put(name.clone(), Instant::now());
        } else {
            self.solitary().pop(name);
        }
    }
}

impl Leading<'_> {
    /// Lands: with an entry, or having given up.
    pub(crate) fn land(self, landed: Landed) {
        self.table.end(&self.name, &self.flight, landed);
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        // After `land` this finds the flight already landed and changes nothing but the count.
        self.table.end(&self.name, &self.flight, Landed::Lost);
    }
}

impl Following<'_> {
    /// Waits for the landing, but no longer than the table's patience after take-off: then the flight counts as lost,
    /// and whoever joins next leads.
    pub(crate) async fn wait(self) -> Landed {
        let mut landed = self.flight.landed.subscribe();
        let deadline = self.flight.took_off + self.table.patience;
        match tokio::time::timeout_at(deadline, landed.wait_for(Option::is_some)).await {
            Ok(Ok(state)) => state.clone().unwrap_or(Landed::Lost),
            // The sender lives in the flight, which we hold.
            Ok(Err(_)) => Landed::Lost,
            Err(_) => {
                self.table.end(&self.name, &self.flight, Landed::Lost);
                Landed::Lost
            }
        }
    }
}
