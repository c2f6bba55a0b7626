//! Settings of a monitor, checked when it starts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::monitor::Shared;
use super::thresholds::{DEFAULT_INTERVAL, DEFAULT_WINDOW};
use super::{CacheHealthMonitor, Health, HealthThresholds};
use crate::error::CacheError;
use crate::manager::{CacheManager, in_a_runtime};
use crate::policy::duration_of;

/// The shortest interval: each check asks the store some questions.
const SHORTEST: Duration = Duration::from_millis(100);

pub(super) type OnChange = Arc<dyn Fn(&Health) + Send + Sync>;

/// Settings of a [`CacheHealthMonitor`].
///
/// At work: [`crate::HealthThresholds`].
#[derive(Clone, Default)]
#[must_use]
pub struct CacheHealthMonitorBuilder {
    interval: Option<String>,
    window: Option<String>,
    thresholds: HealthThresholds,
    on_change: Vec<OnChange>,
}

impl fmt::Debug for CacheHealthMonitorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheHealthMonitorBuilder").field("thresholds", &self.thresholds).finish_non_exhaustive()
    }
}

impl CacheHealthMonitorBuilder {
    /// How often it checks. Default `30s`, or `CACHE_HEALTH_CHECK_INTERVAL` milliseconds of the manager's environment.
    pub fn interval(mut self, duration: impl Into<String>) -> Self {
        self.interval = Some(duration.into());
        self
    }

    /// Over what time rates are judged. Default `5m`.
    pub fn window(mut self, duration: impl Into<String>) -> Self {
        self.window = Some(duration.into());
        self
    }

    /// What it judges by.
    pub fn thresholds(mut self, thresholds: HealthThresholds) -> Self {
        self.thresholds = thresholds;
        self
    }

    /// Calls a function when the verdict is another one than before: for alerts. The log has a line as well. It must not block.
    pub fn on_change(mut self, hook: impl Fn(&Health) + Send + Sync + 'static) -> Self {
        self.on_change.push(Arc::new(hook));
        self
    }

    /// Starts it, within the Tokio runtime that lives as long as the service. The first check is after an interval, or after 2 s if that is sooner.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if a setting is not one.
    pub fn start(self, cache: &CacheManager) -> Result<CacheHealthMonitor, CacheError> {
        in_a_runtime()?;
        let interval = match &self.interval {
            Some(text) => duration_of("interval", text)?,
            None => cache.health_interval().unwrap_or(DEFAULT_INTERVAL),
        };
        let window = self.window.as_ref().map_or(Ok(DEFAULT_WINDOW), |text| duration_of("window", text))?;
        if interval < SHORTEST || window < interval {
            return Err(CacheError::Invalid(format!(
                "interval is {interval:?}: a health monitor takes {SHORTEST:?} at least, and at most its window, which is {window:?}"
            )));
        }
        let problems = self.thresholds.problems();
        if !problems.is_empty() {
            return Err(CacheError::Invalid(problems.join("; ")));
        }
        let shared = Arc::new(Shared::new(cache.clone(), (interval, window), self.thresholds, self.on_change));
        cache.measure(&shared);
        Ok(shared.start())
    }
}
