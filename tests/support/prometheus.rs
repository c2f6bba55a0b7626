//! Prometheus, asked by its own `promtool` which alerts of `docs/operations/alerts.yml` what a node told would raise.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cache_middleware::CacheManager;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::{temporary_folder, workspace};

/// The ends of buckets that `docs/metrics.md` proposes.
const BUCKETS: [f64; 14] = [1e-6, 1e-5, 2.5e-5, 1e-4, 2.5e-4, 1e-3, 2.5e-3, 1e-2, 0.05, 0.25, 1.0, 10.0, 60.0, 3600.0];

/// The series of a scrape by their names and labels.
type Scrape = BTreeMap<String, f64>;

/// A Prometheus that has scraped a node once a minute for an hour, in which all was well.
pub struct Prometheus {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    well: Scrape,
}

/// How a fault goes on for the hour after the one in which all was well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// What was counted is counted once, in its first minute.
    Once,
    /// In each minute there is counted as much as in the first.
    On,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prometheus").field("well", &self.well).finish_non_exhaustive()
    }
}

impl Prometheus {
    /// Scrapes a node that is well.
    ///
    /// # Panics
    ///
    /// When an alert would be raised.
    #[must_use]
    pub fn of(cache: &CacheManager) -> Self {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS);
        let recorder = builder.expect("buckets").build_recorder();
        let handle = recorder.handle();
        let mut prometheus = Self { recorder, handle, well: Scrape::new() };
        prometheus.well = prometheus.scrape(cache);
        assert_eq!(prometheus.alerts(&prometheus.well, Lasts::Once), BTreeSet::new(), "while all is well");
        prometheus
    }

    /// These alerts fire within an hour, among others perhaps, when the node from now on tells what it tells now.
    ///
    /// # Panics
    ///
    /// When one does not, or without `promtool`.
    pub fn fires(&self, cache: &CacheManager, lasts: Lasts, expected: &[&str]) {
        let ill = self.scrape(cache);
        let fired = self.alerts(&ill, lasts);
        let changed: Vec<_> = ill.iter().filter(|(series, value)| self.well.get(*series) != Some(value)).collect();
        for alert in expected {
            assert!(fired.contains(*alert), "{alert} is not among {fired:?}, though these have changed: {changed:#?}");
        }
    }

    fn scrape(&self, cache: &CacheManager) -> Scrape {
        metrics::with_local_recorder(&self.recorder, || cache.publish_metrics());
        let text = self.handle.render();
        let series = text.lines().filter(|line| line.starts_with("cache_")).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            // Those that are infinite, or unknown, are in no rule.
            let value: f64 = value.parse().ok()?;
            value.is_finite().then(|| (series.to_owned(), value))
        });
        series.collect()
    }

    fn alerts(&self, ill: &Scrape, lasts: Lasts) -> BTreeSet<String> {
        let rules = workspace().join("docs/operations/alerts.yml");
        // Something is expected that never is, so that promtool tells what is.
        let text = format!(
            "rule_files: ['{}']
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
{}
    promql_expr_test:
      - expr: 'count by (alertname) (max_over_time(ALERTS{{alertstate=\"firing\"}}[2h]))'
        eval_time: 2h
        exp_samples: [{{labels: 'none{{}}', value: 0}}]
",
            rules.display(),
            self.series(ill, lasts).join("\n"),
        );
        let folder = temporary_folder("alerts");
        let file = folder.join("test.yml");
        std::fs::write(&file, &text).expect("the file is written");
        let told = Command::new("promtool").args(["test", "rules"]).arg(&file).output();
        let told = told.expect("promtool, of the package prometheus: ./tests/run installs it");
        let told = [told.stdout, told.stderr].map(|part| String::from_utf8_lossy(&part).into_owned()).concat();
        let (_, got) = told.split_once("got:").unwrap_or_else(|| panic!("promtool says:\n{told}\nof\n{text}"));
        got.split("alertname=\"").skip(1).filter_map(|after| after.split('"').next()).map(str::to_owned).collect()
    }

    /// The lines of promtool's test for two hours, of which the first was well.
    fn series(&self, ill: &Scrape, lasts: Lasts) -> Vec<String> {
        let line = |(series, ill): (&String, &f64)| {
            let well = self.well.get(series);
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let is_counted = ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
            let grows = if is_counted && lasts == Lasts::On { ill - well.unwrap_or(&0.0) } else { 0.0 };
            // A series that was not there before is one whose first growth Prometheus does not see.
            let before = well.map_or("_x60".to_owned(), |well| format!("{well}x60"));
            let comma = if labels == "}" { "" } else { "," };
            format!(
                "      - {{series: '{name}{{job=\"lessons\",instance=\"10.0.0.1:8080\"{comma}{labels}', \
                 values: '{before} {ill}+{grows}x60'}}"
            )
        };
        ill.iter().map(line).collect()
    }
}
