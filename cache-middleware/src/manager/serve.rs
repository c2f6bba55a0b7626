//! Look up, fly, fill: the one path that every response and value takes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::CacheManager;
use super::fill::Draft;
use super::look::{Asking, Hit, Look, Missed, Stale};
use crate::entry::{Entry, Stamp};
use crate::flight::{Joined, Landed, Leading};
use crate::outcome::{BypassReason, Forward, Outcome, RefusalReason};
use crate::store::{FlightRight, TakeOff, Woken};

/// How often a request follows before it runs its handler itself.
const MAX_FLIGHTS: usize = 3;

/// A handler's response, judged by the storing rules.
pub(crate) enum Judged<R> {
    Store(R, Box<Draft>),
    Refuse(R, RefusalReason),
    /// The handler failed with a status, and the response is that of the stale entry, of this age by then.
    StaleIfError(R, u16, Duration),
}

/// A stale entry, and the clock at which it was read.
#[derive(Debug)]
pub(crate) struct Outdated {
    pub(super) stamp: Stamp,
    pub(crate) entry: Arc<Entry>,
}

/// The answer to a request.
pub(crate) enum Served<R, A> {
    /// From an entry.
    Entry(Hit<A>),
    /// From a stale entry within its window; says whether the caller is to refresh it now.
    Stale(Hit<A>, bool),
    /// From the handler.
    Own { response: R, outcome: Outcome },
}

/// Who runs the handler, as far as the other nodes are concerned.
enum Turn<'a, A> {
    /// This node; what it makes may be stored unless others lost patience with somebody who is still at it.
    Run { missed: Missed, right: Option<Box<dyn FlightRight + 'a>>, store: bool },
    /// Nobody any more.
    Hit(Hit<A>, Arc<Entry>, Stamp),
    /// Everybody for themselves.
    GaveUp,
}

