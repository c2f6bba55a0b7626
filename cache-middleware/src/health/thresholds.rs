//! From where on something is a warning, and from where on it is critical.

use std::time::Duration;

/// Two limits of a number.
///
/// At work: [`crate::HealthThresholds`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Past it the cache is degraded.
    pub warning: f64,
    /// Past it the cache is unhealthy.
    pub critical: f64,
}

impl Limits {
    /// Of a number that should be small, or large: its warning comes before its critical limit.
    #[must_use]
    pub const fn new(warning: f64, critical: f64) -> Self {
        Self { warning, critical }
    }
}

/// What the monitor judges by. The defaults:
///
/// | | warning | critical |
/// | --- | --- | --- |
/// | hit rate, below | 80 % | 60 % |
/// | error rate of commands to the store, above | 1 % | 5 % |
/// | round trip to the store, above | 10 ms | 50 ms |
/// | memory of the store, above | 80 % | 95 % |
/// | clears in the journal, above | 0 | 1,000 |
/// | proof of critical data, older than | 10 s | 60 s |
///
/// ```
/// use cache_middleware::{CacheHealthMonitor, CacheManager, HealthThresholds, Limits};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let mut thresholds = HealthThresholds::default();
/// thresholds.hit_rate = Limits::new(50.0, 20.0); // degraded below 50 %, unhealthy below 20 %
/// let monitor = CacheHealthMonitor::builder().thresholds(thresholds).start(&cache)?;
///
/// thresholds = HealthThresholds::default();
/// thresholds.latency_ms = Limits::new(50.0, 10.0); // critical before it is a warning
/// assert!(CacheHealthMonitor::builder().thresholds(thresholds).start(&cache).is_err());
/// # let _ = monitor;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HealthThresholds {
    /// The percentage of look-ups that find something, of all together.
    pub hit_rate: Limits,
    /// How many look-ups there must be in the window for their rate to say something; so it is with each type's target. Default 100.
    pub least_lookups: u64,
    /// The percentage of commands to the store that fail.
    pub error_rate: Limits,
    /// The round trip to the store in milliseconds.
    pub latency_ms: Limits,
    /// The percentage of its memory that the store uses.
    pub memory: Limits,
    /// Clears that the store has not acknowledged yet.
    pub journal: Limits,
    /// The age in seconds of the proof that critical data are complete.
    pub critical_proof: Limits,
}

impl Default for HealthThresholds {
    fn default() -> Self {
        Self {
            hit_rate: Limits::new(80.0, 60.0),
            least_lookups: 100,
            error_rate: Limits::new(1.0, 5.0),
            latency_ms: Limits::new(10.0, 50.0),
            memory: Limits::new(80.0, 95.0),
            journal: Limits::new(0.0, 1_000.0),
            critical_proof: Limits::new(10.0, 60.0),
        }
    }
}

impl HealthThresholds {
    /// What is wrong with them.
    pub(super) fn problems(&self) -> Vec<String> {
        let below = [("hit_rate", self.hit_rate)];
        let above = [
            ("error_rate", self.error_rate),
            ("latency_ms", self.latency_ms),
            ("memory", self.memory),
            ("journal", self.journal),
            ("critical_proof", self.critical_proof),
        ];
        let backwards = |name: &str, Limits { warning, critical }: Limits| {
            format!("health thresholds: {name} is critical at {critical} before it is a warning at {warning}")
        };
        let small = below.into_iter().filter(|(_, limits)| limits.critical > limits.warning);
        let large = above.into_iter().filter(|(_, limits)| limits.critical < limits.warning);
        let all = below.into_iter().chain(above);
        let bad = all.filter(|(_, limits)| limits.warning.is_nan() || limits.critical.is_nan());
        let bad = bad.map(|(name, _)| format!("health thresholds: {name} is no number"));
        small.chain(large).map(|(name, limits)| backwards(name, limits)).chain(bad).collect()
    }
}

/// How often health is checked unless said otherwise.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// Over what time rates are judged unless said otherwise.
pub(super) const DEFAULT_WINDOW: Duration = Duration::from_secs(300);
