//! The look at an entry: in the memory of this node, then in the store.

use std::sync::Arc;
use std::time::Duration;

use super::CacheManager;
use crate::coherence::Token;
use crate::entry::{Entry, Payload, Stamp};
use crate::error::StoreError;
use crate::key::Key;
use crate::l1::{Near, Seen};
use crate::outcome::{Forward, Outcome, Tier};
use crate::policy::{Bounds, Holding};
use crate::store::{Freshness, Lookup};

/// What is asked of the cache.
#[derive(Debug, Clone)]
pub(crate) struct Asking<'a> {
    pub(crate) key: &'a Key,
    pub(crate) holding: Holding,
    /// The clears that the caller knows of.
    pub(crate) token: Option<Token>,
    /// Keeps a request out of flights: its response is most likely not for others.
    pub(crate) alone: bool,
    /// Whether the caller can refresh a stale entry in the background, and so be answered with it.
    pub(crate) refreshes: bool,
    /// How old an answer may be for the caller.
    pub(crate) demand: Demand,
    /// Whether the key is that of a variant, whose target is known.
    pub(crate) variant: bool,
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
        allowed && self.max_stale.is_some_and(|most| stale.stale_for() <= most)
    }
}

impl<'a> Asking<'a> {
    /// For a key, with nothing special about it.
    pub(crate) fn new(key: &'a Key, holding: Holding) -> Self {
        Self {
            key,
            holding,
            token: None,
            alone: false,
            refreshes: false,
            demand: Demand::default(),
            variant: false,
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

/// An entry that the caller would accept if it were fresh.
#[derive(Debug, Clone)]
pub(crate) struct Stale {
    pub(crate) entry: Arc<Entry>,
    pub(crate) age: Duration,
}

impl Stale {
    /// The same, so much later.
    pub(crate) fn after(&self, waited: Duration) -> Self {
        Self { entry: self.entry.clone(), age: self.age.saturating_add(waited) }
    }

    fn stale_for(&self) -> Duration {
        self.entry.life.stale_for(self.age)
    }

    /// Whether it may be served while a refresh is under way (RFC 5861 section 3).
    pub(crate) fn serves_while_revalidated(&self) -> bool {
        self.stale_for() < self.entry.life.stale_while_revalidate
    }

    /// Whether it may be served if the handler fails (RFC 5861 section 4).
    pub(crate) fn serves_if_error(&self) -> bool {
        self.stale_for() < self.entry.life.stale_if_error
    }

    fn outcome(&self) -> Outcome {
        let seconds = i64::try_from(self.stale_for().as_secs()).unwrap_or(i64::MAX);
        Outcome::Hit { ttl: -seconds, tier: Tier::L2 }
    }

    pub(super) fn into_hit<A>(self, accept: impl Fn(&Entry) -> Option<A>) -> Option<Hit<A>> {
        Some(Hit { accepted: accept(&self.entry)?, age: self.age, outcome: self.outcome() })
    }
}

/// Why the handler must run, and under which stamp.
#[derive(Debug, Clone)]
pub(super) struct Missed {
    pub(super) stamp: Stamp,
    pub(super) forward: Forward,
    pub(super) stale: Option<Stale>,
}

/// What the look at the store gave.
pub(super) enum Look<A> {
    /// An entry, and the clock at which no clear covered it.
    Hit(Hit<A>, Arc<Entry>, Stamp),
    Miss(Missed),
}

impl CacheManager {
    /// The entry in the memory of this node, if it may be served.
    pub(super) fn near<A>(&self, asking: &Asking<'_>, accept: impl Fn(&Entry) -> Option<A>) -> Option<Hit<A>> {
        let l1 = self.inner.l1.as_ref()?;
        // What is held may be what the clear that waits is about, or what the caller has cleared on another node.
        if self.inner.pending.any() || asking.token.as_ref().is_some_and(|token| !self.has_seen(token, asking.key)) {
            return None;
        }
        let Near { entry, age, fresh_for } = l1.get(asking.key.name())?;
        if !asking.demand.takes_fresh(age, fresh_for) {
            return None;
        }
        let outcome = Outcome::Hit { ttl: seconds(fresh_for), tier: Tier::L1 };
        accept(&entry).map(|accepted| Hit { accepted, age, outcome })
    }

    fn has_seen(&self, token: &Token, key: &Key) -> bool {
        self.inner.l1.as_ref().is_none_or(|l1| token.is_seen_by(l1.views(), self.inner.store.partition_of(key)))
    }

    /// The stamp of a flight that has no store to ask.
    pub(super) fn missed_blindly(&self) -> Missed {
        Missed { stamp: self.local_stamp(), forward: Forward::Bypass, stale: None }
    }

    /// The look at the store; what is found there is held in memory.
    pub(super) async fn look<A>(&self, asking: &Asking<'_>, accept: impl Fn(&Entry) -> Option<A>) -> Look<A> {
        if self.inner.pending.any() {
            return Look::Miss(self.missed_blindly());
        }
        match self.try_look(asking, accept).await {
            Ok(look) => look,
            Err(error) => {
                log::debug!("{} was not looked up: {error}", asking.key.name());
                Look::Miss(self.missed_blindly())
            }
        }
    }

    async fn try_look<A>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
    ) -> Result<Look<A>, StoreError> {
        let Lookup { found, stamp } = self.inner.store.read(asking.key).await?;
        let mut forward = if asking.variant { Forward::VaryMiss } else { Forward::UriMiss };
        let mut stale = None;
        if let (Some(found), Some(at)) = (found, stamp) {
            match (found.freshness, accept(&found.entry)) {
                (Freshness::Fresh(left), Some(_)) if !asking.demand.takes_fresh(found.age, left) => {
                    forward = Forward::Request;
                    stale = Some(Stale { entry: found.entry, age: found.age });
                }
                (Freshness::Fresh(left), Some(accepted)) => {
                    self.hold(asking, &found.entry, at, found.age, left);
                    let outcome = Outcome::Hit { ttl: seconds(left), tier: Tier::L2 };
                    return Ok(Look::Hit(Hit { accepted, age: found.age, outcome }, found.entry, at));
                }
                (Freshness::Stale, accepted) => {
                    forward = Forward::Stale;
                    stale = accepted.map(|_| Stale { entry: found.entry, age: found.age });
                    if let Some(stale) = stale.as_ref().filter(|stale| asking.demand.takes_stale(stale))
                        && let Some(hit) = stale.clone().into_hit(&accept)
                    {
                        return Ok(Look::Hit(hit, stale.entry.clone(), at));
                    }
                }
                // A response that is there, and not for this caller.
                (Freshness::Fresh(_), None) if matches!(found.entry.payload, Payload::Response(_)) => {
                    forward = Forward::Request;
                }
                (Freshness::Fresh(_), None) => {}
            }
        }
        let stamp = match stamp {
            Some(stamp) => stamp,
            None => self.inner.store.lease(asking.key).await?.stamp,
        };
        Ok(Look::Miss(Missed { stamp, forward, stale }))
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
