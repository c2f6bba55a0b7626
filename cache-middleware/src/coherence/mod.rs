//! Coherence: what a node may serve from its own memory, given what it has heard of the others' clears.

mod report;
mod token;
mod view;
#[cfg(test)]
mod view_tests;

use std::fmt;
use std::time::Duration;

pub use self::report::CoherenceReport;
use self::report::Counters;
pub(crate) use self::token::MOST_PARTITIONS;
pub use self::token::{ReadYourWrites, Token};
pub(crate) use self::view::Hold;
use self::view::{Heard, View};
use crate::entry::{MarkList, Stamp};
use crate::error::ConfigError;
use crate::policy::parse_ttl;
use crate::store::{LONGEST_LEASE, Listener, Signal, Target, Told};
use crate::telemetry::Distribution;
use crate::time::Moment;

/// When a clear of one node is in effect on the others.
///
/// ```
/// use cache_middleware::Coherence;
/// use std::time::Duration;
///
/// assert_eq!(Coherence::default(), Coherence::Bounded(Duration::from_secs(1)));
/// assert_eq!("bounded:200ms".parse(), Ok(Coherence::Bounded(Duration::from_millis(200))));
/// assert_eq!("strict".parse(), Ok(Coherence::Strict(Duration::from_secs(1))));
/// assert!("soon".parse::<Coherence>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coherence {
    /// At the latest after so long; typically within a millisecond. A node that cannot prove that it has heard of every
    /// clear that is older than this does not serve from its memory.
    Bounded(Duration),
    /// When it is acknowledged: a clear waits until every node has heard of it, or for the lease of one that does not
    /// answer, which is this long at most.
    Strict(Duration),
}

impl Default for Coherence {
    fn default() -> Self {
        Self::Bounded(Duration::from_secs(1))
    }
}

/// The shortest bound: proofs are asked for four times as often.
const SHORTEST_BOUND: Duration = Duration::from_millis(20);

impl Coherence {
    /// How long a node may serve from its memory after a proof.
    #[must_use]
    pub fn lease(self) -> Duration {
        match self {
            Self::Bounded(lease) | Self::Strict(lease) => lease,
        }
    }

    pub(crate) fn check(self) -> Result<(), String> {
        if (SHORTEST_BOUND..=LONGEST_LEASE).contains(&self.lease()) {
            return Ok(());
        }
        Err(format!("a bound of {:?} is out of range: it is 20ms to 10s", self.lease()))
    }
}

impl fmt::Display for Coherence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if matches!(self, Self::Bounded(_)) { "bounded" } else { "strict" };
        write!(f, "{name}:{}", humantime::format_duration(self.lease()))
    }
}

impl std::str::FromStr for Coherence {
    type Err = ConfigError;

    /// Reads `bounded`, `strict`, or one of them with a duration: `bounded:200ms`.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let (mode, lease) = match text.split_once(':') {
            Some((mode, lease)) => (mode, parse_ttl(lease)?),
            None => (text, Self::default().lease()),
        };
        let coherence = match mode {
            "bounded" => Self::Bounded(lease),
            "strict" => Self::Strict(lease),
            _ => return Err(ConfigError::new(format!("{text:?} is not a coherence: write bounded:1s or strict"))),
        };
        coherence.check().map_err(ConfigError::new)?;
        Ok(coherence)
    }
}

/// The views of all partitions.
#[derive(Debug)]
pub(crate) struct Views {
    views: Box<[View]>,
    bound: Duration,
    counters: Counters,
}

impl Views {
    /// Views of so many partitions, with slots for clears that take about `bytes` in all.
    pub(crate) fn new(partitions: u16, bytes: usize, bound: Duration) -> Self {
        let slots = bytes / size_of::<u64>() / usize::from(partitions.max(1));
        let views = (0..partitions.max(1)).map(|_| View::new(slots)).collect();
        Self { views, bound, counters: Counters::default() }
    }

    fn view(&self, partition: u16) -> &View {
        &self.views[usize::from(partition) % self.views.len()]
    }

    /// Whether an entry that is held may be served.
    pub(crate) fn allows(&self, partition: u16, hold: &Hold, now: Moment) -> bool {
        self.view(partition).allows(hold, now)
    }

    /// What to hold with an entry that no clear up to a stamp covers.
    pub(crate) fn admit(&self, partition: u16, at: Stamp, marks: &MarkList) -> Option<Hold> {
        self.view(partition).admit(at, marks)
    }

    /// Whether every clear up to a stamp has been heard of.
    pub(crate) fn has_seen(&self, partition: u16, at: Stamp) -> bool {
        self.view(partition).has_seen(at)
    }

    pub(crate) fn incarnations(&self) -> impl Iterator<Item = u64> {
        self.views.iter().map(View::incarnation)
    }

    pub(crate) fn incarnation(&self, partition: u16) -> u64 {
        self.view(partition).incarnation()
    }

    /// A clear or an expire of this node, once the store has acknowledged it: in effect before its caller learns of it.
    pub(crate) fn own(&self, stamps: &[Stamp], targets: &[Target]) {
        let told: Vec<Told> = targets
            .iter()
            .map(|target| target.mark().map_or(Told::Many, |mark| Told::Mark((*mark.id).to_owned())))
            .collect();
        let now = Moment::now();
        for (view, at) in self.views.iter().zip(stamps) {
            view.own(*at, &told, now);
        }
    }

    /// From the acknowledgement of clears to their effect here.
    pub(crate) fn delays(&self) -> Distribution {
        self.counters.delays()
    }

    pub(crate) fn report(&self, mode: Coherence) -> CoherenceReport {
        let now = Moment::now();
        let open = self.views.iter().filter(|view| view.is_trusted(now)).count();
        self.counters.report(mode, open, self.views.len())
    }
}

impl Listener for Views {
    fn signal(&self, partition: u16, session: u64, signal: &Signal, late: Duration) {
        let heard = self.view(partition).signal(session, signal);
        self.counters.signal(heard, late);
        if heard == Heard::Voided {
            log::debug!("L1 of partition {partition} is void: a signal is missing, or the store began anew");
        }
    }

    fn malformed(&self, partition: u16, session: u64) {
        if self.view(partition).malformed(session) == Heard::Voided {
            self.counters.malformed();
            log::warn!("something that is no signal came in partition {partition}: L1 is void until the next proof");
        }
    }

    fn proven(&self, partition: u16, session: u64, at: Stamp, since: Moment) {
        let heard = self.view(partition).proven(session, at, since, self.bound);
        self.counters.proven(heard);
    }

    fn closed(&self, partition: u16, session: u64) {
        self.view(partition).closed(session);
    }
}
