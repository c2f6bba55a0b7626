//! The index at size: clears that take the time of small ones, and nothing left behind (promises P3 and P4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cache_middleware::CacheManager;
use cache_middleware::store::{RedisStore, Store, StoreSize};
use cache_suite::{Kind, RedisServer, TestStore};
use futures_util::future::join_all;

async fn fill(cache: &CacheManager, count: usize, ttl: &str, tag: &str) {
    let policy = cache.policy(ttl).and_then(|policy| policy.tag(tag)).expect("a policy");
    for chunk in (0..count).collect::<Vec<_>>().chunks(512) {
        let sets = chunk.iter().map(|number| {
            let (cache, policy, key) = (cache, &policy, format!("{tag}:{number}"));
            async move { cache.set(&key, policy, &number).await }
        });
        assert!(join_all(sets).await.into_iter().all(|set| set.expect("a set")));
    }
}

async fn until_empty(test: &TestStore) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while test.store.size().await.expect("a size") != StoreSize::default() {
        assert!(Instant::now() < deadline, "{:?} is left", test.store.size().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Reads one entry over and over.
struct Reader {
    done: Arc<AtomicBool>,
    times: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Reader {
    fn start(cache: &CacheManager) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let times = tokio::spawn({
            let (cache, done) = (cache.clone(), done.clone());
            async move {
                let mut times = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    assert_eq!(cache.get::<u32>("steady").await, Some(1));
                    times.push(began.elapsed());
                    tokio::task::yield_now().await;
                }
                times
            }
        });
        Self { done, times }
    }

    /// The time below which 99 of 100 reads stayed.
    async fn stop(self) -> Duration {
        self.done.store(true, Ordering::Relaxed);
        let mut times = self.times.await.expect("no panic");
        times.sort();
        times[times.len() * 99 / 100]
    }
}

/// Measured against a small tag beside it in the same run. Fails when `clear.lua` removes everything itself (raise the
/// number of entries it removes at once), or when a step of the sweep is much larger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_tag_with_100_000_entries_is_cleared_like_one_with_one() {
    const MANY: usize = 100_000;
    for kind in [Kind::Memory, Kind::Redis] {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        let policy = cache.policy("10m").and_then(|policy| policy.tag("steady")).expect("a policy");
        cache.set("steady", &policy, &1).await.expect("a set");
        let mut small = Vec::new();
        let mut large = Vec::new();
        let mut held_up = Vec::new();
        for round in 0..3 {
            fill(&cache, MANY, "10m", "large").await;
            let quiet = Reader::start(&cache);
            tokio::time::sleep(Duration::from_millis(500)).await;
            let quiet = quiet.stop().await;
            // Both kinds of clear among the same reads.
            let reads = Reader::start(&cache);
            for _ in 0..20 {
                fill(&cache, 1, "10m", "small").await;
                let began = Instant::now();
                cache.clear_tag("small").await.expect("a clear");
                small.push(began.elapsed());
            }
            let began = Instant::now();
            let receipt = cache.clear_tag("large").await.expect("a clear");
            large.push(began.elapsed());
            assert_eq!(receipt.covered, MANY as u64, "{kind:?}, round {round}");
            assert_eq!(cache.get::<u32>("large:99999").await, None);
            while test.store.size().await.expect("a size").entries > 1 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let meanwhile = reads.stop().await;
            println!("{kind:?}: a read takes {quiet:?} (p99) in quiet, {meanwhile:?} during the sweep");
            held_up.push(meanwhile.saturating_sub(quiet));
        }
        let (small, large, held) = (median(small), median(large), median(held_up));
        println!(
            "{kind:?}: acknowledged after {large:?}, a tag with one entry after {small:?}; reads held up by {held:?} (p99)"
        );
        assert!(large < small * 10 + Duration::from_millis(2), "{kind:?}: {large:?} against {small:?}");
        assert!(held < Duration::from_millis(2), "{kind:?}: reads were held up by {held:?}");
        cache.clear_tag("steady").await.expect("a clear");
        until_empty(&test).await;
    }
}

/// Fails when the first write of a script that frees memory may need some (`relieve` in `prelude.lua`).
#[tokio::test]
async fn p5_a_full_redis_can_still_be_cleared() {
    let server = RedisServer::start();
    let store: Arc<dyn Store> = Arc::new(RedisStore::builder(server.url()).connect().await.expect("a store"));
    let test = TestStore { store, server: Some(server) };
    let cache = test.node().await;
    fill(&cache, 3_000, "10m", "large").await;
    fill(&cache, 1, "10m", "small").await;
    let mut raw = test.server.as_ref().expect("a server").connection();
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1mb").query::<()>(&mut raw).expect("a bound");
    let policy = cache.policy("10m").expect("a policy");
    cache.get_or_set("new", &policy, async || Ok::<_, std::convert::Infallible>(1)).await.expect("the handler answers");
    cache.clear_tag("large").await.expect("an acknowledged clear");
    assert_eq!(cache.get::<u32>("small:0").await, Some(0));
    let deadline = Instant::now() + Duration::from_secs(30);
    while test.store.size().await.expect("a size").entries > 1 {
        assert!(Instant::now() < deadline, "the sweep goes on although Redis is full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails when nobody looks for members whose entry Redis has evicted (the sample in `sweep.lua`).
#[tokio::test]
async fn p4_evicted_entries_leave_the_index() {
    let server = RedisServer::start_with(&["--maxmemory", "6mb", "--maxmemory-policy", "volatile-lru"]);
    let store: Arc<dyn Store> = Arc::new(RedisStore::builder(server.url()).connect().await.expect("a store"));
    let test = TestStore { store, server: Some(server) };
    let cache = test.node().await;
    let policy = cache.policy("1d").and_then(|policy| policy.tag("evicted")).expect("a policy");
    for number in 0..20_000 {
        let _ = cache.set(&format!("evicted:{number}"), &policy, &"x".repeat(200)).await;
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let StoreSize { entries, index_members, .. } = test.store.size().await.expect("a size");
        assert!(entries < 20_000, "something was evicted");
        if index_members < entries + entries / 5 {
            break;
        }
        assert!(Instant::now() < deadline, "{index_members} members of {entries} entries");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Distinct patterns, each with a scan of its own, cost every hit a comparison: a flood of them becomes one clear.
#[tokio::test]
async fn p9_a_flood_of_patterns_is_bounded() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        fill(&cache, 2_000, "10m", "x").await;
        for number in 0..300 {
            cache.clear_pattern(&format!("y:{number}:*")).await.expect("a clear");
        }
        let open = test.store.size().await.expect("a size").open_sweeps;
        assert!(open <= 4 * 66, "{kind:?}: {open}");
        cache.clear_pattern("x:*").await.expect("a clear");
        assert_eq!(cache.get::<u32>("x:1").await, None);
    }
}

/// Fails when nobody tidies sets whose members have expired (the first half of `sweep.lua`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_20_000_expired_entries_leave_no_members() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        fill(&cache, 20_000, "1s", "short").await;
        until_empty(&test).await;
    }
}
