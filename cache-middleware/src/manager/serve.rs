//! Look up, fly, fill: the one path that every response and value takes.

use std::sync::Arc;
use std::time::Duration;

use super::CacheManager;
use crate::entry::{Entry, Payload, Stamp};
use crate::error::{CacheError, StoreError};
use crate::flight::{Joined, Landed};
use crate::key::Key;
use crate::outcome::{BypassReason, Forward, Outcome, RefusalReason};
use crate::store::{Filled, Freshness, Lookup, Target};
use crate::tag::{MAX_TAGS, Mark};

/// How often a request follows before it runs its handler itself.
const MAX_FLIGHTS: usize = 3;

/// How old a flight may be for others to join it when there is no store to ask for clears: the bound within which other
/// nodes' clears take effect.
const BLIND_FLIGHT: Duration = Duration::from_secs(1);

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

/// An entry that the caller accepted, and its place in time.
pub(crate) struct Hit<A> {
    pub(crate) accepted: A,
    pub(crate) age: Duration,
    pub(crate) outcome: Outcome,
}

/// The answer to a request.
pub(crate) enum Served<R, A> {
    /// From an entry.
    Entry(Hit<A>),
    /// From the handler.
    Own { response: R, outcome: Outcome },
}

/// What the look at the store gave.
enum Look<A> {
    Hit(Hit<A>),
    /// The stamp under which a fill may run, and why one must.
    Miss(Stamp, Forward),
}

impl CacheManager {
    /// Answers from the store, from a flight under way, or by running `run`, whichever comes first without breaking a
    /// promise. `accept` says whether an entry is of use to the caller; one that is not counts as a miss.
    ///
    /// `alone` keeps a request out of flights: its response is most likely not for others.
    ///
    /// `run` is polled only if the handler has to run. Dropping this future hands a flight that it leads to another.
    pub(crate) async fn serve<R, A>(
        &self,
        key: &Key,
        accept: impl Fn(&Entry) -> Option<A>,
        alone: bool,
        run: impl Future<Output = Judged<R>>,
    ) -> Served<R, A> {
        let flights = &self.inner.flights;
        let mut last = (self.local_stamp(), Forward::UriMiss);
        for _ in 0..MAX_FLIGHTS {
            let ended = flights.ended(key.name());
            let (stamp, forward) = match self.look(key, &accept).await {
                Look::Hit(hit) => return Served::Entry(hit),
                Look::Miss(stamp, forward) => (stamp, forward),
            };
            last = (stamp, forward);
            if alone || flights.is_solitary(key.name()) {
                break;
            }
            // Without a store to ask, other nodes' clears are not seen: such a flight is joined only while it is young.
            let oldest = (stamp.incarnation == 0).then_some(BLIND_FLIGHT);
            match flights.join(key.name(), ended, oldest) {
                Joined::Leader(leading) => {
                    let mut stamp = stamp;
                    if leading.must_look_again {
                        // The flight that ended meanwhile may have been this key's.
                        match self.look(key, &accept).await {
                            // Dropping the right to lead wakes followers, who find the entry as we did.
                            Look::Hit(hit) => return Served::Entry(hit),
                            Look::Miss(newer, _) => stamp = newer,
                        }
                    }
                    let (served, landed) = self.fill(key, stamp, forward, run).await;
                    flights.set_solitary(key.name(), matches!(landed, Landed::GaveUp));
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
        let (served, landed) = self.fill(key, stamp, forward, run).await;
        if matches!(landed, Landed::Entry { .. }) {
            flights.set_solitary(key.name(), false);
        }
        served
    }

    /// Looks, and leaves it at that: for requests that must not fill an entry, for the reason given.
    pub(crate) async fn peek<A>(
        &self,
        key: &Key,
        accept: impl Fn(&Entry) -> Option<A>,
        reason: RefusalReason,
    ) -> Result<Hit<A>, Outcome> {
        if self.inner.pending.any() {
            return Err(Outcome::Bypass { reason: BypassReason::ClearPending });
        }
        match self.look(key, accept).await {
            Look::Hit(hit) => Ok(hit),
            Look::Miss(_, Forward::Bypass) => Err(Outcome::Bypass { reason: BypassReason::StoreUnavailable }),
            Look::Miss(_, forward) => Err(Outcome::Refused { forward, reason }),
        }
    }

    async fn look<A>(&self, key: &Key, accept: impl Fn(&Entry) -> Option<A>) -> Look<A> {
        // What is in the store may be what the clear that waits is about.
        if self.inner.pending.any() {
            return Look::Miss(self.local_stamp(), Forward::Bypass);
        }
        match self.try_look(key, accept).await {
            Ok(look) => look,
            Err(error) => {
                log::debug!("{} was not looked up: {error}", key.name());
                Look::Miss(self.local_stamp(), Forward::Bypass)
            }
        }
    }

    async fn try_look<A>(&self, key: &Key, accept: impl Fn(&Entry) -> Option<A>) -> Result<Look<A>, StoreError> {
        let Lookup { found, stamp } = self.inner.store.read(key).await?;
        let mut forward = Forward::UriMiss;
        if let Some(found) = found {
            match (found.freshness, accept(&found.entry)) {
                (Freshness::Fresh(left), Some(accepted)) => {
                    let outcome = Outcome::Hit { ttl: left.as_secs() };
                    return Ok(Look::Hit(Hit { accepted, age: found.age, outcome }));
                }
                (Freshness::Stale, _) => forward = Forward::Stale,
                (Freshness::Fresh(_), None) => {}
            }
        }
        let stamp = match stamp {
            Some(stamp) => stamp,
            None => self.inner.store.lease(key).await?.stamp,
        };
        Ok(Look::Miss(stamp, forward))
    }

    /// Runs the handler, and publishes its response under the stamp that was read before it ran.
    async fn fill<R, A>(
        &self,
        key: &Key,
        stamp: Stamp,
        forward: Forward,
        run: impl Future<Output = Judged<R>>,
    ) -> (Served<R, A>, Landed) {
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
        } else {
            match self.inner.store.fill(key, &entry).await {
                Ok(Filled::Stored(at)) => (at, Outcome::Stored { forward }),
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
            stored_at_ms: self.inner.store.now_ms(),
            fresh_for: draft.fresh_for,
            payload: draft.payload,
        })
    }

    /// Publishes what the caller says is current now; says whether it was stored, which it is not if a clear comes at
    /// the same moment. The key is cleared first, so that no fetch that began before can put back what it read.
    pub(crate) async fn publish_value(&self, key: &Key, draft: Draft) -> Result<bool, CacheError> {
        if self.inner.pending.any() {
            return Err(StoreError::Unavailable("a clear has not been acknowledged yet".to_owned()).into());
        }
        self.clear(vec![Target::Key(self.tenant.clone(), key.text().to_owned())]).await?;
        let lease = self.inner.store.lease(key).await?;
        let entry = self.entry(key, lease.stamp, draft);
        Ok(matches!(self.inner.store.fill(key, &entry).await?, Filled::Stored(_)))
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
