//! The circuit breaker: of those who ask a service that does not answer, one is let through every so often.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::Breaker;

/// How long a service rests that does not answer.
const REST: Duration = Duration::from_secs(1);

pub(super) struct Gate {
    breaker: Breaker,
    /// When the next may try.
    next: Mutex<Option<Instant>>,
}

/// The right to ask, and the duty to say how it went. One that is dropped has said nothing.
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(super) fn new() -> Self {
        // How long an answer took does not matter here: who asks has a limit.
        Self { breaker: Breaker::new(Duration::MAX), next: Mutex::new(None) }
    }

    pub(super) fn enter(&self) -> Option<Pass<'_>> {
        if self.breaker.is_open() {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if next.is_some_and(|next| now < next) {
                return None;
            }
            *next = Some(now + REST);
        }
        Some(Pass(self))
    }
}

impl Pass<'_> {
    pub(super) fn went_well(self) {
        if !self.0.breaker.probed(Duration::ZERO) {
            self.0.breaker.note(false);
        }
    }

    /// Says whether that has closed the gate.
    pub(super) fn went_badly(self) -> bool {
        let closed = self.0.breaker.note(true);
        if closed {
            *self.0.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_tries_a_service_that_does_not_answer() {
        let gate = Gate::new();
        let closed: Vec<bool> = (0..5).map(|_| gate.enter().unwrap().went_badly()).collect();
        assert_eq!(closed, [false, false, false, false, true]);
        assert!(gate.enter().is_none());
        tokio::time::advance(REST).await;
        let probe = gate.enter().unwrap();
        assert!(gate.enter().is_none(), "one at a time");
        probe.went_badly();
        assert!(gate.enter().is_none());
        tokio::time::advance(REST).await;
        gate.enter().unwrap().went_well();
        assert!(gate.enter().is_some() && gate.enter().is_some());
    }
}
