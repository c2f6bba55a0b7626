//! What the cache tells of itself: counted where it happens, in this process, and read as samples.
//!
//! The counters here are the only ones: `/metrics`, the health monitor, the dashboard and hooks are views of them, so their numbers
//! agree. Adding to one costs some nanoseconds and takes no lock, whether or not anybody looks.

mod cells;
mod clears;
#[cfg(feature = "redis")]
mod commands;
mod counts;
mod histogram;
mod hooks;
pub(crate) mod metric;
mod routes;
mod traffic;

use std::cell::Cell;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

pub(crate) use self::cells::Cells;
pub(crate) use self::clears::{ClearCounts, Cleared};
pub use self::clears::{ClearKind, ClearState, RecentClear};
#[cfg(feature = "redis")]
pub(crate) use self::commands::StoreCounts;
pub use self::counts::Compared;
pub(crate) use self::counts::{FlightCounts, FlightRole, ProbeCounts};
pub use self::histogram::Distribution;
pub(crate) use self::histogram::Histogram;
pub(crate) use self::hooks::Hooks;
pub use self::hooks::Seen;
pub use self::metric::{METRICS, Metric, MetricKind, Sample, SampleValue};
pub(crate) use self::routes::MOST_CLASSES;
use self::routes::Routes;
pub use self::traffic::Traffic;
pub(crate) use self::traffic::percentage;
use crate::outcome::{Outcome, RefusalReason, Tier, Verdict};
use crate::time::Moment;

/// One hit in so many is timed: reading the time twice costs more than all else that is counted of it.
const TIMED: u32 = 8;

/// So many routes have names of their own unless said otherwise.
pub(crate) const MOST_ROUTES: usize = 500;

/// Something beside the manager that has numbers: a queue, a warmer, critical data.
pub(crate) trait Measured: Send + Sync {
    /// Adds its samples.
    fn measure(&self, samples: &mut Vec<Sample>);

    /// Asks for what it cannot know by itself, from time to time: the health monitor has it do that.
    fn look(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}

/// The counters of a manager.
#[derive(Debug)]
pub(crate) struct Telemetry {
    since: Moment,
    counts_requests: bool,
    pub(crate) routes: Routes,
    hits: [Histogram; 2],
    ages: Histogram,
    filled: Cells<1>,
    refused: Cells<{ RefusalReason::ALL.len() }>,
    pub(crate) flights: FlightCounts,
    pub(crate) clears: ClearCounts,
    pub(crate) probes: ProbeCounts,
    swept: Cells<1>,
    hooks: Hooks,
    measured: MeasuredList,
}

#[derive(Default)]
struct MeasuredList(Mutex<Vec<Weak<dyn Measured>>>);

impl std::fmt::Debug for MeasuredList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MeasuredList")
    }
}

/// Who asked, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// The route, or what stands for it.
    pub(crate) route: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) class: usize,
    /// From when on it is timed, if it is.
    pub(crate) since: Option<Moment>,
}

impl Telemetry {
    pub(crate) fn new(counts_requests: bool, most_routes: usize, hooks: Hooks) -> Self {
        Self {
            since: Moment::now(),
            counts_requests,
            routes: Routes::new(most_routes),
            hits: std::array::from_fn(|_| Histogram::of_requests()),
            ages: Histogram::of_ages(),
            filled: Cells::new(),
            refused: Cells::new(),
            flights: FlightCounts::default(),
            clears: ClearCounts::default(),
            probes: ProbeCounts::default(),
            swept: Cells::single(),
            hooks,
            measured: MeasuredList::default(),
        }
    }

    /// The time, if the request that begins now is to be timed.
    pub(crate) fn started(&self) -> Option<Moment> {
        thread_local!(static TURN: Cell<u32> = const { Cell::new(0) });
        let turn = || TURN.with(|turn| turn.replace(turn.get().wrapping_add(1))).is_multiple_of(TIMED);
        (!self.hooks.is_empty() || (self.counts_requests && turn())).then(Moment::now)
    }

