//! A source of elapsed time, so that tests can move it by hand.
//!
//! It only measures how old an entry is. What is *newer than what* is decided by the store's clock, a counter
//! (see [`crate::store`]), never by time.

use std::fmt;
use std::time::Instant;

/// Milliseconds since some fixed point of this process; never goes back.
pub trait TimeSource: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since the source's fixed point.
    fn now_ms(&self) -> u64;
}

/// The monotonic time of the machine.
#[derive(Debug, Clone)]
pub struct MonotonicTime {
    origin: Instant,
}

impl Default for MonotonicTime {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl TimeSource for MonotonicTime {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Time that stands still until a test moves it.
///
/// ```
/// use cache_middleware::time::{ManualTime, TimeSource};
/// use std::time::Duration;
///
/// let time = ManualTime::default();
/// time.advance(Duration::from_secs(2));
/// assert_eq!(time.now_ms(), 2_000);
/// ```
#[cfg(feature = "test-util")]
#[derive(Debug, Clone, Default)]
pub struct ManualTime {
    now_ms: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

#[cfg(feature = "test-util")]
impl ManualTime {
    /// Moves time forward.
    pub fn advance(&self, by: std::time::Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.now_ms.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(feature = "test-util")]
impl TimeSource for ManualTime {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(std::sync::atomic::Ordering::SeqCst)
    }
}
