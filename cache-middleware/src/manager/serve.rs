//! Look up, fly, fill: the one path that every response and value takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::CacheManager;
use super::look::{Asking, Hit, Look};
use crate::entry::{Entry, Payload, Stamp};
use crate::error::{CacheError, StoreError};
use crate::flight::{Joined, Landed};
use crate::key::Key;
use crate::outcome::{BypassReason, Forward, Outcome, RefusalReason};
use crate::policy::Holding;
use crate::store::{Filled, FlightRight, TakeOff, Target, Woken};
use crate::tag::{MAX_TAGS, Mark};

/// How often a request follows before it runs its handler itself.
const MAX_FLIGHTS: usize = 3;

/// What a response would be stored as.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) payload: Payload,
    pub(crate) marks: Vec<Mark>,
    pub(crate) fresh_for: Duration,
}

/// A handler's response, judged by the storing rules.
pub(crate) enum Judged<R> {
    Store(R, Draft),
    Refuse(R, RefusalReason),
}

/// The answer to a request.
pub(crate) enum Served<R, A> {
    /// From an entry.
    Entry(Hit<A>),
    /// From the handler.
    Own { response: R, outcome: Outcome },
}

/// Who runs the handler, as far as the other nodes are concerned.
enum Turn<'a, A> {
    /// This node, under a stamp; what it makes may be stored unless others lost patience with somebody who is still at it.
    Run { stamp: Stamp, right: Option<Box<dyn FlightRight + 'a>>, store: bool },
    /// Nobody any more.
    Hit(Hit<A>, Arc<Entry>, Stamp),
    /// Everybody for themselves.
    GaveUp,
}

