//! The look at an entry: in the memory of this node, then in the store.

use std::sync::Arc;
use std::time::Duration;

use super::{AskedFor, CacheManager, Sliding};
use crate::coherence::Token;
use crate::entry::{Entry, Payload, Stamp};
use crate::error::StoreError;
use crate::journal::Covered;
use crate::key::Key;
use crate::l1::{Near, Seen};
use crate::outcome::{Forward, Outcome, Tier};
use crate::policy::{Bounds, EarlyRefresh, Holding, Windows};
use crate::store::{Found, Freshness, Lookup};

/// What calls by hand are counted as.
pub(super) const VALUES: &str = "values";

/// What is asked of the cache.
#[derive(Debug, Clone)]
pub(crate) struct Asking<'a> {
    pub(crate) key: &'a Key,
    /// The route it is counted as, or what stands for it.
    pub(crate) route: &'a str,
    pub(crate) holding: Holding,
    /// The clears that the caller knows of.
    pub(crate) token: Option<Token>,
    /// Keeps a request out of flights: its response is most likely not for others.
    pub(crate) alone: bool,
    /// Whether the caller can have an entry refreshed, and so be answered with one that is stale within its window.
    pub(crate) refreshes: bool,
    /// Whether the caller can have a handler run again, to compare what it says.
    pub(crate) probes: bool,
    /// How entries age, and when those that are still fresh are refreshed.
    pub(crate) windows: &'a Windows,
    /// Whether an access begins the TTL anew.
    pub(crate) sliding: Option<Sliding>,
    /// How old an answer may be for the caller.
    pub(crate) demand: Demand,
    /// Whether the key is that of a variant, whose target is known.
    pub(crate) variant: bool,
    /// The request that is answered, if uses are counted.
    pub(crate) asked: Option<&'a AskedFor>,
    /// How many entries there may be; `None` for what nobody can make up.
    pub(crate) bounds: Option<Bounds>,
}

/// How old an answer may be, if the caller has a say in it (RFC 9111 section 5.2.1).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    pub(crate) no_cache: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) min_fresh: Option<Duration>,
    pub(crate) max_stale: Option<Duration>,
}

impl Demand {
    pub(super) fn takes_fresh(&self, age: Duration, left: Duration) -> bool {
        !self.no_cache
            && self.max_age.is_none_or(|most| age <= most)
            && self.min_fresh.is_none_or(|least| left >= least)
    }

    fn takes_stale(&self, stale: &Stale) -> bool {
        let allowed = !stale.entry.life.must_revalidate && self.takes_fresh(stale.age, Duration::ZERO);
        allowed && self.max_stale.is_some_and(|most| stale.stale_for.unwrap_or_default() <= most)
    }
}

impl<'a> Asking<'a> {
    /// Whether the TTL of an entry begins anew: not of one that says that there is nothing, and has a lifetime for that.
    pub(super) fn slides(&self, entry: &Entry) -> bool {
        self.windows.negative_ttl.is_none() || !entry.payload.is_negative()
    }

    /// For a key, with nothing special about it.
    pub(crate) fn new(key: &'a Key, holding: Holding) -> Self {
        Self {
            key,
            route: VALUES,
            holding,
            token: None,
            alone: false,
            refreshes: false,
            probes: false,
            windows: &Windows::DEFAULT,
            sliding: None,
            demand: Demand::default(),
            variant: false,
            asked: None,
            bounds: None,
        }
    }
}

/// An entry that the caller accepted, and its place in time.
pub(crate) struct Hit<A> {
    pub(crate) accepted: A,
    pub(crate) age: Duration,
    pub(crate) outcome: Outcome,
}

/// An entry that the caller would accept if it were fresh, or younger.
#[derive(Debug, Clone)]
pub(crate) struct Stale {
    pub(crate) entry: Arc<Entry>,
    pub(crate) age: Duration,
    /// How long it has been stale; `None` if it is fresh, and not young enough for the caller.
    stale_for: Option<Duration>,
}

impl Stale {
    /// The same, so much later.
    pub(super) fn after(&self, waited: Duration) -> Self {
        let Self { entry, age, stale_for } = self;
        let age = age.saturating_add(waited);
        let stale_for = match stale_for {
            Some(already) => Some(already.saturating_add(waited)),
            None => entry.life.stored_for(age).checked_sub(entry.life.fresh_for.duration()),
        };
        Self { entry: entry.clone(), age, stale_for }
    }

