//! Look up, fly, fill: the one path that every response and value takes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::CacheManager;
use super::fill::{Draft, Stored};
use super::look::{Asking, Due, Hit, Look, Missed, Stale};
use super::probe::Probe;
use super::turn::Turn;
use crate::entry::{Entry, Stamp};
use crate::flight::{Joined, Landed, Leading};
use crate::outcome::{BypassReason, Forward, Outcome, RefusalReason};
use crate::telemetry::FlightRole;

/// How often a request follows before it runs its handler itself.
const MAX_FLIGHTS: usize = 3;

/// What has become of a run of the handler.
pub(crate) enum Judged<R> {
    /// It may be stored.
    Store(R, Box<Draft>),
    /// It must not be stored, and neither is it what was stored before.
    Refuse(R, RefusalReason),
    /// The handler failed: that says nothing about what was stored before.
    Failed(R, Failure),
}

/// How a handler failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The status, if it has one.
    pub(crate) status: Option<u16>,
    /// Whether a stale entry may stand in, if its windows allow it.
    pub(crate) stale_stands_in: bool,
}

/// A stale entry, and the clock at which it was read.
#[derive(Debug)]
pub(crate) struct Outdated {
    pub(super) stamp: Stamp,
    pub(crate) entry: Arc<Entry>,
}

/// What the first look gave.
pub(crate) enum Begun<A> {
    /// An answer.
    Hit(Hit<A>),
    /// An answer, and the caller is to have it refreshed.
    Refresh(Hit<A>),
    /// An answer, and the caller is to compare it with what the handler says, if it can have it run.
    Probe(Hit<A>, Probe),
    /// The handler has to run, or somebody's.
    Miss(Missed),
}

/// The answer to a request that missed.
pub(crate) enum Served<R, A> {
    /// From an entry.
    Entry(Hit<A>),
    /// From a stale entry, because the handler failed with this.
    Instead(Hit<A>, R),
    /// From the handler.
    Own { response: R, outcome: Outcome },
}

impl CacheManager {
    /// Looks in memory and in the store. `accept` says whether an entry is of use to the caller; one that is not counts as
    /// a miss.
    pub(crate) async fn begin<A>(&self, asking: &Asking<'_>, accept: impl Fn(&Entry) -> Option<A>) -> Begun<A> {
        match self.begin_near(asking, &accept) {
            Some(begun) => begun,
            None => self.begin_far(asking, accept).await,
        }
    }

    /// Looks in the memory of this node.
    pub(crate) fn begin_near<A>(&self, asking: &Asking<'_>, accept: impl Fn(&Entry) -> Option<A>) -> Option<Begun<A>> {
        if asking.windows.adaptive_ttl.is_some() {
            self.inner.learned.asked(asking.key.name());
        }
        let (hit, due, entry) = self.near(asking, accept)?;
        Some(self.found(asking, hit, due, &entry))
    }

    /// Looks in the store, once nothing was found in memory.
    pub(crate) async fn begin_far<A>(&self, asking: &Asking<'_>, accept: impl Fn(&Entry) -> Option<A>) -> Begun<A> {
        let missed = match self.look(asking, &accept).await {
            Look::Hit(hit, entry, _) => {
                let due = Due::of(asking, &entry, hit.age, entry.life.fresh_left(hit.age));
                return self.found(asking, hit, due, &entry);
            }
            Look::Miss(missed) => missed,
        };
        let Some(stale) = missed.stale.as_ref().filter(|_| missed.forward == Forward::Stale) else {
            return Begun::Miss(missed);
        };
        if !asking.demand.takes_fresh(stale.age, Duration::ZERO) {
            return Begun::Miss(missed);
        }
        let refreshed = asking.refreshes && stale.serves_while_revalidated();
        if refreshed && let Some(hit) = stale.plain_hit(&accept) {
            return self.found(asking, hit, Due { refresh: true, slide: None }, &stale.entry);
        }
        if !refreshed
            && stale.serves_if_error()
            && self.is_resting(asking)
            && let Some(hit) = stale.hit(&accept, Outcome::BackedOff { ttl: stale.ttl() })
        {
            return Begun::Hit(hit);
        }
        Begun::Miss(missed)
    }

    /// Whether the handler failed a moment ago.
    fn is_resting(&self, asking: &Asking<'_>) -> bool {
        self.inner.flights.is_resting(asking.key.name(), self.inner.store.now_ms(asking.key))
    }

