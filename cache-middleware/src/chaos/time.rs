//! A clock that is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Millis, TimeSource};

/// Time that runs at another speed than a source, and leaps. It never goes back, as no source may.
///
/// ```
/// use cache_middleware::chaos::ChaosTime;
/// use cache_middleware::time::{ManualTime, TimeSource};
/// use std::time::Duration;
///
/// let source = ManualTime::default();
/// let time = ChaosTime::over(source.clone()).at_speed(150);
/// source.advance(Duration::from_secs(10));
/// assert_eq!(time.now_ms(), 15_000);
/// time.leap(Duration::from_secs(900));
/// assert_eq!(time.now_ms(), 915_000);
/// ```
#[derive(Debug, Clone)]
pub struct ChaosTime {
    source: Arc<dyn TimeSource>,
    percent: u64,
    leapt_ms: Arc<AtomicU64>,
}

impl ChaosTime {
    /// Time as a source has it.
    pub fn over(source: impl TimeSource) -> Self {
        Self { source: Arc::new(source), percent: 100, leapt_ms: Arc::default() }
    }

    /// Runs at so many percent of the source's speed.
    #[must_use]
    pub fn at_speed(self, percent: u64) -> Self {
        Self { percent, ..self }
    }

    /// Leaps ahead.
    pub fn leap(&self, by: Duration) {
        self.leapt_ms.fetch_add(Millis::from(by).0, Ordering::SeqCst);
    }
}

impl TimeSource for ChaosTime {
    fn now_ms(&self) -> u64 {
        self.source.now_ms().saturating_mul(self.percent) / 100 + self.leapt_ms.load(Ordering::SeqCst)
    }
}
