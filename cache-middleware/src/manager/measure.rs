//! What a manager counts, and how it is read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;

use super::CacheManager;
use crate::coherence::Coherence;
use crate::map::CacheMap;
use crate::outcome::Outcome;
use crate::store::{Receipt, Target};
use crate::telemetry::{Asker, ClearKind, ClearState, Cleared, MOST_CLASSES, Measured, RecentClear, Sample, metric};
use crate::tenant::Tenant;
use crate::time::Moment;

/// The classes that are always there: of requests without a tenant, and of tenants without a class.
const OWN_CLASSES: [&str; 2] = ["none", "tenant"];

/// Which class a tenant is counted in.
#[derive(Clone)]
pub(super) struct TenantClasses {
    pub(super) names: Vec<&'static str>,
    pub(super) class_of: Arc<dyn Fn(&str) -> &'static str + Send + Sync>,
}

impl fmt::Debug for TenantClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantClasses").field(&self.names).finish()
    }
}

impl TenantClasses {
    /// What is wrong with them.
    pub(super) fn problem(&self) -> Option<String> {
        let most = MOST_CLASSES - OWN_CLASSES.len();
        let clash = self.names.iter().find(|name| OWN_CLASSES.contains(name) || name.is_empty());
        match clash {
            Some(name) => Some(format!(
                "tenant_classes: {name:?} cannot be the name of a class: {} are taken, and a name is not empty",
                OWN_CLASSES.map(|own| format!("{own:?}")).join(" and ")
            )),
            None if self.names.len() > most => {
                Some(format!("tenant_classes: there may be {most} at most, not {}", self.names.len()))
            }
            None => None,
        }
    }
}

/// Each series once.
fn merged(samples: Vec<Sample>) -> Vec<Sample> {
    let mut places: HashMap<_, usize> = HashMap::new();
    let mut all: Vec<Sample> = Vec::with_capacity(samples.len());
    for sample in samples {
        match places.entry((sample.metric.name, sample.labels.clone())) {
            Entry::Occupied(place) => all[*place.get()].take_in(&sample),
            Entry::Vacant(place) => {
                place.insert(all.len());
                all.push(sample);
            }
        }
    }
    all
}

/// From a request on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    since: Option<Moment>,
}

