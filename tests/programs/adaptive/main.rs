//! What adaptive TTLs gain in handler runs, and cost in answers that are out of date, beside fixed TTLs on the same traffic.
//!
//! ```sh
//! cargo run --release -p cache-suite --bin adaptive -- [--hours 6] [--keys 2000] [--seed 1]
//! ```
//!
//! Keys are asked for by a Zipf law, at random moments. Each changes at random moments of its own, at a rate drawn between once in
//! 20 s and once in a day, and no clear tells. Time is moved by hand, so that hours take seconds; the cache is the real one.

use std::time::Duration;

use cache_middleware::store::MemoryStore;
use cache_middleware::time::{ManualTime, TimeSource};
use cache_middleware::{CacheManager, ValuePolicy};
use cache_suite::Rng;

/// How long a handler takes.
const COST: Duration = Duration::from_millis(20);
/// Requests in a second, over all keys.
const RATE: f64 = 200.0;

struct Settings {
    hours: u64,
    keys: usize,
    seed: u64,
}

/// What happened to the requests under one policy.
#[derive(Default)]
struct Outcome {
    requests: u64,
    runs: u64,
    out_of_date: u64,
    /// Milliseconds since what was served was current, over all answers.
    late_ms: u64,
}

/// A source whose keys change by themselves.
struct Source {
    /// Changes in a millisecond, by key.
    rates: Vec<f64>,
    /// When the next change is.
    next: Vec<u64>,
    version: Vec<u64>,
    changed_at: Vec<Vec<u64>>,
    rng: Rng,
}

/// A part of a whole, never 0.
fn part(rng: &mut Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let part = (rng.below(1 << 53) + 1) as f64 / (1_u64 << 53) as f64;
    part
}

fn waits(rng: &mut Rng, rate: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds, above 0")]
    let waits = (-part(rng).ln() / rate).min(1e15) as u64;
    waits
}

impl Source {
    fn new(keys: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rate = |rng: &mut Rng| {
            let (fast, slow) = (1.0 / 20_000.0_f64, 1.0 / 86_400_000.0_f64);
            (slow.ln() + part(rng) * (fast.ln() - slow.ln())).exp()
        };
        let rates: Vec<f64> = (0..keys).map(|_| rate(&mut rng)).collect();
        let next = rates.iter().map(|rate| waits(&mut rng, *rate)).collect();
        Self { next, version: vec![0; keys], changed_at: vec![vec![0]; keys], rng, rates }
    }

    /// The version of a key at a moment.
    fn read(&mut self, key: usize, now_ms: u64) -> u64 {
        while self.next[key] <= now_ms {
            self.version[key] += 1;
            self.changed_at[key].push(self.next[key]);
            self.next[key] += waits(&mut self.rng, self.rates[key]).max(1);
        }
        self.version[key]
    }
}

/// Picks keys by a Zipf law.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: usize) -> Self {
        let mut sum = 0.0;
        let weight = |rank: usize| 1.0 / f64::from(u32::try_from(rank).unwrap_or(u32::MAX));
        Self(
            (1..=keys)
                .map(|rank| {
                    sum += weight(rank);
                    sum
                })
                .collect(),
        )
    }

    fn pick(&self, rng: &mut Rng) -> usize {
        let at = part(rng) * self.0.last().copied().unwrap_or(1.0);
        self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1)
    }
}

async fn simulate(settings: &Settings, policy: impl Fn(&CacheManager) -> ValuePolicy) -> (Outcome, CacheManager) {
    let time = ManualTime::default();
    let store = MemoryStore::builder().time(time.clone()).build();
    let cache = CacheManager::builder().store(store).without_annotation_checks().build().await.expect("a manager");
    let policy = policy(&cache);
    let (mut source, zipf) = (Source::new(settings.keys, settings.seed), Zipf::new(settings.keys));
    // The same requests for every policy.
    let mut rng = Rng::new(settings.seed ^ 0x5eed);
    let names: Vec<String> = (0..settings.keys).map(|key| format!("k{key}")).collect();
    let mut outcome = Outcome::default();
    let end_ms = settings.hours * 3_600_000;
    let mut due_ms = 0;
    while due_ms < end_ms {
        due_ms += waits(&mut rng, RATE / 1_000.0).max(1);
        time.advance(Duration::from_millis(due_ms.saturating_sub(time.now_ms())));
        let key = zipf.pick(&mut rng);
        let mut ran = false;
        let fetch = async || {
            ran = true;
            let read = (source.read(key, time.now_ms()), time.now_ms());
            time.advance(COST);
            Ok::<_, std::io::Error>(read.0)
        };
        let served = cache.get_or_set(&names[key], &policy, fetch).await.expect("an answer");
        outcome.requests += 1;
        outcome.runs += u64::from(ran);
        if !ran && source.read(key, time.now_ms()) > served {
            outcome.out_of_date += 1;
            let next = usize::try_from(served + 1).ok().and_then(|version| source.changed_at[key].get(version));
            outcome.late_ms += time.now_ms() - next.copied().unwrap_or_else(|| time.now_ms());
        }
    }
    (outcome, cache)
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn row(name: &str, outcome: &Outcome, base: &Outcome) -> String {
    let share = |of: u64, all: u64| of as f64 / all.max(1) as f64;
    format!(
        "| {name} | {:.2} | {:.1} % | {:.2} % | {:.1} s |",
        share(outcome.runs, base.runs),
        100.0 * (1.0 - share(outcome.runs, outcome.requests)),
        100.0 * share(outcome.out_of_date, outcome.requests),
        share(outcome.late_ms, outcome.requests) / 1_000.0,
    )
}

fn option(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next().and_then(|_| arguments.next()).and_then(|text| text.parse().ok())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let settings = Settings {
        hours: option("--hours").unwrap_or(6),
        keys: option("--keys").and_then(|keys| usize::try_from(keys).ok()).unwrap_or(2_000).max(1),
        seed: option("--seed").unwrap_or(1),
    };
    println!(
        "{} hours, {} keys by Zipf, {RATE} requests a second, a handler of {COST:?}, keys that change between once in 20 s and \
         once in a day\n",
        settings.hours, settings.keys
    );
    println!(
        "| TTL | handler runs, as a ratio to `1m` | hits | out of date | mean lateness of all answers |\n| --- | --- | --- | --- | --- |"
    );
    let fixed = |ttl: &'static str| move |cache: &CacheManager| cache.policy(ttl).expect("a policy");
    let (base, _) = simulate(&settings, fixed("1m")).await;
    for ttl in ["5s", "15s", "1m", "5m", "10m"] {
        let (outcome, _) = simulate(&settings, fixed(ttl)).await;
        println!("{}", row(&format!("`{ttl}`"), &outcome, &base));
    }
    let (shortest, longest) = (Duration::from_secs(5), Duration::from_secs(600));
    let adaptive = |cache: &CacheManager| {
        cache.policy("1m").and_then(|policy| policy.adaptive_ttl(shortest, longest)).expect("a policy")
    };
    let (outcome, cache) = simulate(&settings, adaptive).await;
    println!("{}", row("adaptive, `5s..10m`", &outcome, &base));
    println!("\nThe keys that are asked for most:\n");
    for adapted in cache.adapted_ttls(8) {
        println!(
            "{:>8}  ttl {:>7.1?}  asked {:>6.2}/s  changes once in {:>8.0?}",
            adapted.key.rsplit('/').next().unwrap_or_default(),
            adapted.ttl,
            adapted.asked_per_second,
            Duration::from_secs_f64(1.0 / adapted.changes_per_second.max(1e-6)),
        );
    }
}
