//! From numbers to findings, and from findings to a verdict that does not flicker.

use std::collections::BTreeMap;

use super::finding::{Finding, HealthReason, HealthVerdict};
use super::thresholds::{HealthThresholds, Limits};
use crate::store::Condition;
use crate::telemetry::{Sample, Traffic, metric, percentage};

/// So many checks in a row must find something better before the verdict is.
const CALM: u32 = 2;

/// So many commands there must be for their rate of errors to say something.
const LEAST_COMMANDS: u64 = 20;

/// What a check has read.
#[derive(Debug)]
pub(super) struct Read<'a> {
    /// What happened within the window.
    pub(super) traffic: &'a Traffic,
    /// What has happened at all.
    pub(super) total: &'a Traffic,
    /// Everything as it is now.
    pub(super) samples: &'a [Sample],
    /// How the store is; `None`: it did not answer.
    pub(super) condition: Option<&'a Condition>,
}

/// Everything that is past a limit.
pub(super) fn findings(read: &Read<'_>, thresholds: &HealthThresholds) -> Vec<Finding> {
    let Read { traffic, total, samples, condition } = read;
    let mut found = Vec::new();
    let gauge = |metric| samples.iter().find(|sample| sample.metric == metric).map(Sample::number_of);
    let percent = |metric| gauge(metric).map(|part| part * 100.0);
    let spoken = traffic.lookups() >= thresholds.least_lookups;
    found.extend(below(HealthReason::HitRate, traffic.hit_rate().filter(|_| spoken), thresholds.hit_rate));
    for sample in samples.iter().filter(|sample| *sample.metric == metric::TYPED_TARGETS) {
        let name = sample.label("type").unwrap_or_default();
        let [hits, misses] = traffic.by_type.get(name).copied().unwrap_or_default();
        let spoken = hits + misses >= thresholds.least_lookups;
        let rate = percentage(hits, hits + misses).filter(|_| spoken);
        // Its target is what somebody wishes for, so that missing it is never critical.
        let target = Limits::new(sample.number_of() * 100.0, f64::NEG_INFINITY);
        let of_type = |finding| Finding { subject: Some(name.to_owned()), ..finding };
        found.extend(below(HealthReason::TypeHitRate, rate, target).map(of_type));
    }
    let spoken = traffic.commands >= LEAST_COMMANDS;
    found.extend(above(HealthReason::ErrorRate, traffic.error_rate().filter(|_| spoken), thresholds.error_rate));
    if let Some(condition) = condition {
        let latency = condition.latency.as_secs_f64() * 1_000.0;
        found.extend(above(HealthReason::StoreLatency, Some(latency), thresholds.latency_ms));
        let memory = condition.memory.map(|part| part * 100.0);
        found.extend(above(HealthReason::StoreMemory, memory, thresholds.memory));
        let down = condition.cluster.as_ref().filter(|cluster| !cluster.ok);
        #[expect(clippy::cast_precision_loss, reason = "a cluster has a thousand nodes at most")]
        found.extend(down.map(|cluster| critical(HealthReason::ClusterDown, cluster.masters as f64, 0.0)));
    }
    let connected = percent(&metric::STORE_CONNECTED).unwrap_or(100.0);
    let silent = condition.is_none();
    if silent || connected < 100.0 {
        found.push(critical(HealthReason::StoreAway, connected, 100.0));
    }
    let broken = percent(&metric::BREAKER).filter(|broken| *broken > 0.0);
    found.extend(broken.map(|broken| critical(HealthReason::BreakerOpen, broken, 0.0)));
    found.extend(above(HealthReason::Journal, gauge(&metric::JOURNAL), thresholds.journal));
    let open = percent(&metric::COHERENCE);
    found.extend(below(HealthReason::CoherenceClosed, open, Limits::new(100.0, f64::NEG_INFINITY)));
    #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
    let differences = total.differences as f64;
    found.extend(above(HealthReason::Difference, Some(differences), Limits::new(0.0, 0.0)));
    for sample in samples.iter().filter(|sample| *sample.metric == metric::CRITICAL_PROOF) {
        let of_data = |finding| Finding { subject: sample.label("data").map(str::to_owned), ..finding };
        let old = above(HealthReason::CriticalData, Some(sample.number_of()), thresholds.critical_proof);
        found.extend(old.map(of_data));
    }
    found
}

fn finding(reason: HealthReason, verdict: HealthVerdict, value: f64, limit: f64) -> Finding {
    Finding { reason, subject: None, verdict, value, limit }
}

