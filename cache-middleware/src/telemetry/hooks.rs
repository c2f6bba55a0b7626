//! What other systems are told of, at once and in words of their own.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::outcome::{Outcome, Verdict};

/// What became of a request, as hooks are told. A hook runs on the way of the request: it must be quick, and must not block.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let misses = Arc::new(AtomicU64::new(0));
/// let counted = misses.clone();
/// let cache = CacheManager::builder()
///     .on_miss(move |seen| {
///         assert_eq!((seen.route, seen.verdict.outcome), ("values", "miss"));
///         counted.fetch_add(1, Ordering::Relaxed);
///     })
///     .build()
///     .await?;
/// cache.get_or_set("menu", &cache.policy("5m")?, async || Ok::<_, std::io::Error>("soup".to_owned())).await?;
/// assert_eq!(misses.load(Ordering::Relaxed), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Seen<'a> {
    /// The pattern of the route, the name of the cached function, or `values`.
    pub route: &'a str,
    /// The tenant, if the request has one.
    pub tenant: Option<&'a str>,
    /// The three words that metrics have for it.
    pub verdict: Verdict,
    /// Everything that is known of it.
    pub outcome: &'a Outcome,
    /// The age of the entry that it was answered from.
    pub age: Option<Duration>,
    /// How long it took.
    pub took: Duration,
}

type Hook = Arc<dyn Fn(&Seen<'_>) + Send + Sync>;

/// The hooks of a manager.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    of: Vec<(&'static str, Hook)>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.of.iter().map(|(outcome, _)| outcome)).finish()
    }
}

impl Hooks {
    /// Adds one for an outcome of [`Verdict::outcome`].
    pub(crate) fn add(&mut self, outcome: &'static str, hook: impl Fn(&Seen<'_>) + Send + Sync + 'static) {
        self.of.push((outcome, Arc::new(hook)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub(crate) fn tell(&self, seen: &Seen<'_>) {
        for (_, hook) in self.of.iter().filter(|(outcome, _)| *outcome == seen.verdict.outcome) {
            // One that panics must not fail the request.
            if catch_unwind(AssertUnwindSafe(|| hook(seen))).is_err() {
                log::error!("a hook for every {} has panicked at {}", seen.verdict.outcome, seen.route);
            }
        }
    }
}
