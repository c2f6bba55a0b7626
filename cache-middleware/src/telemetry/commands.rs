//! Commands to a store over a network, counted by how they ended.

use std::time::Duration;

use super::cells::Cells;
use super::histogram::{Distribution, Histogram};

/// Commands to a store.
#[derive(Debug)]
pub(crate) struct StoreCounts {
    results: Cells<3>,
    took: Histogram,
}

impl Default for StoreCounts {
    fn default() -> Self {
        Self { results: Cells::new(), took: Histogram::of_requests() }
    }
}

impl StoreCounts {
    /// One that was answered, with what was asked for or with a no.
    pub(crate) fn answered(&self, took: Duration, failed: bool) {
        self.results.add(if failed { 2 } else { 0 }, 1);
        self.took.record(took);
    }

    /// One that was not.
    pub(crate) fn unavailable(&self) {
        self.results.add(1, 1);
    }

    /// How many ended with an answer, without one, and with a no.
    pub(crate) fn results(&self) -> [(&'static str, u64); 3] {
        let [ok, unavailable, failed] = self.results.sums();
        [("ok", ok), ("unavailable", unavailable), ("failed", failed)]
    }

    pub(crate) fn took(&self) -> Distribution {
        self.took.read()
    }
}