impl CacheManager {
    /// Everything that is counted, as it is at this moment: what `/metrics` shows, with the same names.
    ///
    /// ```
    /// # use cache_middleware::CacheManager;
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = CacheManager::builder().build().await?;
    /// cache.clear_tag("menu").await?;
    /// let samples = cache.samples();
    /// let clears = samples.iter().find(|sample| sample.metric.name == "cache_clears_total").ok_or("no clears")?;
    /// assert_eq!((clears.label("state"), clears.number_of()), (Some("acknowledged"), 1.0));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let inner = &self.inner;
        let mut samples = Vec::new();
        inner.telemetry.samples(|class| self.class_name(class), &mut samples);
        samples.push(Sample::number(&metric::JOURNAL, [], self.journal_length() as u64));
        if let Some(l1) = &inner.l1 {
            l1.measure(inner.coherence, &mut samples);
        }
        let mode = if self.is_strict() { "strict" } else { "bounded" };
        let bound = match inner.coherence {
            Coherence::Bounded(bound) => bound,
            Coherence::Strict(_) => Duration::ZERO,
        };
        samples.push(Sample::gauge(&metric::COHERENCE_BOUND, [mode.into()], bound.as_secs_f64()));
        samples.push(Sample::counter(&metric::REFUSED_VALUES, [], inner.store.refused_values()));
        inner.store.measure(&mut samples);
        for of_type in self.hit_ratios() {
            let labels = |result: &'static str| [of_type.data_type.clone().into(), result.into()];
            samples.push(Sample::counter(&metric::TYPED, labels("hit"), of_type.hits));
            samples.push(Sample::counter(&metric::TYPED, labels("miss"), of_type.misses));
            if let Some(target) = of_type.target {
                samples.push(Sample::gauge(&metric::TYPED_TARGETS, [of_type.data_type.clone().into()], target));
            }
        }
        merged(samples)
    }

    /// The last clears and expires of this node, at most a hundred, the oldest first: those after the one of a number, or all for 0.
    #[must_use]
    pub fn recent_clears(&self, after: u64) -> Vec<RecentClear> {
        self.inner.telemetry.clears.after(after)
    }

    /// How many clears wait in the journal.
    #[must_use]
    pub fn journal_length(&self) -> usize {
        self.inner.journal.len()
    }

    /// What this node calls itself in the store; `None` where it has none to share.
    #[cfg(feature = "dashboard")]
    pub(crate) fn node_name(&self) -> Option<String> {
        Some(self.inner.member.as_ref()?.id().to_string())
    }

    /// Begins with a request.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        Stopwatch { since: self.inner.telemetry.started() }
    }

    /// Notes what became of a request of a route.
    pub(crate) fn note(&self, route: &str, watch: Stopwatch, outcome: &Outcome, age: Option<Duration>) {
        let tenant = self.tenant.as_ref().map(Tenant::as_str);
        let asker = Asker { route, tenant, class: self.class(), since: watch.since };
        self.inner.telemetry.note(&asker, outcome, age);
    }

    /// The tenant whose handle this is.
    #[must_use]
    pub fn tenant_name(&self) -> Option<Tenant> {
        self.tenant.clone()
    }

    /// How often the environment has health be checked.
    pub(crate) fn health_interval(&self) -> Option<Duration> {
        self.inner.health_interval
    }

    /// How long this manager has counted.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.inner.telemetry.counted_for()
    }

    /// Has all that is measured beside the manager ask for what it cannot know by itself.
    pub(crate) async fn look_around(&self) {
        self.inner.telemetry.look().await;
    }

    /// What clears what, by the annotations of the program and the rules of this manager. Routes whose attribute stands above the
    /// annotation are known once they have missed, or written, for the first time.
    #[must_use]
    pub fn map(&self) -> CacheMap {
        let routes = self.inner.routes_of.pin();
        CacheMap::of(&self.inner.rules, |item| routes.get(item).cloned())
    }

    /// Learns under which route an annotated handler is found. There are as many as annotations.
    pub(crate) fn learn_route(&self, item: &'static str, request: &HttpRequest) {
        let routes = self.inner.routes_of.pin();
        if !routes.contains_key(item)
            && let Some(pattern) = request.match_pattern()
        {
            routes.insert(item, format!("{} {pattern}", request.method()));
        }
    }

    /// Has something be measured for as long as it lives.
    pub(crate) fn measure(&self, measured: &Arc<impl Measured + 'static>) {
        self.inner.telemetry.measure(measured);
    }

    /// Counts a clear that has a receipt, or has ended otherwise.
    pub(super) fn count_clear(
        &self,
        (kind, otherwise): (ClearKind, ClearState),
        targets: &[Target],
        began: Moment,
        receipt: Option<&Receipt>,
    ) {
        let state = receipt.map_or(otherwise, |_| ClearState::Acknowledged);
        let (covered, nodes_told) = receipt.map_or((0, 0), |receipt| (receipt.covered, receipt.told));
        let took = Some(Moment::now().since(began));
        self.inner.telemetry.clears.note(&Cleared { kind, state, targets, covered, nodes_told, took });
    }

    /// The class of this handle's tenant.
    fn class(&self) -> usize {
        let Some(tenant) = &self.tenant else { return 0 };
        let Some(classes) = &self.inner.tenant_classes else { return 1 };
        // One that panics must not fail the request.
        let class = catch_unwind(AssertUnwindSafe(|| (classes.class_of)(tenant.as_str()))).unwrap_or_default();
        classes.names.iter().position(|name| *name == class).map_or(1, |place| place + OWN_CLASSES.len())
    }

    fn class_name(&self, class: usize) -> &'static str {
        match class.checked_sub(OWN_CLASSES.len()) {
            None => OWN_CLASSES[class],
            Some(place) => {
                let classes = self.inner.tenant_classes.as_ref();
                classes.and_then(|classes| classes.names.get(place)).copied().unwrap_or(OWN_CLASSES[1])
            }
        }
    }
}
