//! The task that checks, and what it remembers.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at};

use super::builder::OnChange;
use super::judge::{Read, Steady, findings, verdict};
use super::{CacheHealthMonitor, Health, HealthReason, HealthThresholds, HealthVerdict};
use crate::manager::CacheManager;
use crate::store::Condition;
use crate::telemetry::{Measured, Sample, Traffic, metric};

/// How soon the first check is at the latest.
const FIRST: Duration = Duration::from_secs(2);
/// Readings that are kept of a window.
const READINGS: u32 = 64;

pub(super) struct Shared {
    cache: CacheManager,
    interval: Duration,
    window: Duration,
    thresholds: HealthThresholds,
    on_change: Vec<OnChange>,
    /// One check at a time.
    memory: Mutex<Memory>,
    last: watch::Sender<Health>,
}

/// What checks before this one have read.
#[derive(Debug)]
struct Memory {
    steady: Steady,
    /// When, and everything that had happened until then.
    readings: VecDeque<(Instant, Traffic)>,
    /// When a check last counted for what gets better.
    calmed: Instant,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheHealthMonitor").field("thresholds", &self.thresholds).finish_non_exhaustive()
    }
}

/// Ends the task when the last handle goes.
#[derive(Debug)]
pub(super) struct Ended(JoinHandle<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    pub(super) fn new(
        cache: CacheManager,
        (interval, window): (Duration, Duration),
        thresholds: HealthThresholds,
        on_change: Vec<OnChange>,
    ) -> Self {
        let last = watch::Sender::new(Health::default());
        // What has happened before is not this monitor's.
        let memory = Mutex::new(Memory::begin(Instant::now(), Traffic::of(&cache.samples())));
        Self { cache, interval, window, thresholds, on_change, memory, last }
    }

    pub(super) fn start(self: Arc<Self>) -> CacheHealthMonitor {
        let every = self.interval;
        let weak: Weak<Self> = Arc::downgrade(&self);
        let task = tokio::spawn(async move {
            // The first one soon, and not before what starts beside it has had a moment.
            let mut ticks = interval_at(Instant::now() + every.min(FIRST), every);
            loop {
                ticks.tick().await;
                let Some(shared) = weak.upgrade() else { return };
                shared.check().await;
            }
        });
        CacheHealthMonitor { shared: self, _task: Arc::new(Ended(task)) }
    }

    pub(super) fn cache(&self) -> &CacheManager {
        &self.cache
    }

    pub(super) fn last(&self) -> watch::Ref<'_, Health> {
        self.last.borrow()
    }

    pub(super) fn checks(&self) -> watch::Receiver<Health> {
        self.last.subscribe()
    }

    pub(super) async fn check(&self) -> Health {
        let mut memory = self.memory.lock().await;
        // All of these have a limit, so that a check ends.
        let condition = self.cache.store().condition().await.ok();
        self.cache.look_around().await;
        let samples = self.cache.samples();
        let (now, total) = (Instant::now(), Traffic::of(&samples));
        let window = memory.window(now, self.window, &total);
        let read = Read { traffic: &window, samples: &samples, condition: condition.as_ref(), total: &total };
        let calms = memory.calms(now, self.interval);
        let reasons = memory.steady.believe(findings(&read, &self.thresholds), calms);
        let health = Health {
            verdict: verdict(&reasons),
            reasons,
            window,
            total,
            store: condition,
            uptime: self.cache.uptime(),
        };
        let before = self.last.send_replace(health.clone());
        if before.verdict != health.verdict {
            self.tell(&health);
        }
        health
    }

    fn tell(&self, health: &Health) {
        let reasons: Vec<String> = health.reasons.iter().map(ToString::to_string).collect();
        match health.verdict {
            HealthVerdict::Unknown | HealthVerdict::Healthy => log::info!("the cache is healthy"),
            HealthVerdict::Degraded => log::warn!("the cache is degraded: {}", reasons.join("; ")),
            HealthVerdict::Unhealthy => log::error!("the cache is unhealthy: {}", reasons.join("; ")),
        }
        for hook in &self.on_change {
            // One that panics must not end the monitor.
            if catch_unwind(AssertUnwindSafe(|| hook(health))).is_err() {
                log::error!("a hook of the health monitor has panicked");
            }
        }
    }
}

impl Memory {
    fn begin(now: Instant, total: Traffic) -> Self {
        Self { steady: Steady::default(), readings: VecDeque::from([(now, total)]), calmed: now }
    }

    /// Whether a check counts for what gets better: not one that somebody asked for just after another.
    fn calms(&mut self, now: Instant, interval: Duration) -> bool {
        let counts = now.duration_since(self.calmed) >= interval / 2;
        if counts {
            self.calmed = now;
        }
        counts
    }

    /// What has happened within a window that ends now, or since the beginning.
    fn window(&mut self, now: Instant, window: Duration, total: &Traffic) -> Traffic {
        // It begins with the newest reading that is older than the window.
        while self.readings.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= window) {
            self.readings.pop_front();
        }
        let within = self.readings.front().map_or_else(|| total.clone(), |(_, earlier)| total.since(earlier));
        // However often somebody asks, so many are kept.
        let last = self.readings.back().map(|(at, _)| now.duration_since(*at));
        if last.is_none_or(|since| since >= window / READINGS) {
            self.readings.push_back((now, total.clone()));
        }
        within
    }
}

impl Measured for Shared {
    fn measure(&self, samples: &mut Vec<Sample>) {
        let health = self.last.borrow();
        let Some(verdict) = health.verdict.number() else { return };
        samples.push(Sample::number(&metric::HEALTH, [], verdict));
        // Also those that are over: what a recorder has been told stays until it is told otherwise.
        for reason in HealthReason::ALL {
            let of_reason = health.reasons.iter().filter(|finding| finding.reason == *reason);
            let worst = of_reason.filter_map(|finding| finding.verdict.number()).max().unwrap_or_default();
            samples.push(Sample::number(&metric::HEALTH_REASONS, [reason.token().into()], worst));
        }
        let store = health.store.as_ref();
        let mut gauge = |metric, value: Option<f64>| samples.push(Sample::gauge(metric, [], value.unwrap_or(f64::NAN)));
        #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
        let number = |of: fn(&Condition) -> u64| store.map(|store| of(store) as f64);
        gauge(&metric::STORE_LATENCY, store.map(|store| store.latency.as_secs_f64()));
        gauge(&metric::STORE_MEMORY, store.and_then(|store| store.memory));
        gauge(&metric::STORE_KEYS, number(|store| store.keys));
        gauge(&metric::INDEX_MEMBERS, number(|store| store.index_members));
        gauge(&metric::SWEEP_BACKLOG, number(|store| store.open_sweeps));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(misses: u64) -> Traffic {
        Traffic { misses, ..Traffic::default() }
    }

    #[test]
    fn a_window_slides() {
        let began = Instant::now();
        let mut memory = Memory::begin(began, traffic(0));
        let seconds = Duration::from_secs;
        for (at, total, expected) in [(0, 5, 5), (4, 7, 7), (8, 8, 8), (10, 9, 9), (14, 19, 12), (30, 19, 0)] {
            let within = memory.window(began + seconds(at), seconds(10), &traffic(total));
            assert_eq!(within.misses, expected, "{at}");
        }
        assert!(memory.readings.len() <= 3, "{}", memory.readings.len());
        for millisecond in 0..10_000 {
            memory.window(began + seconds(40) + Duration::from_millis(millisecond), seconds(10), &traffic(19));
        }
        assert!(memory.readings.len() <= 70, "{}", memory.readings.len());
    }
}
