//! A source of elapsed time, so that tests can move it by hand.
//!
//! It only measures how old an entry is. What is *newer than what* is decided by the store's clock, a counter
//! (see [`crate::store`]), never by time.

use std::fmt;
use std::time::{Duration, Instant};

/// Milliseconds since some fixed point of this process; never goes back.
///
/// ```
/// use cache_middleware::time::{Millis, Moment, MonotonicTime, TimeSource};
/// use std::time::Duration;
///
/// assert!(MonotonicTime::default().now_ms() < 1_000, "it begins with itself");
/// let later = Moment::now().after(Duration::from_secs(60));
/// assert!(later.since(Moment::now()) > Duration::from_secs(50));
/// assert_eq!(Millis::from(Duration::from_micros(1_900)).duration(), Duration::from_millis(1));
/// ```
pub trait TimeSource: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since the source's fixed point.
    fn now_ms(&self) -> u64;
}

/// The monotonic time of the machine.
///
/// At work: [`TimeSource`].
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
        Millis::from(self.origin.elapsed()).0
    }
}

/// A moment on the monotonic time of this machine, in nanoseconds since its start. It goes on while the machine is
/// suspended, so that a lease is over for a node that wakes from a long sleep.
///
/// At work: [`TimeSource`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Before everything.
    pub const ZERO: Self = Self(0);

    /// Now.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[must_use]
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// Now.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[must_use]
    pub fn now() -> Self {
        static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let elapsed = ORIGIN.get_or_init(Instant::now).elapsed();
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// So much later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from an earlier moment to this one; zero if that one is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in whole milliseconds, as stores count them: half the size of a [`Duration`], and the same in every store.
///
/// At work: [`TimeSource`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// What is beyond the last whole millisecond is left out.
impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
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
    pub fn advance(&self, by: Duration) {
        let by = Millis::from(by).0;
        self.now_ms.fetch_add(by, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(feature = "test-util")]
impl TimeSource for ManualTime {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(std::sync::atomic::Ordering::SeqCst)
    }
}
