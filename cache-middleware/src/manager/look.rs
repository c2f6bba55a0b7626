//! The look at an entry: in the memory of this node, then in the store.

use std::sync::Arc;
use std::time::Duration;

use super::CacheManager;
use crate::coherence::Token;
use crate::entry::{Entry, Stamp};
use crate::error::StoreError;
use crate::key::Key;
use crate::l1::{Near, Seen};
use crate::outcome::{Forward, Outcome, Tier};
use crate::policy::Holding;
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
}

impl<'a> Asking<'a> {
    /// For a key, with nothing special about it.
    pub(crate) fn new(key: &'a Key, holding: Holding) -> Self {
        Self { key, holding, token: None, alone: false }
    }
}

/// An entry that the caller accepted, and its place in time.
pub(crate) struct Hit<A> {
    pub(crate) accepted: A,
    pub(crate) age: Duration,
    pub(crate) outcome: Outcome,
}

/// What the look at the store gave.
pub(super) enum Look<A> {
    /// An entry, and the clock at which no clear covered it.
    Hit(Hit<A>, Arc<Entry>, Stamp),
    /// The stamp under which a fill may run, and why one must.
    Miss(Stamp, Forward),
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
        let outcome = Outcome::Hit { ttl: fresh_for.as_secs(), tier: Tier::L1 };
        accept(&entry).map(|accepted| Hit { accepted, age, outcome })
    }

    fn has_seen(&self, token: &Token, key: &Key) -> bool {
        self.inner.l1.as_ref().is_none_or(|l1| token.is_seen_by(l1.views(), self.inner.store.partition_of(key)))
    }

    /// The look at the store; what is found there is held in memory.
    pub(super) async fn look<A>(&self, asking: &Asking<'_>, accept: impl Fn(&Entry) -> Option<A>) -> Look<A> {
        if self.inner.pending.any() {
            return Look::Miss(self.local_stamp(), Forward::Bypass);
        }
        match self.try_look(asking, accept).await {
            Ok(look) => look,
            Err(error) => {
                log::debug!("{} was not looked up: {error}", asking.key.name());
                Look::Miss(self.local_stamp(), Forward::Bypass)
            }
        }
    }

    async fn try_look<A>(
        &self,
        asking: &Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
    ) -> Result<Look<A>, StoreError> {
        let Lookup { found, stamp } = self.inner.store.read(asking.key).await?;
        let mut forward = Forward::UriMiss;
        if let (Some(found), Some(at)) = (found, stamp) {
            match (found.freshness, accept(&found.entry)) {
                (Freshness::Fresh(left), Some(accepted)) => {
                    self.hold(asking, &found.entry, at, found.age, left);
                    let outcome = Outcome::Hit { ttl: left.as_secs(), tier: Tier::L2 };
                    return Ok(Look::Hit(Hit { accepted, age: found.age, outcome }, found.entry, at));
                }
                (Freshness::Stale, _) => forward = Forward::Stale,
                (Freshness::Fresh(_), None) => {}
            }
        }
        let stamp = match stamp {
            Some(stamp) => stamp,
            None => self.inner.store.lease(asking.key).await?.stamp,
        };
        Ok(Look::Miss(stamp, forward))
    }

    /// Holds an entry in the memory of this node.
    pub(super) fn hold(&self, asking: &Asking<'_>, entry: &Arc<Entry>, at: Stamp, age: Duration, fresh_for: Duration) {
        if let Some(l1) = &self.inner.l1 {
            let hold_for = asking.holding.l1_ttl.unwrap_or(self.inner.l1_ttl);
            l1.put(self.inner.store.partition_of(asking.key), entry, Seen { at, age, fresh_for, hold_for });
        }
    }
}
