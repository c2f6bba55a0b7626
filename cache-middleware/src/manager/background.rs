//! Runs that nobody waits for: so many at a time, and none for ever.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::CacheManager;
use crate::key::Key;

/// How many times as long as anybody waits for a flight.
const PATIENCES: u32 = 6;

/// The right to run a handler that nobody waits for.
#[derive(Debug)]
pub(crate) struct Background {
    permit: OwnedSemaphorePermit,
    longest: Duration,
}

impl Background {
    /// Runs it, and ends it when it takes too long: one that hangs must not take the place of others for ever.
    pub(crate) async fn run(self, running: impl Future) {
        let Self { permit, longest } = self;
        let _ = tokio::time::timeout(longest, running).await;
        drop(permit);
    }
}

impl CacheManager {
    /// The right to run a handler that nobody waits for; `None` if as many run as may.
    pub(crate) fn background(&self) -> Option<Background> {
        let permit = self.inner.background.clone().try_acquire_owned().ok()?;
        Some(Background { permit, longest: self.inner.flights.patience().saturating_mul(PATIENCES) })
    }

    /// The right to go on with the run for a key whose caller has been answered; `None` also if it is of no use to others.
    pub(crate) fn goes_on(&self, key: &Key) -> Option<Background> {
        let flights = &self.inner.flights;
        let useful = flights.is_under_way(key.name()) && !flights.is_solitary(key.name());
        useful.then(|| self.background()).flatten()
    }
}
