//! Sliding: an access begins the TTL of an entry anew.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::CacheManager;
use super::look::Asking;
use crate::entry::{Entry, Lifetime};
use crate::error::StoreError;
use crate::store::{Filled, Filling, Found, Freshness, Lookup};

/// The part of a TTL that is over before an access begins it anew: each time costs two commands.
const STEP: u32 = 10;

/// How long a key rests that could not be renewed.
const REST: Duration = Duration::from_millis(500);

/// The right to renew a key, which nobody else of this node has meanwhile.
struct Turn {
    manager: CacheManager,
    name: Arc<str>,
}

impl Turn {
    fn begin(manager: &CacheManager, name: &Arc<str>) -> Option<Self> {
        let mut sliding = manager.inner.sliding.lock().unwrap_or_else(PoisonError::into_inner);
        sliding.insert(name.clone()).then(|| Self { manager: manager.clone(), name: name.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.manager.inner.sliding.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// How a TTL slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sliding {
    pub(super) ttl: Duration,
    /// The longest since the value was stored, however often it is accessed.
    pub(super) longest: Duration,
}

impl Sliding {
    /// How long an entry of an age would be fresh if its TTL began now.
    fn fresh_for(&self, age: Duration) -> Duration {
        self.ttl.min(self.longest.saturating_sub(age))
    }

    /// Whether an entry of an age, that is fresh for so much longer, is to begin anew.
    pub(super) fn is_due(&self, age: Duration, left: Duration) -> bool {
        let gained = self.fresh_for(age).saturating_sub(left);
        gained >= self.ttl / STEP
    }
}

impl CacheManager {
    /// Has the TTL of an entry begin anew in the background, if it is due: the access does not wait, and is not given up because
    /// this fails. One at a time for a key.
    pub(super) fn slide(&self, asking: &Asking<'_>, sliding: Sliding) {
        let name = asking.key.name();
        let Some(turn) = Turn::begin(self, name) else { return };
        let Some(right) = self.background() else { return };
        let (manager, key, windows, holding) = (self.clone(), asking.key.clone(), *asking.windows, asking.holding);
        self.inner.runtime.spawn(right.run(async move {
            let asking = Asking { windows: &windows, ..Asking::new(&key, holding) };
            if let Err(error) = manager.try_slide(&asking, sliding).await {
                log::debug!("the TTL of {} was not begun anew: {error}", key.name());
                // Its next access would be told the same.
                tokio::time::sleep(REST).await;
            }
            drop(turn);
        }));
    }

    /// It takes the place of the very entry that was read, under the clock of that reading: a clear, an expire or another fill
    /// since then goes before it.
    async fn try_slide(&self, asking: &Asking<'_>, sliding: Sliding) -> Result<(), StoreError> {
        let Lookup { found: Some(found), stamp: Some(at) } = self.inner.store.read(asking.key).await? else {
            return Ok(());
        };
        let Found { entry, freshness: Freshness::Fresh(left), age, version } = found else { return Ok(()) };
        if self.inner.journal.covers(&entry) || !asking.slides(&entry) {
            return Ok(());
        }
        if !sliding.is_due(age, left) {
            // Another access was first, maybe on another node.
            self.hold(asking, &entry, at, age, left);
            return Ok(());
        }
        let life = Lifetime { initial_age: age.into(), fresh_for: sliding.fresh_for(age).into(), ..entry.life };
        let stored_at_ms = self.inner.store.now_ms(asking.key);
        let renewed = Arc::new(Entry { stamp: at, stored_at_ms, life, ..Entry::clone(&entry) });
        let strict = asking.holding.strict;
        let filling = Filling { strict, quota: self.inner.tenant_quota, replaces: Some(version), ..Filling::default() };
        if let Filled::Stored(at) = self.inner.store.fill(asking.key, &renewed, &filling).await? {
            self.hold(asking, &renewed, at, age, life.fresh_for.duration());
        }
        Ok(())
    }
}