impl CacheManager {
    /// Answers from memory, from the store, from a flight under way, or by running `run`, whichever comes first without
    /// breaking a promise. `accept` says whether an entry is of use to the caller; one that is not counts as a miss.
    ///
    /// `run` is polled only if the handler has to run. Dropping this future hands a flight that it leads to another.
    pub(crate) async fn serve<R, A>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        run: impl Future<Output = Judged<R>>,
    ) -> Served<R, A> {
        if let Some(hit) = self.near(asking, &accept) {
            return Served::Entry(hit);
        }
        let flights = &self.inner.flights;
        let name = asking.key.name();
        let deadline = Instant::now() + flights.patience();
        let mut last = (self.local_stamp(), Forward::UriMiss);
        for _ in 0..MAX_FLIGHTS {
            let ended = flights.ended(name);
            let (stamp, forward) = match self.look(asking, &accept).await {
                Look::Hit(hit, ..) => return Served::Entry(hit),
                Look::Miss(stamp, forward) => (stamp, forward),
            };
            last = (stamp, forward);
            if asking.alone || flights.is_solitary(name) {
                break;
            }
            // Without a store to ask, other nodes' clears are not seen: such a flight is joined only within the bound in
            // which they take effect, and not at all where they take effect at once, or where the caller knows of one.
            let blind = stamp.incarnation == 0;
            if blind && (asking.holding.strict || asking.token.is_some() || self.is_strict()) {
                break;
            }
            let oldest = blind.then_some(self.lease());
            match flights.join(name, ended, oldest) {
                Joined::Leader(leading) => {
                    let mut stamp = stamp;
                    if leading.must_look_again {
                        // The flight that ended meanwhile may have been this key's.
                        match self.look(asking, &accept).await {
                            Look::Hit(hit, entry, valid_at) => {
                                leading.land(Landed::Entry { entry, valid_at });
                                return Served::Entry(hit);
                            }
                            Look::Miss(newer, _) => stamp = newer,
                        }
                    }
                    let (served, landed) = match self.take_turn(asking, &accept, stamp, deadline).await {
                        Turn::Hit(hit, entry, valid_at) => (Served::Entry(hit), Landed::Entry { entry, valid_at }),
                        Turn::GaveUp => {
                            let stamp = self.local_stamp();
                            let (served, _) = self.fill(asking, stamp, forward, true, run).await;
                            (served, Landed::GaveUp)
                        }
                        Turn::Run { stamp, right, store } => {
                            let (served, landed) = self.fill(asking, stamp, forward, store, run).await;
                            if let Some(right) = right {
                                right.land(matches!(landed, Landed::GaveUp));
                            }
                            (served, landed)
                        }
                    };
                    flights.set_solitary(name, matches!(landed, Landed::GaveUp));
                    leading.land(landed);
                    return served;
                }
                Joined::Follower(following) => match following.wait().await {
                    Landed::Entry { entry, valid_at } if valid_at.covers(stamp) => {
                        if let Some(accepted) = accept(&entry) {
                            let outcome = Outcome::Collapsed { forward };
                            return Served::Entry(Hit { accepted, age: Duration::ZERO, outcome });
                        }
                        break;
                    }
                    Landed::GaveUp => break,
                    // A clear came between that flight's take-off and our arrival, or it was lost.
                    Landed::Entry { .. } | Landed::Lost => {}
                },
            }
        }
        let (stamp, forward) = last;
        let (served, landed) = self.fill(asking, stamp, forward, true, run).await;
        if matches!(landed, Landed::Entry { .. }) {
            flights.set_solitary(name, false);
        }
        served
    }

    /// Waits until no other node runs the handler, at most until the deadline.
    async fn take_turn<'a, A>(
        &'a self,
        asking: &'a Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        stamp: Stamp,
        deadline: Instant,
    ) -> Turn<'a, A> {
        let alone = |stamp| Turn::Run { stamp, right: None, store: true };
        let Some(member) = self.inner.member.as_ref().filter(|_| stamp.incarnation != 0) else { return alone(stamp) };
        let mut stamp = stamp;
        loop {
            let (waiting, right) = match member.take_off(asking.key).await {
                Ok(TakeOff::Wait(waiting)) => (Some(waiting), None),
                Ok(TakeOff::Lead { right, look_again: true }) => (None, Some(right)),
                Ok(TakeOff::Lead { right, look_again: false }) => {
                    return Turn::Run { stamp, right: Some(right), store: true };
                }
                Err(_) => return alone(stamp),
            };
            if let Some(waiting) = waiting {
                match tokio::time::timeout_at(deadline, waiting.0).await {
                    Ok(Woken::LookAgain) => {}
                    Ok(Woken::GaveUp) => return Turn::GaveUp,
                    Err(_) => return Turn::Run { stamp, right: None, store: false },
                }
            }
            match self.look(asking, &accept).await {
                Look::Hit(hit, entry, valid_at) => return Turn::Hit(hit, entry, valid_at),
                Look::Miss(newer, _) => stamp = newer,
            }
            if right.is_some() || stamp.incarnation == 0 {
                return Turn::Run { stamp, right, store: true };
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
        if let Some(hit) = self.near(asking, &accept) {
            return Ok(hit);
        }
        if self.inner.pending.any() {
            return Err(Outcome::Bypass { reason: BypassReason::ClearPending });
        }
        match self.look(asking, accept).await {
            Look::Hit(hit, ..) => Ok(hit),
            Look::Miss(_, Forward::Bypass) => Err(Outcome::Bypass { reason: BypassReason::StoreUnavailable }),
            Look::Miss(_, forward) => Err(Outcome::Refused { forward, reason }),
        }
    }

    /// Runs the handler, and publishes its response under the stamp that was read before it ran.
    async fn fill<R, A>(
        &self,
        asking: &Asking<'_>,
        stamp: Stamp,
        forward: Forward,
        store: bool,
        run: impl Future<Output = Judged<R>>,
    ) -> (Served<R, A>, Landed) {
        let key = asking.key;
        let (response, draft) = match run.await {
            Judged::Store(response, draft) => (response, draft),
            Judged::Refuse(response, reason) => {
                // An error is this request's own; anything else would befall the next leader just as well.
                let landed = if reason == RefusalReason::HandlerError { Landed::Lost } else { Landed::GaveUp };
                return (Served::Own { response, outcome: Outcome::Refused { forward, reason } }, landed);
            }
        };
        let entry = self.entry(key, stamp, draft);
        let refused = |reason| (stamp, Outcome::Refused { forward, reason });
        let (valid_at, outcome) = if self.inner.pending.any() {
            (stamp, Outcome::Bypass { reason: BypassReason::ClearPending })
        } else if stamp.incarnation == 0 {
            refused(RefusalReason::StoreUnavailable)
        } else if !store {
            refused(RefusalReason::WaitedTooLong)
        } else {
            self.note_strict(asking.holding);
            match self.inner.store.fill(key, &entry, asking.holding.strict).await {
                Ok(Filled::Stored(at)) => {
                    self.hold(asking, &entry, at, Duration::ZERO, entry.fresh_for);
                    (at, Outcome::Stored { forward })
                }
                Ok(Filled::Cleared) => refused(RefusalReason::Cleared),
                Ok(Filled::LeaseLost) => refused(RefusalReason::LeaseLost),
                Ok(Filled::TooLarge) => refused(RefusalReason::BodyTooLarge),
                Err(error) => {
                    log::debug!("{} was not stored: {error}", key.name());
                    refused(RefusalReason::StoreUnavailable)
                }
            }
        };
        (Served::Own { response, outcome }, Landed::Entry { entry, valid_at })
    }

    fn entry(&self, key: &Key, stamp: Stamp, mut draft: Draft) -> Arc<Entry> {
        draft.marks.push(key.mark().clone());
        draft.marks.extend(self.tenant.as_ref().map(Mark::tenant));
        Arc::new(Entry {
            stamp,
            key: key.name().clone(),
            marks: draft.marks,
            stored_at_ms: self.inner.store.now_ms(key),
            fresh_for: draft.fresh_for,
            payload: draft.payload,
        })
    }

    fn note_strict(&self, holding: Holding) {
        if holding.strict {
            self.inner.knows_strict.store(true, Ordering::Relaxed);
        }
    }

    /// Publishes what the caller says is current now; says whether it was stored, which it is not if a clear comes at
    /// the same moment. The key is cleared first, so that no fetch that began before can put back what it read.
    pub(crate) async fn publish_value(&self, key: &Key, draft: Draft, holding: Holding) -> Result<bool, CacheError> {
        if self.inner.pending.any() {
            return Err(StoreError::Unavailable("a clear has not been acknowledged yet".to_owned()).into());
        }
        self.clear(vec![Target::Key(self.tenant.clone(), key.text().to_owned())]).await?;
        let lease = self.inner.store.lease(key).await?;
        let entry = self.entry(key, lease.stamp, draft);
        self.note_strict(holding);
        let filled = self.inner.store.fill(key, &entry, holding.strict).await?;
        if let Filled::Stored(at) = filled {
            self.hold(&Asking::new(key, holding), &entry, at, Duration::ZERO, entry.fresh_for);
        }
        Ok(matches!(filled, Filled::Stored(_)))
    }

    /// The marks of a set of tags, duplicates left out; `Err` if there are too many.
    pub(crate) fn marks_of(&self, tags: &[crate::tag::Tag]) -> Result<Vec<Mark>, RefusalReason> {
        let mut distinct: Vec<_> = tags.iter().collect();
        distinct.sort();
        distinct.dedup();
        if distinct.len() > MAX_TAGS {
            return Err(RefusalReason::TooManyTags);
        }
        Ok(distinct.into_iter().map(|tag| Mark::tag(self.tenant.as_ref(), tag)).collect())
    }
}