    /// Notes what became of a request.
    pub(crate) fn note(&self, asker: &Asker<'_>, outcome: &Outcome, age: Option<Duration>) {
        if self.counts_requests {
            self.count(asker, outcome, age);
        }
        if !self.hooks.is_empty() {
            let took = asker.since.map(|since| Moment::now().since(since)).unwrap_or_default();
            let Asker { route, tenant, .. } = *asker;
            self.hooks.tell(&Seen { route, tenant, verdict: outcome.verdict(), outcome, age, took });
        }
    }

    fn count(&self, asker: &Asker<'_>, outcome: &Outcome, age: Option<Duration>) {
        self.routes.with(asker.route, |route| route.count(asker.class, outcome.place()));
        if let Some(age) = age {
            self.ages.record(age);
        }
        if let (Outcome::Hit { tier, .. }, Some(since)) = (outcome, asker.since) {
            self.hits[usize::from(*tier == Tier::L2)].record(Moment::now().since(since));
        }
    }

    /// Notes how long the handler of a route ran.
    pub(crate) fn ran(&self, route: &str, took: Duration) {
        self.routes.with(route, |route| route.ran(took));
    }

    /// How long it has counted.
    pub(crate) fn counted_for(&self) -> Duration {
        Moment::now().since(self.since)
    }

    pub(crate) fn filled(&self) {
        self.filled.add(0, 1);
    }

    pub(crate) fn refused(&self, reason: RefusalReason) {
        self.refused.add(reason as usize, 1);
    }

    pub(crate) fn swept(&self, visited: u64) {
        self.swept.add(0, visited);
    }

    /// Has something be measured for as long as it lives.
    pub(crate) fn measure(&self, measured: &Arc<impl Measured + 'static>) {
        let weak: Weak<dyn Measured> = Arc::downgrade(measured) as Weak<dyn Measured>;
        let mut list = self.measured.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|measured| measured.strong_count() > 0);
        list.push(weak);
    }

    /// Everything that was counted here; `class` names a class of tenants.
    pub(crate) fn samples(&self, class: impl Fn(usize) -> &'static str, samples: &mut Vec<Sample>) {
        for route in self.routes.all() {
            for (place, counts) in route.counts() {
                for (verdict, count) in Verdict::ALL.iter().zip(counts).filter(|(_, count)| *count > 0) {
                    let Verdict { outcome, tier, reason } = *verdict;
                    let name = route.name().to_string().into();
                    let labels = [name, class(place).into(), outcome.into(), tier.into(), reason.into()];
                    samples.push(Sample::counter(&metric::REQUESTS, labels, count));
                }
            }
            if let Some(handler) = route.handler() {
                samples.push(Sample::histogram(&metric::HANDLERS, [route.name().to_string().into()], handler));
            }
        }
        for (tier, hits) in [Tier::L1, Tier::L2].into_iter().zip(&self.hits) {
            samples.push(Sample::histogram(&metric::HITS, [tier.token().into()], hits.read()));
        }
        samples.push(Sample::histogram(&metric::AGES, [], self.ages.read()));
        samples.push(Sample::counter(&metric::FILLS, [], self.filled.sums()[0]));
        for (reason, count) in RefusalReason::ALL.iter().zip(self.refused.sums()).filter(|(_, count)| *count > 0) {
            samples.push(Sample::counter(&metric::REFUSED_FILLS, [reason.token().into()], count));
        }
        self.flights.samples(samples);
        // Also those that there were none of: the first of a series that begins with it is no increase.
        for (kind, state, count) in self.clears.states() {
            samples.push(Sample::counter(&metric::CLEARS, [kind.token().into(), state.token().into()], count));
        }
        samples.push(Sample::counter(&metric::CLEARED, [], self.clears.covered()));
        samples.push(Sample::histogram(&metric::CLEAR_TIMES, [], self.clears.took()));
        samples.push(Sample::counter(&metric::SWEPT, [], self.swept.sums()[0]));
        self.probes.samples(samples);
        for measured in self.measured() {
            measured.measure(samples);
        }
    }

    /// Has all that is measured ask for what it cannot know by itself.
    pub(crate) async fn look(&self) {
        let measured = self.measured();
        join_all(measured.iter().map(|measured| measured.look())).await;
    }

    fn measured(&self) -> Vec<Arc<dyn Measured>> {
        let list = self.measured.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter_map(Weak::upgrade).collect()
    }
}
