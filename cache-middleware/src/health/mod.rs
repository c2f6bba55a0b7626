//! Health: healthy, degraded or unhealthy, with reasons, judged over a window.
//!
//! The monitor reads what is counted anyway, asks the store how it is, and compares with [`HealthThresholds`]. It never stands in
//! the way of a request.

mod builder;
mod finding;
mod judge;
mod monitor;
mod thresholds;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

pub use self::builder::CacheHealthMonitorBuilder;
pub use self::finding::{Finding, HealthReason, HealthVerdict};
use self::monitor::{Ended, Shared};
pub use self::thresholds::{HealthThresholds, Limits};
use crate::manager::CacheManager;
use crate::store::Condition;
use crate::telemetry::Traffic;

/// What a check has found.
///
/// ```
/// use cache_middleware::{CacheHealthMonitor, CacheManager, HealthVerdict};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let monitor = CacheHealthMonitor::builder().start(&cache)?;
/// let health = monitor.check().await;
/// assert_eq!(health.verdict, HealthVerdict::Healthy, "{:?}", health.reasons);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Health {
    /// The verdict.
    pub verdict: HealthVerdict,
    /// Why it is not better: the worst first, and of those what others may follow from.
    pub reasons: Vec<Finding>,
    /// What happened within the window.
    pub window: Traffic,
    /// What has happened since the manager was built.
    pub total: Traffic,
    /// How the store was; `None`: it did not answer.
    #[serde(skip)]
    pub store: Option<Condition>,
    /// How long the manager has been there.
    #[serde(skip)]
    pub uptime: Duration,
}

/// Checks health at an interval, for as long as a handle is kept.
///
/// ```
/// use cache_middleware::{CacheHealthMonitor, CacheManager, HealthVerdict};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let monitor = CacheHealthMonitor::builder()
///     .interval("30s")
///     .on_change(|health| println!("the cache is {}", health.verdict))
///     .start(&cache)?;
/// let health = monitor.check().await;
/// assert_eq!((health.verdict, health.reasons.len()), (HealthVerdict::Healthy, 0));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone)]
#[must_use = "a monitor ends with its last handle"]
pub struct CacheHealthMonitor {
    shared: Arc<Shared>,
    _task: Arc<Ended>,
}

impl CacheHealthMonitor {
    /// The settings of a monitor.
    pub fn builder() -> CacheHealthMonitorBuilder {
        CacheHealthMonitorBuilder::default()
    }

    /// Checks now, beside the interval.
    pub async fn check(&self) -> Health {
        self.shared.check().await
    }

    /// What the last check has found.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.last().clone()
    }

    /// Told whenever a check has ended.
    #[must_use]
    pub fn checks(&self) -> watch::Receiver<Health> {
        self.shared.checks()
    }

    /// The manager that it watches.
    #[must_use]
    pub fn cache(&self) -> &CacheManager {
        self.shared.cache()
    }
}
