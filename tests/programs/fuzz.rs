//! Fuzzes what reads bytes from outside, for as long as it is told.
//!
//! ```sh
//! cargo run --release -p cache-suite --bin fuzz -- --seconds 600 [--target header|key|entry|tag] [--seed 1]
//! ```

use std::time::Duration;

use cache_suite::Rng;
use cache_suite::fuzzing::TARGETS;

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next().and_then(|_| arguments.next())
}

fn main() {
    let seconds = option("--seconds").and_then(|text| text.parse().ok()).unwrap_or(60);
    let only = option("--target");
    let mut rng = option("--seed").and_then(|text| text.parse().ok()).map_or_else(Rng::from_env, Rng::new);
    let targets: Vec<_> =
        TARGETS.iter().filter(|target| only.as_deref().is_none_or(|only| only == target.name)).collect();
    let share = Duration::from_secs(seconds) / u32::try_from(targets.len().max(1)).unwrap_or(1);
    for target in targets {
        println!("{}: {} inputs, no finding", target.name, target.fuzz(share, &mut rng));
    }
}
