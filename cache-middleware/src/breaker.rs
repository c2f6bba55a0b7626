//! The circuit breaker of one server: when its commands fail or are slow, nobody asks it until a probe says that it answers
//! again, so that handlers do not wait for it.
//!
//! Who probes is the owner's affair. For Redis it is the task of the connection: a request that probed would pay for it, and of ten
//! requests a second that would be one in ten.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// So many bad commands one after the other open it.
const IN_A_ROW: u32 = 5;
/// So do half of the last so many.
const WINDOW: u32 = 20;

#[derive(Debug)]
pub(crate) struct Breaker {
    /// A probe that takes longer is slow.
    slow: Duration,
    open: AtomicBool,
    recent: Mutex<Recent>,
}

/// The last commands, the newest in the lowest bit.
#[derive(Debug, Default)]
struct Recent {
    bad: u32,
    count: u32,
}

impl Breaker {
    /// For commands with a limit: what takes half of it is slow.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { slow: limit / 2, open: AtomicBool::new(false), recent: Mutex::default() }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Notes whether a command failed or was slow; says whether that has opened it.
    pub(crate) fn note(&self, bad: bool) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.bad = (recent.bad << 1 | u32::from(bad)) & ((1 << WINDOW) - 1);
        recent.count = (recent.count + 1).min(WINDOW);
        let in_a_row = recent.bad.trailing_ones() >= IN_A_ROW;
        let half = recent.count == WINDOW && recent.bad.count_ones() * 2 >= WINDOW;
        (in_a_row || half) && !self.open.swap(true, Ordering::Relaxed)
    }

    /// Notes how long a probe took that was answered; says whether that has closed it.
    pub(crate) fn probed(&self, took: Duration) -> bool {
        let closes = took <= self.slow && self.is_open();
        if closes {
            self.reset();
        }
        closes
    }

    /// Begins anew, as with a new connection.
    pub(crate) fn reset(&self) {
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = Recent::default();
        self.open.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_millis(30);

    fn breaker() -> Breaker {
        Breaker::new(Duration::from_millis(50))
    }

    #[test]
    fn failures_in_a_row_open_it_once() {
        let breaker = breaker();
        for _ in 0..4 {
            assert!(!breaker.note(true));
        }
        assert!(!breaker.note(false));
        let opened: Vec<bool> = (0..6).map(|_| breaker.note(true)).collect();
        assert_eq!(opened, [false, false, false, false, true, false]);
        assert!(breaker.is_open());
    }

    #[test]
    fn every_other_failure_opens_it_and_every_third_does_not() {
        let every_other = breaker();
        assert!((0..20).any(|n| every_other.note(n % 2 == 0)));
        let every_third = breaker();
        assert!(!(0..200).any(|n| every_third.note(n % 3 == 0)));
    }

    #[test]
    fn a_quick_probe_closes_it() {
        let breaker = breaker();
        assert!(!breaker.probed(QUICK), "it was closed");
        for _ in 0..5 {
            breaker.note(true);
        }
        assert!(!breaker.probed(SLOW));
        assert!(breaker.is_open());
        assert!(breaker.probed(QUICK));
        assert!(!breaker.is_open());
        // What was before does not count any more.
        assert!(!breaker.note(true));
    }
}
