//! How entries age.

use std::time::Duration;

use crate::policy::Windows;
use crate::time::Millis;

/// How an entry ages. The windows after freshness are counted from its end.
///
/// ```
/// use std::time::Duration;
///
/// use cache_middleware::entry::Lifetime;
/// use cache_middleware::policy::Windows;
///
/// let windows = Windows { stale: Duration::from_secs(30), ..Windows::DEFAULT };
/// let life = Lifetime::by_policy(Duration::from_secs(60), &windows, false);
/// assert_eq!(life.fresh_left(Duration::from_secs(45)), Duration::from_secs(15));
/// assert_eq!(life.total(), Duration::from_secs(90));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// The age it had already when it was stored (`corrected_initial_age`, RFC 9111 section 4.2.3).
    pub initial_age: Millis,
    /// How long it is fresh from when it was stored.
    pub fresh_for: Millis,
    /// How long it may be served stale while a refresh is under way (RFC 5861 section 3).
    pub stale_while_revalidate: Millis,
    /// How long it may be served stale if the handler fails (RFC 5861 section 4).
    pub stale_if_error: Millis,
    /// How long it is kept to be revalidated.
    pub keep: Millis,
    /// How long its fill took, which is what it costs to have it again.
    pub cost: Millis,
    /// Whether nothing that a request says lets it be served stale (RFC 9111 section 4.2.4).
    pub must_revalidate: bool,
}

impl Lifetime {
    /// Fresh for a time, and then gone.
    #[must_use]
    pub fn fresh(fresh_for: Duration) -> Self {
        Self { fresh_for: fresh_for.into(), ..Self::default() }
    }

    /// What a policy gives: a TTL and its windows. `negative` says that there is nothing to be had, which is remembered
    /// for its own TTL and not beyond.
    #[must_use]
    pub fn by_policy(ttl: Duration, windows: &Windows, negative: bool) -> Self {
        if let Some(negative_ttl) = windows.negative_ttl.filter(|_| negative) {
            return Self::fresh(windows.jittered(negative_ttl));
        }
        Self {
            stale_while_revalidate: windows.stale.into(),
            stale_if_error: windows.stale_if_error.into(),
            ..Self::fresh(windows.jittered(ttl))
        }
    }

    /// The lifetime of what has waited before it was stored.
    #[must_use]
    pub fn after(self, waited: Duration) -> Self {
        let waited = Millis::from(waited).0;
        let later = |time: Millis, by: u64| Millis(time.0.saturating_sub(by));
        let too_old = waited.saturating_sub(self.fresh_for.0);
        Self {
            initial_age: Millis(self.initial_age.0.saturating_add(waited)),
            fresh_for: later(self.fresh_for, waited),
            stale_while_revalidate: later(self.stale_while_revalidate, too_old),
            stale_if_error: later(self.stale_if_error, too_old),
            ..self
        }
    }

    /// How long an entry is held by the store.
    #[must_use]
    pub fn total(&self) -> Duration {
        let stale_for = self.stale_while_revalidate.max(self.stale_if_error).max(self.keep);
        Millis(self.fresh_for.0.saturating_add(stale_for.0)).duration()
    }

    /// How long ago an entry of this age was stored.
    #[must_use]
    pub fn stored_for(&self, age: Duration) -> Duration {
        age.saturating_sub(self.initial_age.duration())
    }

    /// How long an entry of this age is still fresh.
    #[must_use]
    pub fn fresh_left(&self, age: Duration) -> Duration {
        self.fresh_for.duration().saturating_sub(self.stored_for(age))
    }
}
