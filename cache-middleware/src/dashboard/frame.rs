//! What the page is told each second.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::health::{Health, HealthVerdict};
use crate::manager::CacheManager;
use crate::telemetry::{Distribution, RecentClear, Sample, SampleValue, Traffic, percentage};
use crate::time::Millis;

/// So many routes are shown: those with the most requests.
const MOST_ROUTES: usize = 20;

/// A second of a cache.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Frame {
    /// The how-manieth second it is.
    second: u64,
    uptime_ms: u64,
    /// What has happened in it.
    within: Traffic,
    /// What has happened since the start.
    total: Traffic,
    hit_rate: Option<f64>,
    error_rate: Option<f64>,
    /// Milliseconds, of what has happened in it.
    latency: Latency,
    /// The same of all since the start.
    overall: Latency,
    gauges: BTreeMap<&'static str, f64>,
    coherence: Option<Coherence>,
    store: String,
    health: Told,
    routes: Vec<RouteLine>,
    clears: Vec<ClearLine>,
}

#[derive(Debug, Serialize)]
struct Latency {
    l1: Quantiles,
    l2: Quantiles,
    handler: Quantiles,
}

impl Latency {
    fn of(traffic: &Traffic) -> Self {
        let [l1, l2] = &traffic.hit_times;
        Self { l1: Quantiles::of(l1), l2: Quantiles::of(l2), handler: Quantiles::of(&traffic.handler_times) }
    }
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Quantiles {
    fn of(times: &Distribution) -> Self {
        let ms = |part| times.quantile(part).map(|seconds| seconds * 1_000.0);
        Self { p50: ms(0.5), p99: ms(0.99) }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Coherence {
    mode: String,
    open: usize,
    partitions: usize,
    signals: u64,
    voided: u64,
    delay_median_ms: f64,
    delay_p99_ms: f64,
}

#[derive(Debug, Serialize)]
struct Told {
    verdict: HealthVerdict,
    reasons: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteLine {
    route: String,
    requests: u64,
    hit_rate: Option<f64>,
    handler_p50: Option<f64>,
    handler_p99: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClearLine {
    number: u64,
    kind: &'static str,
    state: &'static str,
    targets: Vec<String>,
    more: usize,
    covered: u64,
    nodes_told: u64,
    took_ms: f64,
    ago_ms: u64,
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

impl ClearLine {
    fn of(clear: RecentClear) -> Self {
        Self {
            number: clear.number,
            kind: clear.kind.token(),
            state: clear.state.token(),
            targets: clear.targets,
            more: clear.more,
            covered: clear.covered,
            nodes_told: clear.nodes_told,
            took_ms: ms(clear.took),
            ago_ms: Millis::from(clear.ago).0,
        }
    }
}

/// The last clears, for a page that is opened.
pub(super) fn last_clears(cache: &CacheManager) -> Vec<ClearLine> {
    cache.recent_clears(0).into_iter().map(ClearLine::of).collect()
}

/// What a page is told of which it has seen the seconds and clears before.
pub(super) struct Collector {
    second: u64,
    before: Traffic,
    clears: u64,
}

impl Collector {
    pub(super) fn new() -> Self {
        Self { second: 0, before: Traffic::default(), clears: 0 }
    }

    pub(super) fn next(&mut self, cache: &CacheManager, health: &Health) -> Frame {
        let samples = cache.samples();
        let total = Traffic::of(&samples);
        let within = total.since(&self.before);
        self.before = total.clone();
        self.second += 1;
        let clears = cache.recent_clears(self.clears);
        self.clears = clears.last().map_or(self.clears, |clear| clear.number);
        let gauge = |sample: &Sample| match sample.value {
            SampleValue::Gauge(value) if sample.metric.labels.is_empty() && value.is_finite() => {
                Some((sample.metric.name, value))
            }
            _ => None,
        };
        Frame {
            second: self.second,
            uptime_ms: Millis::from(cache.uptime()).0,
            hit_rate: within.hit_rate(),
            error_rate: within.error_rate(),
            latency: Latency::of(&within),
            overall: Latency::of(&total),
            gauges: samples.iter().filter_map(gauge).collect(),
            coherence: cache.coherence().map(|report| Coherence {
                mode: report.mode.to_string(),
                open: report.open,
                partitions: report.partitions,
                signals: report.signals,
                voided: report.voided,
                delay_median_ms: ms(report.delay_median),
                delay_p99_ms: ms(report.delay_p99),
            }),
            store: cache.store().describe(),
            health: Told { verdict: health.verdict, reasons: health.reasons.iter().map(ToString::to_string).collect() },
            routes: routes(&samples),
            clears: clears.into_iter().map(ClearLine::of).collect(),
            within,
            total,
        }
    }
}

fn routes(samples: &[Sample]) -> Vec<RouteLine> {
    let mut counts: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    let mut handlers: BTreeMap<&str, &Distribution> = BTreeMap::new();
    for sample in samples {
        let Some(route) = sample.label("route") else { continue };
        match (&sample.value, sample.label("outcome")) {
            (SampleValue::Counter(count), Some(outcome)) => {
                let of_route = counts.entry(route).or_default();
                let place = match outcome {
                    "hit" | "stale" => 0,
                    "miss" => 1,
                    _ => 2,
                };
                of_route[place] += count;
            }
            (SampleValue::Histogram(times), _) => drop(handlers.insert(route, times)),
            _ => {}
        }
    }
    let line = |(route, [found, missed, passed]): (&str, [u64; 3])| {
        let handler =
            |part| handlers.get(route).and_then(|times| times.quantile(part)).map(|seconds| seconds * 1_000.0);
        RouteLine {
            route: route.to_owned(),
            requests: found + missed + passed,
            hit_rate: percentage(found, found + missed),
            handler_p50: handler(0.5),
            handler_p99: handler(0.99),
        }
    };
    let mut lines: Vec<RouteLine> = counts.into_iter().map(line).collect();
    lines.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.route.cmp(&b.route)));
    lines.truncate(MOST_ROUTES);
    lines
}
