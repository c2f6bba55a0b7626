//! Samples summed up: what the health monitor judges, and the dashboard draws.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ClearKind, ClearState, Compared, Distribution, Sample, SampleValue, metric};
use crate::outcome::Tier;

/// Requests, commands and clears, in sum. What it tells of the whole time of a process, two of them tell of the time in between.
///
/// At work: [`Sample`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Traffic {
    /// Answers from fresh entries in L1, and in L2.
    pub hits: [u64; 2],
    /// Answers from stale entries.
    pub stale: u64,
    /// Requests whose handler ran, or that waited for a run of it.
    pub misses: u64,
    /// Requests that were not looked up.
    pub bypasses: u64,
    /// Answers that were stored.
    pub fills: u64,
    /// Answers that were not.
    pub refused_fills: u64,
    /// Clears and expires that were acknowledged, and those that were not.
    pub clears: [u64; 2],
    /// Entries that were cleared.
    pub cleared: u64,
    /// Commands to the store.
    pub commands: u64,
    /// Commands that failed, or had no answer.
    pub errors: u64,
    /// Hits whose handler says something else now, for no reason that excuses it.
    pub differences: u64,
    /// By type of data, how often it was found and how often not.
    pub by_type: BTreeMap<String, [u64; 2]>,
    /// How long hits took, in L1 and in L2.
    #[serde(skip)]
    pub hit_times: [Distribution; 2],
    /// How long handlers ran.
    #[serde(skip)]
    pub handler_times: Distribution,
}

impl Traffic {
    /// Sums up.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Self {
        let mut traffic = Self::default();
        for sample in samples {
            traffic.add(sample);
        }
        traffic
    }

    fn add(&mut self, sample: &Sample) {
        let label = |name| sample.label(name).unwrap_or_default();
        let far = usize::from(label("tier") == Tier::L2.token());
        match &sample.value {
            SampleValue::Counter(count) => {
                let sum = match (sample.metric, label("outcome"), label("result")) {
                    (&metric::REQUESTS, "hit", _) => &mut self.hits[far],
                    (&metric::REQUESTS, "stale", _) => &mut self.stale,
                    (&metric::REQUESTS, "miss", _) => &mut self.misses,
                    (&metric::REQUESTS, ..) => &mut self.bypasses,
                    (&metric::FILLS, ..) => &mut self.fills,
                    (&metric::REFUSED_FILLS, ..) => &mut self.refused_fills,
                    (&metric::CLEARS, ..) if label("kind") == ClearKind::Replace.token() => return,
                    (&metric::CLEARS, ..) => {
                        &mut self.clears[usize::from(label("state") != ClearState::Acknowledged.token())]
                    }
                    (&metric::CLEARED, ..) => &mut self.cleared,
                    (&metric::PROBES, _, result) if result == Compared::Different.token() => &mut self.differences,
                    (&metric::STORE_COMMANDS, _, result) => {
                        self.errors += if result == "ok" { 0 } else { *count };
                        &mut self.commands
                    }
                    (&metric::TYPED, _, result) => {
                        let of_type = self.by_type.entry(label("type").to_owned()).or_default();
                        &mut of_type[usize::from(result != "hit")]
                    }
                    _ => return,
                };
                *sum += count;
            }
            SampleValue::Histogram(times) => match *sample.metric {
                metric::HITS => self.hit_times[far] = times.clone(),
                metric::HANDLERS => self.handler_times = self.handler_times.with(times),
                _ => {}
            },
            SampleValue::Gauge(_) => {}
        }
    }

    /// What came after an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pair = |now: &[u64; 2], then: &[u64; 2]| [0, 1].map(|place: usize| now[place].saturating_sub(then[place]));
        let none = [0, 0];
        let by_type = self.by_type.iter().map(|(name, now)| {
            let then = earlier.by_type.get(name).unwrap_or(&none);
            (name.clone(), pair(now, then))
        });
        Self {
            hits: pair(&self.hits, &earlier.hits),
            stale: self.stale.saturating_sub(earlier.stale),
            misses: self.misses.saturating_sub(earlier.misses),
            bypasses: self.bypasses.saturating_sub(earlier.bypasses),
            fills: self.fills.saturating_sub(earlier.fills),
            refused_fills: self.refused_fills.saturating_sub(earlier.refused_fills),
            clears: pair(&self.clears, &earlier.clears),
            cleared: self.cleared.saturating_sub(earlier.cleared),
            commands: self.commands.saturating_sub(earlier.commands),
            errors: self.errors.saturating_sub(earlier.errors),
            differences: self.differences.saturating_sub(earlier.differences),
            by_type: by_type.collect(),
            hit_times: std::array::from_fn(|tier| self.hit_times[tier].since(&earlier.hit_times[tier])),
            handler_times: self.handler_times.since(&earlier.handler_times),
        }
    }

    /// Requests that were looked up.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.found() + self.misses
    }

    /// Requests that were answered from an entry.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.hits.iter().sum::<u64>() + self.stale
    }

    /// The percentage of look-ups that found something; `None` without any.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        percentage(self.found(), self.lookups())
    }

    /// The percentage of commands to the store that failed; `None` without any.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        percentage(self.errors, self.commands)
    }

    /// The mean time of answers in milliseconds: of hits as far as they were timed, and of handlers; `None` without any.
    #[must_use]
    pub fn mean_ms(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
        let weighed = |count: u64, times: &Distribution| times.mean().map(|mean| (count as f64, mean));
        let parts = [
            weighed(self.hits[0], &self.hit_times[0]),
            weighed(self.hits[1], &self.hit_times[1]),
            weighed(self.handler_times.count(), &self.handler_times),
        ];
        let (count, sum) =
            parts.into_iter().flatten().fold((0.0, 0.0), |(all, sum), (count, mean)| (all + count, sum + count * mean));
        (count > 0.0).then(|| sum / count * 1_000.0)
    }
}

/// How many of a hundred.
pub(crate) fn percentage(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
    let ratio = part as f64 * 100.0 / whole as f64;
    (whole > 0).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(outcome: &'static str, tier: &'static str, count: u64) -> Sample {
        let labels = ["/a".into(), "none".into(), outcome.into(), tier.into(), "fresh".into()];
        Sample::counter(&metric::REQUESTS, labels, count)
    }

    #[test]
    fn rates_are_of_what_came_in_between() {
        let command = |result: &'static str, count| Sample::counter(&metric::STORE_COMMANDS, [result.into()], count);
        let earlier = Traffic::of(&[request("hit", "l1", 10), request("miss", "none", 90), command("ok", 5)]);
        assert_eq!((earlier.hit_rate(), earlier.error_rate()), (Some(10.0), Some(0.0)));
        let now = Traffic::of(&[
            request("hit", "l1", 100),
            request("hit", "l2", 4),
            request("stale", "l2", 1),
            request("miss", "none", 95),
            request("bypass", "none", 1_000),
            command("ok", 100),
            command("failed", 3),
            command("unavailable", 2),
        ]);
        let between = now.since(&earlier);
        assert_eq!((between.hits, between.stale, between.misses, between.bypasses), ([90, 4], 1, 5, 1_000));
        assert_eq!((between.hit_rate(), between.error_rate()), (Some(95.0), Some(5.0)));
        assert_eq!(now.since(&now).hit_rate(), None);
    }
}
