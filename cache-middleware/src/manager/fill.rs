//! The fill: the handler's response becomes an entry, unless a clear came between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::CacheManager;
use super::look::{Asking, Missed, Stale};
use super::serve::{Failure, Judged, Outdated, Served};
use crate::adaptive::Lesson;
use crate::entry::{Entry, Lifetime, MarkRef, Payload, Stamp};
use crate::flight::Landed;
use crate::key::Key;
use crate::outcome::{Outcome, RefusalReason};
use crate::policy::{Holding, Windows};
use crate::store::{Bound, Filled, Filling, Landing, Lookup, Target};
use crate::tag::{MAX_TAGS, Mark};
use crate::time::Moment;

/// How long nothing is kept in the place of a stale entry that must not be served any more.
const NOTHING: Duration = Duration::from_millis(1);

/// How the marks of routes begin, and those of keys.
const ROUTE: &str = "r/";
const KEY: &str = "k/";

/// What a response would be stored as.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) payload: Payload,
    pub(crate) marks: Vec<Mark>,
    pub(crate) life: Lifetime,
    /// Where it is stored, if it is one of several variants.
    pub(crate) variant: Option<Variant>,
    /// Whether it is what was stored before, confirmed by a 304.
    pub(crate) revalidated: bool,
    /// The same in other forms, and the keys of those, in the same partition.
    pub(crate) siblings: Vec<(Key, Payload)>,
    /// Where it comes from, if the handler did not run for it: the clock that its source was made at, and what became of the
    /// request.
    pub(crate) derived: Option<(Stamp, Outcome)>,
}

impl Draft {
    /// Whether it says that there is nothing, and has a lifetime of its own for that.
    fn is_negative_by(&self, windows: &Windows) -> bool {
        windows.negative_ttl.is_some() && self.payload.is_negative()
    }

    /// One that is not fresh for any time yet.
    pub(crate) fn of(payload: Payload) -> Self {
        Self {
            payload,
            marks: Vec::new(),
            life: Lifetime::default(),
            variant: None,
            revalidated: false,
            siblings: Vec::new(),
            derived: None,
        }
    }
}

/// One of several responses to the same request target, told apart by headers of the request.
#[derive(Debug)]
pub(crate) struct Variant {
    /// Its own key, in the partition of the key that was asked for.
    pub(crate) key: Key,
    /// The key of the target, and the names of the headers, to be stored under it.
    pub(crate) base: Key,
    pub(crate) selector: Vec<Arc<str>>,
}

/// Whether a response is stored if it may be.
#[derive(Debug)]
pub(super) enum Stored {
    /// And the flight lands with it, if its store can do that.
    Yes(Option<Landing>),
    No(RefusalReason),
}

