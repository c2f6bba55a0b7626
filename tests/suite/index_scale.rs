//! The index at size: nothing is left behind (promise P4), a full Redis can be cleared, patterns are bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_middleware::store::{Store, StoreSize};
use cache_suite::{Kind, RedisServer, TestStore, fill, redis_at};

async fn until_empty(test: &TestStore) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while test.store.size().await.expect("a size") != StoreSize::default() {
        assert!(Instant::now() < deadline, "{:?} is left", test.store.size().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Fails when the first write of a script that frees memory may need some (`relieve` in `parts/base.lua`).
#[tokio::test]
async fn p5_a_full_redis_can_still_be_cleared() {
    let server = RedisServer::start();
    let store: Arc<dyn Store> = Arc::new(redis_at(server.url()).connect().await.expect("a store"));
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
    let store: Arc<dyn Store> = Arc::new(redis_at(server.url()).connect().await.expect("a store"));
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
