//! Counters by kinds: flights and probes.

use std::time::Duration;

use super::cells::Cells;
use super::histogram::Histogram;
use super::{Sample, metric};
use crate::outcome::tokens;

tokens! {
    /// The part that a request had in a flight.
    pub(crate) FlightRole {
        /// It ran the handler, for itself and others.
        Leader = "leader",
        /// It waited for a leader on this node.
        Follower = "follower",
        /// It waited for a leader on another node.
        FollowerElsewhere = "follower-elsewhere",
        /// It ran the handler for itself alone.
        Alone = "alone",
    }
}

/// Flights.
#[derive(Debug)]
pub(crate) struct FlightCounts {
    roles: Cells<{ FlightRole::ALL.len() }>,
    waited: Histogram,
}

impl Default for FlightCounts {
    fn default() -> Self {
        Self { roles: Cells::new(), waited: Histogram::of_others() }
    }
}

impl FlightCounts {
    pub(crate) fn count(&self, role: FlightRole) {
        self.roles.add(role as usize, 1);
    }

    pub(crate) fn waited(&self, duration: Duration) {
        self.waited.record(duration);
    }

    pub(super) fn samples(&self, samples: &mut Vec<Sample>) {
        for (role, count) in FlightRole::ALL.iter().zip(self.roles.sums()).filter(|(_, count)| *count > 0) {
            samples.push(Sample::counter(&metric::FLIGHTS, [role.token().into()], count));
        }
        samples.push(Sample::histogram(&metric::FLIGHT_WAITS, [], self.waited.read()));
    }
}

tokens! {
    /// What a probe has found: the handler of a hit ran again, and its response was compared with what was served.
    ///
    /// At work: [`crate::CacheManagerBuilder::probe`].
    #[non_exhaustive]
    pub Compared {
        /// They are the same.
        Same = "same",
        /// They differ, and the next hit of the entry settles why.
        Suspected = "suspected",
        /// The entry was stale within its window when it was served.
        Stale = "excused-stale",
        /// The entry that was suspected has been replaced meanwhile.
        Cleared = "excused-cleared",
        /// Two runs of the handler differ as well.
        Varying = "excused-varying",
        /// They differ, and nothing excuses it: something has changed that no clear tells of.
        Different = "different",
        /// The handler did not answer with something that could be stored.
        Failed = "failed",
    }
}

/// Probes.
#[derive(Debug)]
pub(crate) struct ProbeCounts(Cells<{ Compared::ALL.len() }>);

impl Default for ProbeCounts {
    fn default() -> Self {
        Self(Cells::single())
    }
}

impl ProbeCounts {
    pub(crate) fn count(&self, compared: Compared) {
        self.0.add(compared as usize, 1);
    }

    pub(super) fn samples(&self, samples: &mut Vec<Sample>) {
        for (compared, count) in Compared::ALL.iter().zip(self.0.sums()) {
            samples.push(Sample::counter(&metric::PROBES, [compared.token().into()], count));
        }
    }
}
