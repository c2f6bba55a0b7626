//! Clears: how long until they are acknowledged, what others notice of them, and when the memory is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cache_middleware::CacheManager;
use cache_suite::RedisServer;

use crate::load::Load;
use crate::routes::{Node, Serving};
use crate::table::{Goal, Row, Table, median};

/// So many entries take memory that can be told from noise.
const LARGE: usize = 100_000;
/// How long another client is watched, beside the clear itself.
const WATCHED: Duration = Duration::from_millis(100);
/// What it waits between two commands: one that asks without a pause takes one of the cores that Redis and the sweep need.
const BETWEEN: Duration = Duration::from_millis(1);
/// The longest wait for memory.
const LONGEST: Duration = Duration::from_secs(30);

/// Another client, which asks for one key again and again and remembers how long the slowest answer took.
struct Watcher {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Watcher {
    fn start(server: &RedisServer) -> Self {
        let (ended, mut connection) = (Arc::new(AtomicBool::new(false)), server.connection());
        let end = ended.clone();
        let thread = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !end.load(Ordering::Relaxed) {
                let began = Instant::now();
                redis::cmd("GET").arg("watched").exec(&mut connection).expect("an answer");
                slowest = slowest.max(began.elapsed());
                std::thread::sleep(BETWEEN);
            }
            slowest
        });
        Self { ended, thread }
    }

    /// The slowest answer, in milliseconds.
    fn end(self) -> f64 {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("a watcher").as_secs_f64() * 1e3
    }
}

/// A clear of so many entries, beside the floor of one command.
pub(crate) async fn of_sizes(node: &Node, server: &RedisServer, sizes: &[usize], table: &mut Table) {
    let used = || server.info_number("memory", "used_memory") as f64;
    for &size in sizes {
        let tag = format!("many{size}");
        // Small ones are repeated; a large one is cleared once.
        let rounds = (10_000 / size).clamp(1, 11);
        let (mut acknowledged, mut slowest, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            if size >= LARGE {
                crate::until_swept(server).await;
            }
            let empty = used();
            cache_suite::fill(&node.cache, size, "1h", &tag).await;
            let full = used();
            let idle = Watcher::start(server);
            tokio::time::sleep(WATCHED).await;
            let idle = idle.end();
            let watcher = Watcher::start(server);
            acknowledged.push(acknowledged_after(node, &tag).await);
            let began = Instant::now();
            if size >= LARGE {
                // Back is what is within a tenth of what the entries took.
                while used() > empty + (full - empty) / 10.0 && began.elapsed() < LONGEST {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                memory.push((began.elapsed().as_secs_f64(), 5.0 * size as f64 / 1e6));
            }
            tokio::time::sleep(WATCHED).await;
            slowest.push((watcher.end(), idle));
        }
        let name = format!("clear of a tag with {size} entries");
        table.add(Row::of(&name, "ms", &acknowledged, Goal::RatioAtMost(3.0)));
        table.add(Row::of(format!("{name}: slowest GET of another client"), "ms", &slowest, Goal::AboveAtMost(2.0)));
        if size >= LARGE {
            table.add(Row::of(format!("{name}: memory is back"), "s", &memory, Goal::RatioAtMost(1.0)));
        }
    }
}

/// Milliseconds until a clear is acknowledged, and until an `INCR` is. Each comes after a pause, as clears do: a command that follows
/// another finds the caches of the processor, and the threads in between, warm.
pub(crate) async fn acknowledged_after(node: &Node, tag: &str) -> (f64, f64) {
    const PAUSE: Duration = Duration::from_millis(5);
    let (mut redis, mut floors) = (node.redis.clone(), Vec::new());
    for _ in 0..11 {
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        redis::cmd("INCR").arg("floor").exec_async(&mut redis).await.expect("an answer");
        floors.push(began.elapsed().as_secs_f64() * 1e3);
    }
    tokio::time::sleep(PAUSE).await;
    let began = Instant::now();
    node.cache.clear_tag(tag).await.expect("a receipt");
    (began.elapsed().as_secs_f64() * 1e3, median(&floors))
}

/// Hits while another node clears a thousand tags a second that no hit has.
pub(crate) async fn while_serving(other: &CacheManager, serving: &Serving, rounds: usize, table: &mut Table) {
    let load = Load::of(serving.address, "/l1/sessions/7", &[], 200);
    let time = Duration::from_millis(700);
    let (mut per_second, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let quiet = tokio::task::spawn_blocking({
            let load = load.clone();
            move || load.run(time)
        });
        let quiet = quiet.await.expect("a round");
        let clearing = tokio::spawn(clear_on(other.clone()));
        let busy = tokio::task::spawn_blocking({
            let load = load.clone();
            move || load.run(time)
        });
        let busy = busy.await.expect("a round");
        clearing.abort();
        per_second.push((busy.per_second, quiet.per_second));
        p99.push((busy.p99_ms, quiet.p99_ms));
    }
    table.add(Row::of("hits while 1,000 tags a second are cleared", "req/s", &per_second, Goal::RatioAtLeast(0.90)));
    table.add(Row::of(
        "hits while 1,000 tags a second are cleared: 99th percentile",
        "ms",
        &p99,
        Goal::RatioAtMost(1.5),
    ));
}

/// Clears a thousand tags a second, until it is aborted.
async fn clear_on(cache: CacheManager) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    for number in 0_u64.. {
        ticks.tick().await;
        cache.clear_tag(&format!("unrelated:{}", number % 5_000)).await.expect("a receipt");
    }
}
