//! Counters of the embedded store.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use crate::store::Counted;
use crate::time::Millis;

/// Beyond so many the least used begin anew.
const MOST: usize = 100_000;

#[derive(Debug)]
pub(super) struct Counters {
    /// Value, and when it ends.
    counters: LruCache<Arc<str>, (i64, u64)>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { counters: LruCache::new(NonZeroUsize::new(MOST).unwrap_or(NonZeroUsize::MIN)) }
    }
}

impl Counters {
    pub(super) fn count(&mut self, name: &Arc<str>, by: i64, window: Duration, now_ms: u64) -> Counted {
        let window_ms = Millis::from(window).0.max(1);
        let running = self.counters.get(name).copied().filter(|(_, ends_ms)| now_ms < *ends_ms);
        let (before, ends_ms) = match running {
            Some(running) => running,
            None if by == 0 => return Counted { value: 0, expires_in: Duration::ZERO },
            None => (0, now_ms.saturating_add(window_ms)),
        };
        let value = before.saturating_add(by);
        self.counters.put(name.clone(), (value, ends_ms));
        Counted { value, expires_in: Duration::from_millis(ends_ms - now_ms) }
    }
}