impl CacheManager {
    /// Runs the handler, and publishes its response under the stamp that was read before it ran.
    pub(super) async fn fill<R, A, F>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        missed: Missed,
        stored: Stored,
        run: impl FnOnce(Option<Stale>) -> F,
    ) -> (Served<R, A>, Landed)
    where
        F: Future<Output = Judged<R>>,
    {
        let filled = self.run_and_publish(asking, accept, missed, stored, run).await;
        let telemetry = &self.inner.telemetry;
        match &filled.0 {
            Served::Own { outcome: Outcome::Stored { .. } | Outcome::Revalidated { refused: None, .. }, .. } => {
                telemetry.filled();
            }
            Served::Own {
                outcome: Outcome::Refused { reason, .. } | Outcome::Revalidated { refused: Some(reason), .. },
                ..
            } => telemetry.refused(*reason),
            Served::Instead(..) => telemetry.refused(RefusalReason::HandlerError),
            Served::Own { .. } | Served::Entry(_) => {}
        }
        filled
    }

    async fn run_and_publish<R, A, F>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        missed: Missed,
        stored: Stored,
        run: impl FnOnce(Option<Stale>) -> F,
    ) -> (Served<R, A>, Landed)
    where
        F: Future<Output = Judged<R>>,
    {
        let Missed { stamp, forward, stale, .. } = missed;
        let now_ms = || self.inner.store.now_ms(asking.key);
        let (began, began_ms) = (Moment::now(), now_ms());
        let judged = run(stale.clone()).await;
        if !matches!(&judged, Judged::Store(_, draft) if draft.derived.is_some()) {
            self.inner.telemetry.ran(asking.route, Moment::now().since(began));
        }
        let ended_ms = now_ms();
        let took = Duration::from_millis(ended_ms.saturating_sub(began_ms));
        // What befalls a caller who shows credentials says nothing about the others.
        if !asking.alone {
            self.inner.flights.filled(asking.key.name(), matches!(judged, Judged::Failed(..)), ended_ms);
        }
        let (response, mut draft) = match judged {
            Judged::Store(response, draft) => (response, *draft),
            Judged::Refuse(response, reason) => {
                // With all that is made of it, and on all nodes.
                if stale.is_some() && !asking.alone && !reason.is_of_request() {
                    let cleared = self.clear(vec![Target::of_key(asking.key)]).await;
                    if let Err(error) = cleared {
                        log::error!("{}: {error}", asking.key.name());
                    }
                }
                // An error is this request's own; anything else would befall the next leader just as well.
                let landed = if reason == RefusalReason::HandlerError { Landed::Lost } else { Landed::GaveUp };
                return (Served::Own { response, outcome: Outcome::Refused { forward, reason } }, landed);
            }
            Judged::Failed(response, Failure { status, stale_stands_in }) => {
                // What may stand in is as old as it is now.
                let stale = stale.filter(|_| stale_stands_in).map(|stale| stale.after(took));
                let stale = stale.filter(Stale::serves_if_error);
                let hit = stale.as_ref().and_then(|stale| stale.hit(accept, Outcome::StaleIfError { status }));
                return match (hit, stale) {
                    (Some(hit), Some(Stale { entry, age, .. })) => {
                        (Served::Instead(hit, response), Landed::Entry { entry, valid_at: stamp, age })
                    }
                    // The next leader may fare better.
                    _ => {
                        let outcome = Outcome::Refused { forward, reason: RefusalReason::HandlerError };
                        (Served::Own { response, outcome }, Landed::Lost)
                    }
                };
            }
        };
        if draft.derived.is_none() {
            draft.life.cost = took.into();
            if let Some(bounds) = asking.windows.adaptive_ttl
                && !draft.is_negative_by(asking.windows)
            {
                let lesson = Lesson { at_ms: ended_ms, sum: draft.payload.sum(), cost: took, follows: stale.is_some() };
                let policy_ttl = draft.life.fresh_for.duration();
                let ttl = self.inner.learned.filled(asking.key.name(), bounds, policy_ttl, lesson);
                draft.life.fresh_for = asking.windows.jittered(ttl).into();
            }
        }
        let (revalidated, derived, age) = (draft.revalidated, draft.derived, draft.life.initial_age.duration());
        // What is made of an entry may be stored if the entry might be: no clear came since its own handler ran.
        let stamp = derived.map_or(stamp, |(stamp, _)| stamp);
        let (entry, others) = self.entries_of(asking.key, stamp, draft);
        let published = match stored {
            Stored::No(reason) => Err(reason),
            Stored::Yes(_) if stamp.incarnation == 0 => Err(RefusalReason::StoreUnavailable),
            Stored::Yes(landing) => self.publish(asking, &entry, &others, (landing, None)).await,
        };
        if let Some((_, outcome)) = derived {
            let valid_at = published.unwrap_or(stamp);
            return (Served::Own { response, outcome }, Landed::Entry { entry, valid_at, age });
        }
        let (valid_at, outcome) = match published {
            Ok(at) if revalidated => (at, Outcome::Revalidated { forward, refused: None }),
            Ok(at) => (at, Outcome::Stored { forward }),
            Err(reason) if revalidated => (stamp, Outcome::Revalidated { forward, refused: Some(reason) }),
            Err(reason) => (stamp, Outcome::Refused { forward, reason }),
        };
        let landed = if is_shared(&entry) { Landed::Entry { entry, valid_at, age } } else { Landed::GaveUp };
        (Served::Own { response, outcome }, landed)
    }

    /// Stores an entry, after those that lead to it, and lands its flight; gives the clock at which no clear covered it. With a version, what
    /// has the key that is asked for is stored in the place of that alone, and nothing after it if another is there.
    async fn publish(
        &self,
        asking: &Asking<'_>,
        entry: &Arc<Entry>,
        others: &[Arc<Entry>],
        (landing, version): (Option<Landing>, Option<u64>),
    ) -> Result<Stamp, RefusalReason> {
        if let Some(covered) = self.inner.journal.covered()
            && others.iter().chain([entry]).any(|entry| covered.covers(entry))
        {
            return Err(RefusalReason::ClearPending);
        }
        self.note_strict(asking.holding);
        let mut stored = entry.stamp;
        let landing = landing.filter(|_| is_shared(entry));
        for (entry, landing) in others.iter().map(|other| (other, None)).chain([(entry, landing)]) {
            let replaces = version.filter(|_| entry.key == *asking.key.name());
            let filling = Filling { replaces, landing, ..filling(asking, entry, self.inner.tenant_quota) };
            match self.inner.store.fill(asking.key, entry, &filling).await {
                Ok(Filled::Stored(at)) => {
                    self.hold(asking, entry, at, entry.life.initial_age.duration(), entry.life.fresh_for.duration());
                    stored = at;
                }
                Ok(Filled::Cleared | Filled::Superseded) => return Err(RefusalReason::Cleared),
                Ok(Filled::LeaseLost) => return Err(RefusalReason::LeaseLost),
                Ok(Filled::Settling) => return Err(RefusalReason::Settling),
                Ok(Filled::TooLarge) => return Err(RefusalReason::BodyTooLarge),
                Ok(Filled::OverQuota) => return Err(RefusalReason::TenantQuota),
                Ok(Filled::Full(bound)) => {
                    let of_route = filling.bounds.get(bound).is_some_and(|bound| bound.mark.starts_with(ROUTE));
                    return Err(if of_route { RefusalReason::TooManyEntries } else { RefusalReason::TooManyVariants });
                }
                Err(error) => {
                    log::debug!("{} was not stored: {error}", entry.key);
                    return Err(RefusalReason::StoreUnavailable);
                }
            }
        }
        Ok(stored)
    }

    /// Brings a stale entry up to date by what was learned after it was read; by nothing, if it is not to be served again.
    /// Something newer that was stored meanwhile stays.
    pub(crate) async fn update(&self, asking: &Asking<'_>, outdated: Outdated, draft: Option<Draft>) {
        let version = match self.inner.store.read(asking.key).await {
            Ok(Lookup { found: Some(found), .. }) if found.entry == outdated.entry => found.version,
            _ => return,
        };
        let Some(draft) = draft else {
            return self.replace_by_nothing(asking, outdated.stamp, (&outdated.entry, version)).await;
        };
        let (entry, others) = self.entries_of(asking.key, outdated.stamp, draft);
        // What leads to it is there, and may lead further by now.
        let others = if entry.key == *asking.key.name() { &[] } else { &others[..] };
        if let Err(reason) = self.publish(asking, &entry, others, (None, Some(version))).await {
            log::debug!("{} was not brought up to date: {reason}", entry.key);
        }
    }

    /// Puts nothing in the place of a stale entry whose successor must not be stored: it would be served again.
    async fn replace_by_nothing(&self, asking: &Asking<'_>, stamp: Stamp, (stale, version): (&Entry, u64)) {
        let nothing = Arc::new(Entry {
            stamp,
            stored_at_ms: self.inner.store.now_ms(asking.key),
            life: Lifetime::fresh(NOTHING),
            payload: Payload::Value(Bytes::new()),
            ..stale.clone()
        });
        let filling = Filling { strict: asking.holding.strict, replaces: Some(version), ..Filling::default() };
        if let Err(error) = self.inner.store.fill(asking.key, &nothing, &filling).await {
            log::debug!("{} is still stored, but stale: {error}", stale.key);
        }
    }

    /// The entry of a draft, and those that go before it: what selects it if it is a variant, and its other forms.
    pub(super) fn entries_of(&self, key: &Key, stamp: Stamp, mut draft: Draft) -> (Arc<Entry>, Vec<Arc<Entry>>) {
        let stored_at_ms = self.inner.store.now_ms(key);
        let of = |key: &Key, mut marks: Vec<Mark>, life, payload| {
            // A draft of what was stored before has them already.
            let own = [Some(key.mark().clone()), self.tenant.as_ref().map(Mark::tenant)];
            for mark in own.into_iter().flatten() {
                if !marks.contains(&mark) {
                    marks.push(mark);
                }
            }
            Arc::new(Entry {
                stamp,
                key: key.name().clone(),
                marks: marks.iter().collect(),
                stored_at_ms,
                life,
                payload,
            })
        };
        let selector = draft.variant.as_mut().map(|variant| {
            let names = std::mem::take(&mut variant.selector);
            of(&variant.base, Vec::new(), Lifetime::fresh(draft.life.total()), Payload::Selector(names))
        });
        let own = draft.variant.as_ref().map_or(key, |variant| &variant.key);
        let siblings =
            draft.siblings.into_iter().map(|(key, payload)| of(&key, draft.marks.clone(), draft.life, payload));
        let others = selector.into_iter().chain(siblings).collect();
        (of(own, draft.marks, draft.life, draft.payload), others)
    }

    pub(super) fn note_strict(&self, holding: Holding) {
        if holding.strict {
            self.inner.knows_strict.store(true, Ordering::Relaxed);
        }
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

/// What is not to be used without a question is nobody else's answer (RFC 9111 section 5.2.2.4).
fn is_shared(entry: &Entry) -> bool {
    !entry.life.fresh_for.is_zero()
}

/// How an entry is filled that nobody may make too many of.
fn filling(asking: &Asking<'_>, entry: &Entry, quota: Option<u64>) -> Filling {
    let bound_of = |mark: MarkRef<'_>| {
        let bounds = asking.bounds.filter(|_| mark.indexed)?;
        let most = match mark.id {
            id if id.starts_with(ROUTE) => bounds.entries,
            id if id.starts_with(KEY) => bounds.variants,
            _ => return None,
        };
        Some(Bound { mark: mark.id.into(), most })
    };
    let bounds = entry.marks.iter().filter_map(bound_of).collect();
    Filling { strict: asking.holding.strict, bounds, quota, ..Filling::default() }
}