    /// Whether it may be served while a refresh is under way (RFC 5861 section 3).
    pub(super) fn serves_while_revalidated(&self) -> bool {
        self.stale_for.unwrap_or_default() < self.entry.life.stale_while_revalidate.duration()
    }

    /// Whether it may be served if the handler fails, or is late (RFC 5861 section 4).
    pub(super) fn serves_if_error(&self) -> bool {
        self.serves_while_revalidated()
            || self.stale_for.unwrap_or_default() < self.entry.life.stale_if_error.duration()
    }

    /// Seconds of freshness left, below 0 for a stale one.
    pub(super) fn ttl(&self) -> i64 {
        match self.stale_for {
            // A stale one never says 0: that is what a fresh one says last.
            Some(stale_for) => -seconds(stale_for.saturating_add(Duration::from_millis(999))),
            None => seconds(self.entry.life.fresh_left(self.age)),
        }
    }

    /// As an answer, if the caller accepts it.
    pub(crate) fn hit<A>(&self, accept: impl Fn(&Entry) -> Option<A>, outcome: Outcome) -> Option<Hit<A>> {
        Some(Hit { accepted: accept(&self.entry)?, age: self.age, outcome })
    }

    pub(super) fn plain_hit<A>(&self, accept: impl Fn(&Entry) -> Option<A>) -> Option<Hit<A>> {
        self.hit(accept, Outcome::Hit { ttl: self.ttl(), tier: Tier::L2 })
    }
}

/// What an entry that is still fresh is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Due {
    pub(super) refresh: bool,
    /// Its TTL is to begin anew.
    pub(super) slide: Option<Sliding>,
}

impl Due {
    pub(super) fn of(asking: &Asking<'_>, entry: &Entry, age: Duration, left: Duration) -> Self {
        let refresh =
            |early: EarlyRefresh| early.is_due(entry.life.fresh_for.duration(), left, entry.life.cost.duration());
        Self {
            refresh: asking.refreshes && asking.windows.early_refresh.is_some_and(refresh),
            slide: asking.sliding.filter(|sliding| sliding.is_due(age, left) && asking.slides(entry)),
        }
    }
}

/// Why the handler must run, and under which stamp.
#[derive(Debug, Clone)]
pub(crate) struct Missed {
    pub(super) stamp: Stamp,
    pub(crate) forward: Forward,
    pub(super) stale: Option<Stale>,
    pub(super) before: Before,
}

/// What was known before a look.
#[derive(Debug, Clone)]
pub(super) struct Before {
    /// How many flights had ended.
    pub(super) ended: u64,
    /// The epoch of the journal, and what it covered.
    pub(super) epoch: u64,
    covered: Option<Arc<Covered>>,
}

impl Before {
    fn covers(&self, entry: &Entry) -> bool {
        self.covered.as_ref().is_some_and(|covered| covered.covers(entry))
    }
}

impl Missed {
    /// The entry that may be served so much later, if there is one.
    pub(crate) fn stale_after(&self, waited: Duration) -> Option<Stale> {
        self.stale.as_ref().map(|stale| stale.after(waited)).filter(Stale::serves_if_error)
    }
}

/// A hit, its entry, and the clock at which no clear covered it.
pub(super) type HitAt<A> = (Hit<A>, Arc<Entry>, Stamp);

/// What the look at the store gave.
pub(super) enum Look<A> {
    /// An entry, and the clock at which no clear covered it.
    Hit(Hit<A>, Arc<Entry>, Stamp),
    Miss(Missed),
}

