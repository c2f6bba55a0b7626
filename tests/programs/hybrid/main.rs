//! Measures critical and reference data: how quickly a change is in effect, what a read costs, for how long a cache differs from its
//! source under faults, and what the hybrid strategy costs beside full replication and no cache at all.
//!
//! ```sh
//! cargo run --release -p cache-suite --bin hybrid -- [--seconds 20] [--requests 20000] [--seed 1]
//! ```
//!
//! It ends with an error if a cache differs from its source at the end, or an answer was wrong for longer than was declared.

mod comparison;
mod crm;
mod delays;
mod losses;
mod reads;
mod traffic;

use std::time::Duration;

struct Options {
    seconds: u64,
    requests: u64,
    seed: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 20, requests: 20_000, seed: 1 };
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} has no value", pair[0])) };
        let number: u64 = value.parse().map_err(|_| format!("{name} {value:?} is not a number"))?;
        match name.as_str() {
            "--seconds" => options.seconds = number,
            "--requests" => options.requests = number,
            "--seed" => options.seed = number,
            _ => return Err(format!("there is no {name}: --seconds N, --requests N, --seed N")),
        }
    }
    Ok(options)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::process::ExitCode {
    let Options { seconds, requests, seed } = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("hybrid: {why}");
            return std::process::ExitCode::FAILURE;
        }
    };
    delays::measure().await;
    reads::measure().await;
    let faithful = losses::measure(Duration::from_secs(seconds), seed).await;
    comparison::measure(requests, seed).await;
    if faithful { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}

/// Some of many times: the median, the 99th of a hundred, the longest.
struct Spread {
    median: Duration,
    p99: Duration,
    longest: Duration,
}

fn spread(times: &mut [Duration]) -> Spread {
    times.sort_unstable();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied();
    Spread {
        median: at(50).unwrap_or_default(),
        p99: at(99).unwrap_or_default(),
        longest: times.last().copied().unwrap_or_default(),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}