impl CacheManager {
    /// Answers from memory, from the store, from a flight under way, or by `run`, whichever comes first without
    /// breaking a promise. `accept` says whether an entry is of use to the caller; one that is not counts as a miss.
    ///
    /// `run` is called only if the handler has to run; it is given the stale entry, if there is one, to revalidate or to
    /// fall back on. Dropping this future hands a flight that it leads to another.
    pub(crate) async fn serve<R, A, F>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        run: impl FnOnce(Option<Stale>) -> F,
    ) -> Served<R, A>
    where
        F: Future<Output = Judged<R>>,
    {
        if let Some(hit) = self.near(asking, &accept) {
            return Served::Entry(hit);
        }
        let flights = &self.inner.flights;
        let name = asking.key.name();
        let deadline = Instant::now() + flights.patience();
        let mut last = Missed { stamp: self.local_stamp(), forward: Forward::UriMiss, stale: None };
        for _ in 0..MAX_FLIGHTS {
            let ended = flights.ended(name);
            let missed = match self.look(asking, &accept).await {
                Look::Hit(hit, ..) => return Served::Entry(hit),
                Look::Miss(missed) => missed,
            };
            let served_stale = |stale: &Stale| {
                let wanted = asking.demand.takes_fresh(stale.age, Duration::ZERO);
                asking.refreshes && wanted && stale.serves_while_revalidated()
            };
            if let Some(stale) =
                missed.stale.clone().filter(|stale| missed.forward == Forward::Stale && served_stale(stale))
                && let Some(hit) = stale.into_hit(&accept)
            {
                return Served::Stale(hit, !flights.is_under_way(name));
            }
            last = missed.clone();
            if asking.alone || flights.is_solitary(name) {
                break;
            }
            // Without a store to ask, other nodes' clears are not seen: such a flight is joined only within the bound in
            // which they take effect, and not at all where they take effect at once, or where the caller knows of one.
            let blind = missed.stamp.incarnation == 0;
            if blind && (asking.holding.strict || asking.token.is_some() || self.is_strict()) {
                break;
            }
            let oldest = blind.then_some(self.lease());
            match flights.join(name, ended, oldest) {
                Joined::Leader(leading) => return self.lead(leading, asking, accept, missed, deadline, run).await,
                Joined::Follower(following) => match following.wait().await {
                    Landed::Entry { entry, valid_at, age } if valid_at.covers(missed.stamp) => {
                        if !asking.demand.takes_fresh(age, entry.life.fresh_left(age)) {
                            break;
                        }
                        if let Some(accepted) = accept(&entry) {
                            let outcome = Outcome::Collapsed { forward: missed.forward };
                            return Served::Entry(Hit { accepted, age, outcome });
                        }
                        // Another variant than the one asked for: now it is known by what they are told apart.
                        if entry.key == *name {
                            break;
                        }
                    }
                    Landed::GaveUp => break,
                    // A clear came between that flight's take-off and our arrival, or it was lost.
                    Landed::Entry { .. } | Landed::Lost => {}
                },
            }
        }
        let (served, landed) = self.fill(asking, last, true, run).await;
        if matches!(landed, Landed::Entry { .. }) {
            flights.set_solitary(name, false);
        }
        served
    }

    /// Runs the handler for a stale entry that was served already, unless somebody is at it.
    pub(crate) async fn refresh<R, A, F>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        run: impl FnOnce(Option<Stale>) -> F,
    ) where
        F: Future<Output = Judged<R>>,
    {
        let flights = &self.inner.flights;
        let ended = flights.ended(asking.key.name());
        let Look::Miss(missed) = self.look(asking, &accept).await else { return };
        if missed.stale.is_none() {
            return;
        }
        if let Joined::Leader(leading) = flights.join(asking.key.name(), ended, None) {
            let deadline = Instant::now() + flights.patience();
            self.lead(leading, asking, accept, missed, deadline, run).await;
        }
    }

    async fn lead<R, A, F>(
        &self,
        leading: Leading<'_>,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        mut missed: Missed,
        deadline: Instant,
        run: impl FnOnce(Option<Stale>) -> F,
    ) -> Served<R, A>
    where
        F: Future<Output = Judged<R>>,
    {
        if leading.must_look_again {
            // The flight that ended meanwhile may have been this key's.
            match self.look(asking, &accept).await {
                Look::Hit(hit, entry, valid_at) => {
                    leading.land(landed(entry, valid_at, hit.age));
                    return Served::Entry(hit);
                }
                Look::Miss(newer) => missed = newer,
            }
        }
        let (served, landed) = match self.take_turn(asking, &accept, missed.clone(), deadline).await {
            Turn::Hit(hit, entry, valid_at) => {
                let landed = landed(entry, valid_at, hit.age);
                (Served::Entry(hit), landed)
            }
            Turn::GaveUp => {
                missed.stamp = self.local_stamp();
                let (served, _) = self.fill(asking, missed, true, run).await;
                (served, Landed::GaveUp)
            }
            Turn::Run { missed, right, store } => {
                let (served, landed) = self.fill(asking, missed, store, run).await;
                if let Some(right) = right {
                    right.land(matches!(landed, Landed::GaveUp));
                }
                (served, landed)
            }
        };
        self.inner.flights.set_solitary(asking.key.name(), matches!(landed, Landed::GaveUp));
        leading.land(landed);
        served
    }

    /// Waits until no other node runs the handler, at most until the deadline.
    async fn take_turn<'a, A>(
        &'a self,
        asking: &'a Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        mut missed: Missed,
        deadline: Instant,
    ) -> Turn<'a, A> {
        let blind = missed.stamp.incarnation == 0;
        let Some(member) = self.inner.member.as_ref().filter(|_| !blind) else {
            return Turn::Run { missed, right: None, store: true };
        };
        loop {
            let (waiting, right) = match member.take_off(asking.key).await {
                Ok(TakeOff::Wait(waiting)) => (Some(waiting), None),
                Ok(TakeOff::Lead { right, look_again: true }) => (None, Some(right)),
                Ok(TakeOff::Lead { right, look_again: false }) => {
                    return Turn::Run { missed, right: Some(right), store: true };
                }
                Err(_) => return Turn::Run { missed, right: None, store: true },
            };
            if let Some(waiting) = waiting {
                match tokio::time::timeout_at(deadline, waiting.0).await {
                    Ok(Woken::LookAgain) => {}
                    Ok(Woken::GaveUp) => return Turn::GaveUp,
                    Err(_) => return Turn::Run { missed, right: None, store: false },
                }
            }
            match self.look(asking, &accept).await {
                Look::Hit(hit, entry, valid_at) => return Turn::Hit(hit, entry, valid_at),
                Look::Miss(newer) => missed = newer,
            }
            if right.is_some() || missed.stamp.incarnation == 0 {
                return Turn::Run { missed, right, store: true };
            }
        }
    }

    /// Looks, and leaves it at that: for requests that must not fill an entry, for the reason given.
    pub(crate) async fn peek<A>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        reason: RefusalReason,
    ) -> Result<Hit<A>, Outcome> {
        self.peek_or_stale(asking, accept, reason).await.map_err(|(outcome, _)| outcome)
    }

    /// Looks, and gives the stale entry if there is one, so that the caller can bring it up to date.
    pub(crate) async fn peek_or_stale<A>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        reason: RefusalReason,
    ) -> Result<Hit<A>, (Outcome, Option<Outdated>)> {
        if let Some(hit) = self.near(asking, &accept) {
            return Ok(hit);
        }
        if self.inner.pending.any() {
            return Err((Outcome::Bypass { reason: BypassReason::ClearPending }, None));
        }
        match self.look(asking, accept).await {
            Look::Hit(hit, ..) => Ok(hit),
            Look::Miss(Missed { forward: Forward::Bypass, .. }) => {
                Err((Outcome::Bypass { reason: BypassReason::StoreUnavailable }, None))
            }
            Look::Miss(Missed { stamp, forward, stale }) => {
                let outdated = stale.map(|stale| Outdated { stamp, entry: stale.entry });
                Err((Outcome::Refused { forward, reason }, outdated))
            }
        }
    }
}

/// What followers get of an entry that was found: nothing, if it is one that only the leader takes as stale as it is.
fn landed(entry: Arc<Entry>, valid_at: Stamp, age: Duration) -> Landed {
    if entry.life.fresh_left(age).is_zero() { Landed::Lost } else { Landed::Entry { entry, valid_at, age } }
}