impl CacheManager {
    /// The entry in the memory of this node, if it may be served.
    pub(super) fn near<A>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
    ) -> Option<(Hit<A>, Due, Arc<Entry>)> {
        let l1 = self.inner.l1.as_ref()?;
        // What is held may be what the caller has cleared on another node.
        if asking.token.as_ref().is_some_and(|token| !self.has_seen(token, asking.key)) {
            return None;
        }
        // Before L1 is read: what waited then may be acknowledged before the entry is looked at.
        let covered = self.inner.journal.covered();
        let Near { entry, age, fresh_for } = l1.get(asking.key.name())?;
        if !asking.demand.takes_fresh(age, fresh_for) || covered.is_some_and(|covered| covered.covers(&entry)) {
            return None;
        }
        let outcome = Outcome::Hit { ttl: seconds(fresh_for), tier: Tier::L1 };
        let due = Due::of(asking, &entry, age, fresh_for);
        let accepted = accept(&entry)?;
        self.note_use(&entry, asking.asked);
        Some((Hit { accepted, age, outcome }, due, entry))
    }

    fn has_seen(&self, token: &Token, key: &Key) -> bool {
        self.inner.l1.as_ref().is_none_or(|l1| token.is_seen_by(l1.views(), self.inner.store.partition_of(key)))
    }

    /// The stamp of a flight that has no store to ask.
    fn missed_blindly(&self, before: Before) -> Missed {
        Missed { stamp: self.local_stamp(), forward: Forward::Bypass, stale: None, before }
    }

    /// The look at the store; what is found there is held in memory.
    pub(super) async fn look<A>(&self, asking: &Asking<'_>, accept: impl Fn(&Entry) -> Option<A>) -> Look<A> {
        let before = self.before(asking.key);
        match self.try_look(asking, accept, before.clone()).await {
            Ok(look) => look,
            Err(error) => {
                log::debug!("{} was not looked up: {error}", asking.key.name());
                Look::Miss(self.missed_blindly(before))
            }
        }
    }

    /// What is known now, before a look.
    pub(super) fn before(&self, key: &Key) -> Before {
        Before {
            ended: self.inner.flights.ended(key.name()),
            epoch: self.inner.journal.epoch(),
            covered: self.inner.journal.covered(),
        }
    }

    async fn try_look<A>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        before: Before,
    ) -> Result<Look<A>, StoreError> {
        let lookup = self.inner.store.read(asking.key).await?;
        let stamp = lookup.stamp;
        let (forward, stale) = match self.judge(asking, accept, &before, lookup) {
            Ok((hit, entry, at)) => return Ok(Look::Hit(hit, entry, at)),
            Err(missed) => missed,
        };
        let stamp = match stamp {
            Some(stamp) => stamp,
            None => self.inner.store.lease(asking.key).await?.stamp,
        };
        Ok(Look::Miss(Missed { stamp, forward, stale, before }))
    }

    /// What the store has said is a hit, which is then held in memory, or why it is none.
    pub(super) fn judge<A>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        before: &Before,
        lookup: Lookup,
    ) -> Result<HitAt<A>, (Forward, Option<Stale>)> {
        // It may have been read before a clear was acknowledged that waited when this look began.
        let waits = |found: &Found| before.covers(&found.entry) || self.inner.journal.covers(&found.entry);
        let nothing = if asking.variant { Forward::VaryMiss } else { Forward::UriMiss };
        let Some((found, at)) = lookup.found.filter(|found| !waits(found)).zip(lookup.stamp) else {
            return Err((nothing, None));
        };
        match (found.freshness, accept(&found.entry)) {
            (Freshness::Fresh(left), Some(_)) if !asking.demand.takes_fresh(found.age, left) => {
                Err((Forward::Request, Some(Stale { entry: found.entry, age: found.age, stale_for: None })))
            }
            (Freshness::Fresh(left), Some(accepted)) => {
                self.hold(asking, &found.entry, at, found.age, left);
                self.note_use(&found.entry, asking.asked);
                let outcome = Outcome::Hit { ttl: seconds(left), tier: Tier::L2 };
                Ok((Hit { accepted, age: found.age, outcome }, found.entry, at))
            }
            (Freshness::Stale(_), None) => Err((Forward::Stale, None)),
            (Freshness::Stale(stale_for), Some(_)) => {
                let stale = Stale { entry: found.entry, age: found.age, stale_for: Some(stale_for) };
                match stale.plain_hit(&accept).filter(|_| asking.demand.takes_stale(&stale)) {
                    Some(hit) => Ok((hit, stale.entry, at)),
                    None => Err((Forward::Stale, Some(stale))),
                }
            }
            // A response that is there, and not for this caller.
            (Freshness::Fresh(_), None) if matches!(found.entry.payload, Payload::Response(_)) => {
                Err((Forward::Request, None))
            }
            (Freshness::Fresh(_), None) => Err((nothing, None)),
        }
    }

    /// Holds an entry in the memory of this node.
    pub(super) fn hold(&self, asking: &Asking<'_>, entry: &Arc<Entry>, at: Stamp, age: Duration, fresh_for: Duration) {
        if let Some(l1) = &self.inner.l1 {
            let hold_for = asking.holding.l1_ttl.unwrap_or(self.inner.l1_ttl);
            l1.put(self.inner.store.partition_of(asking.key), entry, Seen { at, age, fresh_for, hold_for });
        }
    }
}

fn seconds(left: Duration) -> i64 {
    i64::try_from(left.as_secs()).unwrap_or(i64::MAX)
}
