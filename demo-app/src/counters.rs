//! How often each handler's body really ran.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts runs, and holds each run for the time that `DEMO_DELAY_MS` says.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    delay: Duration,
}

impl Runs {
    pub(crate) fn new(delay: Duration) -> Self {
        Self { counts: Mutex::default(), delay }
    }

    /// To be called first thing in a handler's body.
    pub(crate) fn count(&self, handler: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(handler).or_default() += 1;
    }

    /// To be awaited between the database and the answer.
    pub(crate) async fn hold(&self) {
        if !self.delay.is_zero() {
            actix_web::rt::time::sleep(self.delay).await;
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