    /// What an entry that was found is an answer with.
    fn found<A>(&self, asking: &Asking<'_>, hit: Hit<A>, due: Due, entry: &Arc<Entry>) -> Begun<A> {
        if let Some(sliding) = due.slide {
            self.slide(asking, sliding);
        }
        if due.refresh && !self.inner.flights.is_under_way(asking.key.name()) && !self.is_resting(asking) {
            return Begun::Refresh(hit);
        }
        match self.probe_of(asking, entry, (hit.outcome.is_stale(), hit.age)) {
            Some(probe) if !due.refresh => Begun::Probe(hit, probe),
            _ => Begun::Hit(hit),
        }
    }

    /// Answers a request that missed: from a flight under way, or by `run`, without breaking a promise.
    ///
    /// `run` is called only if the handler has to run; it is given the stale entry, if there is one, to revalidate it.
    /// Dropping this future hands a flight that it leads to another.
    pub(crate) async fn fly<R, A, F>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        mut missed: Missed,
        run: impl FnOnce(Option<Stale>) -> F,
    ) -> Served<R, A>
    where
        F: Future<Output = Judged<R>>,
    {
        let flights = &self.inner.flights;
        let name = asking.key.name();
        let deadline = Instant::now() + flights.patience();
        for flight in 0..MAX_FLIGHTS {
            if flight > 0 {
                match self.look(asking, &accept).await {
                    Look::Hit(hit, ..) => return Served::Entry(hit),
                    Look::Miss(newer) => missed = newer,
                }
            }
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
            match flights.join(name, (missed.before.ended, missed.before.epoch), oldest) {
                Joined::Leader(leading) => {
                    self.inner.telemetry.flights.count(FlightRole::Leader);
                    // On the heap: those who follow, of whom there may be thousands, have no room for it.
                    return Box::pin(self.lead(leading, asking, accept, missed, Some(deadline), run)).await;
                }
                Joined::Follower(following) => match self.follows(FlightRole::Follower, following.wait()).await {
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
        self.inner.telemetry.flights.count(FlightRole::Alone);
        let (served, landed) = Box::pin(self.fill(asking, &accept, missed, Stored::Yes(None), run)).await;
        if matches!(landed, Landed::Entry { .. }) {
            flights.set_solitary(name, false);
        }
        served
    }

    /// Runs the handler for an entry that was served at an age, unless somebody is at it or the entry is gone.
    pub(crate) async fn refresh<R, A, F>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        served_at: Duration,
        run: impl FnOnce(Option<Stale>) -> F,
    ) -> Option<Served<R, A>>
    where
        F: Future<Output = Judged<R>>,
    {
        let mut asking = asking.clone();
        // An entry that was only found again is older by now.
        let younger = served_at.saturating_sub(Duration::from_millis(1));
        asking.demand.max_age = Some(asking.demand.max_age.map_or(younger, |most| most.min(younger)));
        match self.look(&asking, &accept).await {
            Look::Hit(hit, ..) => Some(Served::Entry(hit)),
            Look::Miss(missed) => {
                missed.stale.as_ref()?;
                match self.inner.flights.join(asking.key.name(), (missed.before.ended, missed.before.epoch), None) {
                    Joined::Leader(leading) => {
                        self.inner.telemetry.flights.count(FlightRole::Leader);
                        Some(self.lead(leading, &asking, accept, missed, None, run).await)
                    }
                    Joined::Follower(_) => None,
                }
            }
        }
    }

    /// Leads a flight; waits for other nodes until the deadline, or, without one, takes the entry that there is.
    async fn lead<R, A, F>(
        &self,
        leading: Leading<'_>,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        mut missed: Missed,
        deadline: Option<Instant>,
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
                let (served, _) = self.fill(asking, &accept, missed, Stored::Yes(None), run).await;
                (served, Landed::GaveUp)
            }
            Turn::Run { missed, right, stored } => {
                let mut filling = pin!(self.fill(asking, &accept, missed, stored, run));
                // Nobody waits longer than that, and so nobody must be kept from running it instead.
                let (served, landed) = match tokio::time::timeout(self.inner.flights.patience(), &mut filling).await {
                    Ok(filled) => {
                        if let Some(right) = right {
                            right.land(matches!(filled.1, Landed::GaveUp));
                        }
                        filled
                    }
                    Err(_) => {
                        drop(right);
                        filling.await
                    }
                };
                (served, landed)
            }
        };
        self.inner.flights.set_solitary(asking.key.name(), matches!(landed, Landed::GaveUp));
        leading.land(landed);
        served
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
        if let Some((hit, ..)) = self.near(asking, &accept) {
            return Ok(hit);
        }
        match self.look(asking, accept).await {
            Look::Hit(hit, ..) => Ok(hit),
            Look::Miss(Missed { forward: Forward::Bypass, .. }) => {
                Err((Outcome::Bypass { reason: BypassReason::StoreUnavailable }, None))
            }
            Look::Miss(Missed { stamp, forward, stale, .. }) => {
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