fn critical(reason: HealthReason, value: f64, limit: f64) -> Finding {
    finding(reason, HealthVerdict::Unhealthy, value, limit)
}

/// A number that should not be above its limits.
fn above(reason: HealthReason, value: Option<f64>, limits: Limits) -> Option<Finding> {
    let value = value?;
    if value > limits.critical {
        return Some(critical(reason, value, limits.critical));
    }
    (value > limits.warning).then(|| finding(reason, HealthVerdict::Degraded, value, limits.warning))
}

/// A number that should not be below its limits.
fn below(reason: HealthReason, value: Option<f64>, limits: Limits) -> Option<Finding> {
    let value = value?;
    if value < limits.critical {
        return Some(critical(reason, value, limits.critical));
    }
    (value < limits.warning).then(|| finding(reason, HealthVerdict::Degraded, value, limits.warning))
}

/// Findings over time. What gets worse is believed at once, what gets better when it stays so for two checks: a number that goes to
/// and fro about its limit does not have the verdict do so.
#[derive(Debug, Default)]
pub(super) struct Steady {
    held: BTreeMap<(HealthReason, Option<String>), (Finding, u32)>,
}

impl Steady {
    /// What is believed after a check that has found this; one that does not calm only makes it worse.
    pub(super) fn believe(&mut self, found: Vec<Finding>, calms: bool) -> Vec<Finding> {
        let mut found: BTreeMap<_, _> =
            found.into_iter().map(|finding| ((finding.reason, finding.subject.clone()), finding)).collect();
        self.held.retain(|place, (held, calm)| match found.remove(place) {
            Some(now) if now.verdict >= held.verdict => {
                (*held, *calm) = (now, 0);
                true
            }
            better => {
                *calm += u32::from(calms);
                match better {
                    // As bad as before until it is calm, and with the number of now.
                    Some(now) if *calm < CALM => held.value = now.value,
                    Some(now) => (*held, *calm) = (now, 0),
                    None => return *calm < CALM,
                }
                true
            }
        });
        self.held.extend(found.into_iter().map(|(place, finding)| (place, (finding, 0))));
        let mut believed: Vec<Finding> = self.held.values().map(|(finding, _)| finding.clone()).collect();
        believed.sort_by(|a, b| b.verdict.cmp(&a.verdict).then(a.reason.cmp(&b.reason)));
        believed
    }
}

/// The worst of them.
pub(super) fn verdict(findings: &[Finding]) -> HealthVerdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(HealthVerdict::Healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(value: f64) -> Vec<Finding> {
        below(HealthReason::HitRate, Some(value), HealthThresholds::default().hit_rate).into_iter().collect()
    }

    #[test]
    fn limits_are_exclusive() {
        for (value, expected) in
            [(100.0, None), (80.0, None), (79.9, Some("degraded")), (60.0, Some("degraded")), (59.9, Some("unhealthy"))]
        {
            assert_eq!(rate(value).first().map(|finding| finding.verdict.token()), expected, "{value}");
        }
        let journal = HealthThresholds::default().journal;
        assert_eq!(above(HealthReason::Journal, Some(0.0), journal), None);
        let waits = above(HealthReason::Journal, Some(1.0), journal).map(|finding| finding.to_string());
        assert_eq!(waits.as_deref(), Some("journal: 1 clears (limit 0)"));
    }

    /// A hit rate about its limit: one change, not one for each check.
    #[test]
    fn a_number_about_its_limit_does_not_flicker() {
        let mut steady = Steady::default();
        let verdicts = |steady: &mut Steady, values: &[f64]| -> String {
            values
                .iter()
                .map(|value| verdict(&steady.believe(rate(*value), true)).token().chars().next().unwrap_or('?'))
                .collect()
        };
        assert_eq!(verdicts(&mut steady, &[90.0, 79.0, 81.0, 79.0, 81.0, 79.0]), "hddddd");
        // Better for good, one step after the other.
        assert_eq!(verdicts(&mut steady, &[50.0, 70.0, 70.0, 90.0, 90.0, 90.0]), "uudd".to_owned() + "hh");
    }

    #[test]
    fn a_store_that_is_silent_is_away() {
        let traffic = Traffic::default();
        let read = Read { traffic: &traffic, total: &traffic, samples: &[], condition: None };
        let found = findings(&read, &HealthThresholds::default());
        assert_eq!(found.iter().map(|finding| finding.reason).collect::<Vec<_>>(), [HealthReason::StoreAway]);
    }
}
