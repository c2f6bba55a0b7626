//! Measures L1: memory against its bound with a million distinct keys, and the candidates it was chosen from.
//!
//! ```sh
//! cargo run --release -p cache-suite --bin l1
//! ```

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache_middleware::{CacheManager, Coherence};
use cache_suite::{RedisServer, Rng, redis_at};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // A row of the first table, in a process of its own: what was freed before would count as memory that is there.
    if let [bytes, keys] = &std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect::<Vec<usize>>()[..] {
        memory(*bytes, *keys).await;
        return;
    }
    println!("| values | keys | bound MiB | counted MiB | resident MiB more than before | of the bound |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (bytes, keys) in [("100", "1000000"), ("1000", "1000000"), ("10000", "100000")] {
        let program = std::env::current_exe().expect("this program");
        std::process::Command::new(program).args([bytes, keys]).status().expect("a process");
    }
    candidates();
    hits().await;
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap_or(0) * 1_024
}

async fn node(server: &RedisServer, bytes: usize) -> CacheManager {
    CacheManager::builder()
        .store(redis_at(server.url()).connect().await.expect("a store"))
        .l1_bytes(bytes)
        .coherence(Coherence::Bounded(Duration::from_secs(10)))
        .without_annotation_checks()
        .build()
        .await
        .expect("a manager")
}

/// Many distinct keys through an L1 of 64 MiB.
async fn memory(bytes: usize, keys: usize) {
    let server = RedisServer::start_with(&["--maxmemory", "200mb", "--maxmemory-policy", "volatile-lru"]);
    let bound = 64 << 20;
    let cache = node(&server, bound).await;
    let policy = cache.policy("1h").and_then(|policy| policy.tag("many")).expect("a policy");
    // What the connection and its buffers take is not L1's.
    fill(&cache, &policy, "warm-up", 1_000, bytes).await;
    let before = resident();
    fill(&cache, &policy, "many", keys, bytes).await;
    let more = resident().saturating_sub(before);
    let counted = cache.coherence().expect("an L1").l1_bytes;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "| {bytes} B | {keys} | {} | {:.1} | {:.1} | {:.0} % |",
        bound >> 20,
        mib(counted as f64),
        mib(more as f64),
        100.0 * more as f64 / bound as f64
    );
}

async fn fill(cache: &CacheManager, policy: &cache_middleware::ValuePolicy, name: &str, keys: usize, bytes: usize) {
    let value = "x".repeat(bytes);
    for chunk in (0..keys).collect::<Vec<_>>().chunks(512) {
        let sets = chunk.iter().map(|key| {
            let (key, value) = (format!("{name}:{key}"), &value);
            let fetch = async || Ok::<String, std::convert::Infallible>(value.clone());
            async move { cache.get_or_set(&key, policy, fetch).await.map(|_: String| ()) }
        });
        futures_util::future::join_all(sets).await;
    }
}

/// A Zipf distribution by inversion of a table.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut table: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += 1.0 / (rank as f64).powf(exponent);
                sum
            })
            .collect();
        table.iter_mut().for_each(|value| *value /= sum);
        Self(table)
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        let at = (rng.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        self.0.partition_point(|value| *value < at)
    }
}

trait Candidate: Sync {
    fn get(&self, key: &str) -> Option<Arc<[u8]>>;
    fn put(&self, key: String, value: Arc<[u8]>);
}

impl Candidate for quick_cache::sync::Cache<String, Arc<[u8]>> {
    fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.get(key)
    }
    fn put(&self, key: String, value: Arc<[u8]>) {
        self.insert(key, value);
    }
}

impl Candidate for moka::sync::Cache<String, Arc<[u8]>> {
    fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.get(key)
    }
    fn put(&self, key: String, value: Arc<[u8]>) {
        self.insert(key, value);
    }
}

struct Sharded(Vec<Mutex<lru::LruCache<String, Arc<[u8]>>>>);

impl Sharded {
    fn of(&self, key: &str) -> &Mutex<lru::LruCache<String, Arc<[u8]>>> {
        let sum = key.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        &self.0[sum % self.0.len()]
    }
}

impl Candidate for Sharded {
    fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.of(key).lock().expect("no panic").get(key).cloned()
    }
    fn put(&self, key: String, value: Arc<[u8]>) {
        self.of(&key).lock().expect("no panic").put(key, value);
    }
}

/// Two threads, a million keys by Zipf, room for a tenth of them: time and hit ratio against the sharded LRU beside.
fn candidates() {
    const KEYS: usize = 200_000;
    const ROOM: usize = KEYS / 10;
    const DRAWS: usize = 1_000_000;
    let zipf = Zipf::new(KEYS, 1.0);
    let lru = || {
        let shard = NonZeroUsize::new(ROOM / 64).expect("not zero");
        Box::new(Sharded((0..64).map(|_| Mutex::new(lru::LruCache::new(shard))).collect())) as Box<dyn Candidate>
    };
    let quick = || Box::new(quick_cache::sync::Cache::new(ROOM)) as Box<dyn Candidate>;
    let moka = || Box::new(moka::sync::Cache::new(ROOM as u64)) as Box<dyn Candidate>;
    let run = |cache: &dyn Candidate| {
        let began = Instant::now();
        let hits: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|seed| {
                    let zipf = &zipf;
                    scope.spawn(move || {
                        let mut rng = Rng::new(seed);
                        let mut hits = 0;
                        for _ in 0..DRAWS {
                            let key = format!("key:{}", zipf.draw(&mut rng));
                            match cache.get(&key) {
                                Some(value) => hits += usize::from(black_box(value).len() == 8),
                                None => cache.put(key, Arc::from([0_u8; 8])),
                            }
                        }
                        hits
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        (began.elapsed(), 100.0 * hits as f64 / (2 * DRAWS) as f64)
    };
    println!("\n| candidate | time against the sharded LRU | hit ratio |\n| --- | --- | --- |");
    let (baseline, ratio) = run(&*lru());
    println!("| 64 × Mutex<LruCache> | 1.00 | {ratio:.1} % |");
    for (name, make) in [("quick_cache", &quick as &dyn Fn() -> Box<dyn Candidate>), ("moka", &moka)] {
        let (time, ratio) = run(&*make());
        println!("| {name} | {:.2} | {ratio:.1} % |", time.as_secs_f64() / baseline.as_secs_f64());
    }
}

/// A hit in L1 against the same hit in Redis, one after the other.
async fn hits() {
    const COUNT: u32 = 20_000;
    let server = RedisServer::start();
    let mut times = Vec::new();
    for bytes in [64 << 20, 0] {
        let cache = node(&server, bytes).await;
        let policy = cache.policy("1h").and_then(|policy| policy.tag("one")).expect("a policy");
        let fetch = async || Ok::<u32, std::convert::Infallible>(7);
        for _ in 0..100 {
            cache.get_or_set("one", &policy, fetch).await.unwrap_or_default();
        }
        let began = Instant::now();
        for _ in 0..COUNT {
            black_box(cache.get_or_set("one", &policy, fetch).await.unwrap_or_default());
        }
        times.push(began.elapsed() / COUNT);
    }
    println!("\n| a hit | time | against Redis |\n| --- | --- | --- |");
    println!("| in Redis on this machine | {:?} | 1 |", times[1]);
    println!("| in memory | {:?} | 1/{:.0} |", times[0], times[1].as_secs_f64() / times[0].as_secs_f64());
}
