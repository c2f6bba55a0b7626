//! Is it well, and does it fit together?

use std::time::Duration;

use cache_middleware::store::Examination;
use cache_middleware::{CacheHealthMonitor, CacheManager, HealthVerdict};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::output::{Ended, Output};

pub(crate) async fn health(cache: &CacheManager, output: &Output) -> Result<Ended, String> {
    let monitor = CacheHealthMonitor::builder().start(cache).map_err(|error| error.to_string())?;
    let health = monitor.check().await;
    let reasons: Vec<String> = health.reasons.iter().map(ToString::to_string).collect();
    output.show(&json!({"verdict": health.verdict, "reasons": health.reasons}), || match &reasons[..] {
        [] => health.verdict.to_string(),
        reasons => format!("{}: {}", health.verdict, reasons.join("; ")),
    });
    Ok(match health.verdict {
        HealthVerdict::Healthy | HealthVerdict::Unknown => Ended::Done,
        HealthVerdict::Degraded => Ended::Found,
        HealthVerdict::Unhealthy => Ended::Unhealthy,
    })
}

pub(crate) async fn doctor(cache: &CacheManager, output: &Output) -> Result<Ended, String> {
    // It is shown on the terminal only: not in a file, and not in JSON.
    let bar = if output.is_json() { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} keys looked at, {per_sec}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    let counter = bar.clone();
    let found = cache.store().examine(&move |keys| counter.set_position(keys)).await;
    bar.finish_and_clear();
    let found = found.map_err(|error| error.to_string())?;
    output.show(&found, || text_of(&found));
    Ok(if found.problems.is_empty() { Ended::Done } else { Ended::Found })
}

fn text_of(found: &Examination) -> String {
    let mut lines = vec![format!(
        "{} keys, {} entries, {} index members, {} clears that are not swept yet",
        found.keys, found.entries, found.index_members, found.open_sweeps
    )];
    for problem in &found.problems {
        let name = serde_json::to_value(problem.kind).ok().and_then(|name| name.as_str().map(str::to_owned));
        lines.push(format!("\n{} {}: {}", problem.count, name.unwrap_or_default(), problem.kind.advice()));
        lines.extend(problem.examples.iter().map(|example| format!("  {example}")));
    }
    if found.problems.is_empty() {
        lines.push("everything fits together".to_owned());
    }
    lines.join("\n")
}
