//! What is counted arrives at a recorder, and the files for Grafana and Prometheus speak of metrics that exist.

use cache_middleware::telemetry::METRICS;
use cache_middleware::{CacheManager, HealthReason};
use cache_suite::read;
use metrics_exporter_prometheus::PrometheusBuilder;

fn operations(file: &str) -> String {
    read(format!("docs/operations/{file}"))
}

#[tokio::test]
async fn a_recorder_has_the_very_numbers() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let cache = CacheManager::builder().without_annotation_checks().build().await.expect("a manager");
    let policy = cache.policy("5m").expect("a policy");
    for _ in 0..5 {
        let value = cache.get_or_set("k", &policy, async || Ok::<_, String>(1_u8)).await;
        assert_eq!(value, Ok(1));
    }
    let publish = || metrics::with_local_recorder(&recorder, || cache.publish_metrics());
    publish();
    // Twice is not double, and several managers of a program add up.
    publish();
    let other = CacheManager::builder().without_annotation_checks().build().await.expect("a manager");
    other.clear_tag("x").await.expect("a receipt");
    cache.clear_tag("x").await.expect("a receipt");
    publish();
    metrics::with_local_recorder(&recorder, || other.publish_metrics());
    let text = handle.render();
    for line in [
        "cache_requests_total{route=\"values\",tenant=\"none\",outcome=\"hit\",tier=\"l2\",reason=\"fresh\"} 4",
        "cache_requests_total{route=\"values\",tenant=\"none\",outcome=\"miss\",tier=\"none\",reason=\"uri-miss\"} 1",
        "cache_fills_total 1",
        "cache_clears_total{kind=\"clear\",state=\"acknowledged\"} 2",
        "cache_clears_total{kind=\"clear\",state=\"journaled\"} 0",
        "cache_handler_seconds_count{route=\"values\"} 1",
        "# HELP cache_journal_length clears that Redis has not acknowledged yet",
        "# TYPE cache_requests_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// The names in a text that look like metrics, as Prometheus writes those of histograms.
fn named(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("cache_"))
        .map(|word| {
            let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            stem.filter(|stem| stem.ends_with("_seconds")).unwrap_or(word).to_owned()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn operations_speak_of_metrics_that_exist() {
    for file in ["grafana.json", "alerts.yml"] {
        let text = operations(file);
        let names = named(&text);
        assert!(names.len() > 10, "{file}: {names:?}");
        for name in names {
            assert!(METRICS.iter().any(|metric| metric.name == name), "{file} speaks of {name}, which there is not");
        }
    }
    let _: serde_json::Value = serde_json::from_str(&operations("grafana.json")).expect("json");
    let alerts = operations("alerts.yml");
    for reason in HealthReason::ALL {
        assert!(alerts.contains(&format!("reason=\"{}\"", reason.token())), "no alert for {}", reason.token());
    }
}

#[test]
fn every_metric_and_reason_is_documented() {
    let page = read("docs/metrics.md");
    for metric in METRICS {
        let labels =
            if metric.labels.is_empty() { String::new() } else { format!(" `{}`", metric.labels.join("`, `")) };
        let line = format!("| `{}`{labels} | {:?} | {} |", metric.name, metric.kind, metric.help);
        assert!(page.contains(&line), "not in docs/metrics.md:\n{line}");
    }
    let page = read("docs/health.md");
    for reason in HealthReason::ALL {
        assert!(page.contains(&format!("`{}`", reason.token())), "{} is not in docs/health.md", reason.token());
    }
}
