//! What a manager counts, and whom it tells.

use std::sync::Arc;

use super::CacheManagerBuilder;
use crate::manager::measure::TenantClasses;
use crate::telemetry::Seen;

impl CacheManagerBuilder {
    /// Calls a function for every hit, on the way of its request: it must be quick, and must not block.
    pub fn on_hit(mut self, hook: impl Fn(&Seen<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.add("hit", hook);
        self
    }

    /// As [`Self::on_hit`], for every answer from an entry that is stale within one of its windows.
    pub fn on_stale(mut self, hook: impl Fn(&Seen<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.add("stale", hook);
        self
    }

    /// As [`Self::on_hit`], for every miss.
    pub fn on_miss(mut self, hook: impl Fn(&Seen<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.add("miss", hook);
        self
    }

    /// As [`Self::on_hit`], for every request that was not looked up.
    pub fn on_bypass(mut self, hook: impl Fn(&Seen<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.add("bypass", hook);
        self
    }

    /// Whether requests are counted and timed. Default: they are, which takes some tens of nanoseconds of each. Without it there is no
    /// hit ratio in the metrics, the health verdict and the dashboard.
    pub fn request_metrics(mut self, on: bool) -> Self {
        self.request_metrics = on;
        self
    }

    /// Has the handlers of a part of the hits run again in the background, such as `0.01`, and compares what they say with what was
    /// served. A difference is one if the same entry still differs in the same way `after` a while, such as `2s`, longer than writes
    /// take from their change to their clear: it is logged, counted (`cache_probes_total`), listed by
    /// [`crate::CacheManager::differences`], and makes the verdict of the health monitor `unhealthy`. Handlers that never say the same
    /// twice, and entries that are stale or have been replaced, are excused. Covers `#[cached]` on handlers,
    /// `cache.response(..)` and `get_or_refresh`; one more run of the handler for each hit that is compared.
    pub fn probe(mut self, part: f64, after: impl Into<String>) -> Self {
        if !(part > 0.0 && part <= 1.0) {
            self.problems.push(format!("probe: {part} is no part of the hits: it is more than 0, and 1 at most"));
        }
        self.probe = Some((part, after.into()));
        self
    }

    /// How many routes, functions and data types are counted by name, those that come first; the others are counted together,
    /// as `other`. Default 500.
    pub fn metric_routes(mut self, most: usize) -> Self {
        self.most_routes = most;
        self
    }

    /// Has requests be counted by a class of their tenant, such as its plan: one of `names`, six at most. Tenants of no class are
    /// counted as `tenant`, requests without one as `none`. Tenants themselves are never labels: there may be too many.
    ///
    /// ```
    /// # use cache_middleware::CacheManager;
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let plan = |tenant: &str| if tenant.starts_with("big-") { "gold" } else { "free" };
    /// CacheManager::builder().tenant_classes(&["gold", "free"], plan).build().await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn tenant_classes(
        mut self,
        names: &[&'static str],
        class_of: impl Fn(&str) -> &'static str + Send + Sync + 'static,
    ) -> Self {
        let classes = TenantClasses { names: names.to_vec(), class_of: Arc::new(class_of) };
        self.problems.extend(classes.problem());
        self.tenant_classes = Some(classes);
        self
    }
}
