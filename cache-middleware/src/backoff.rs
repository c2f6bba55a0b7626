//! Rests between attempts, each twice as long as the one before.

use std::time::Duration;

/// How long to rest after a failure: the first time, and at most, twice as long after each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    last: Option<Duration>,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, last: None }
    }

    /// The rest after another one.
    pub(crate) fn after(&self, last: Option<Duration>) -> Duration {
        last.map_or(self.first, |last| last.saturating_mul(2).min(self.longest))
    }

    /// The rest after a failure.
    pub(crate) fn rest(&mut self) -> Duration {
        let rest = self.after(self.last);
        self.last = Some(rest);
        rest
    }

    /// An attempt has succeeded.
    pub(crate) fn reset(&mut self) {
        self.last = None;
    }

    /// An attempt has ended that has lasted so long: it has succeeded before, if that is longer than any rest.
    #[cfg(feature = "redis")]
    pub(crate) fn lasted(&mut self, time: Duration) {
        if time > self.longest {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(70));
        let rests: Vec<u128> = (0..4).map(|_| backoff.rest().as_millis()).collect();
        assert_eq!(rests, [20, 40, 70, 70]);
        backoff.reset();
        assert_eq!(backoff.rest().as_millis(), 20);
    }
}
