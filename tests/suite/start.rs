//! Starts: what is refused, with which words, and a Redis that is away.

use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::key::KeySpace;
use cache_middleware::store::MemoryStore;
use cache_middleware::{CacheManager, Key, StoreError};
use cache_suite::{Killed, RedisServer, redis_at};

#[tokio::test]
async fn wrong_settings_are_refused_all_at_once() {
    let builder = CacheManager::builder().ttl("a", "x").on("e", ["{"]).without_annotation_checks();
    let both = builder.build().await.expect_err("a refusal").to_string();
    assert!(both.contains("2 problems") && both.contains("TTL \"a\"") && both.contains("rule of \"e\""), "{both}");
}

#[tokio::test]
async fn annotations_that_the_settings_do_not_fit_are_refused_with_their_place() {
    let refused = CacheManager::builder().build().await.expect_err("a refusal").to_string();
    for part in [
        "tests/suite/attributes.rs:",
        "above_get",
        "no TTL is registered under \"items\"",
        "no rule says what the event \"item.updated\" clears",
        "no rule says what the event \"item.renamed\" clears",
        "`tenant_bound` needs to know the tenant of a request",
    ] {
        assert!(refused.contains(part), "{part:?} is missing in: {refused}");
    }
    let refused = CacheManager::builder()
        .ttl("items", "5m")
        .on("item.updated", ["item:{id}:{colour}"])
        .subscribe("item.renamed", async |_| {})
        .tenant_of(|_| None)
        .build()
        .await
        .expect_err("a refusal")
        .to_string();
    for part in ["attributes.rs:", "needs the field \"colour\" for the tag \"item:{id}:{colour}\"", "supplies id"] {
        assert!(refused.contains(part), "{part:?} is missing in: {refused}");
    }
    assert!(!refused.contains("problems"), "one problem only: {refused}");
}

#[tokio::test]
async fn p4_an_eviction_policy_that_breaks_the_index_is_refused() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let server = RedisServer::start_with(&["--maxmemory-policy", policy]);
        let refused = redis_at(server.url()).connect().await.expect_err("a refusal").to_string();
        for part in [policy, "CONFIG SET maxmemory-policy volatile-lru", "127.0.0.1"] {
            assert!(refused.contains(part), "{part:?} is missing in: {refused}");
        }
        redis_at(server.url()).allow_unsafe_eviction(true).connect().await.expect("a store, loudly");
    }
    for policy in ["noeviction", "volatile-ttl", "volatile-lru"] {
        let server = RedisServer::start_with(&["--maxmemory-policy", policy]);
        redis_at(server.url()).connect().await.expect("a store");
    }
}

/// A server is looked at again at every connection: behind one address there may be another, or other settings.
#[tokio::test]
async fn p4_a_server_that_turns_unsuitable_is_no_longer_used() {
    let server = RedisServer::start();
    let cache = on(&server.url()).await;
    assert_eq!((ask(&cache, 1).await, ask(&cache, 2).await), (1, 1));
    let mut raw = server.connection();
    redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory-policy")
        .arg("allkeys-lru")
        .query::<()>(&mut raw)
        .expect("a setting");
    redis::cmd("CLIENT")
        .arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .arg("SKIPME")
        .arg("yes")
        .query::<u32>(&mut raw)
        .expect("a kill");
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    let key = Key::new(None, KeySpace::Value, None, "key");
    loop {
        match cache.store().read(&key).await {
            Err(StoreError::Unsuitable(why)) => {
                assert!(why.contains("CONFIG SET maxmemory-policy"), "{why}");
                break;
            }
            _ => assert!(std::time::Instant::now() < deadline, "it is still used"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ask(&cache, 3).await, 3);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("noeviction").query::<()>(&mut raw).expect("a setting");
    tokio::time::timeout(Duration::from_secs(5), until_cached(&cache)).await.expect("used again");
}

#[tokio::test]
async fn the_number_of_partitions_cannot_change_under_a_namespace() {
    let server = RedisServer::start();
    redis_at(server.url()).partitions(4).connect().await.expect("a store");
    let refused = redis_at(server.url()).partitions(2).connect().await.expect_err("a refusal").to_string();
    assert!(refused.contains("begun with 4 partitions and is now opened with 2"), "{refused}");
    redis_at(server.url()).namespace("other").partitions(2).connect().await.expect("a store");
    for (namespace, partitions) in [("a b", 1), ("", 1), ("ok", 0)] {
        let store = redis_at(server.url()).namespace(namespace).partitions(partitions);
        store.connect().await.expect_err("a refusal");
    }
    // What no waiting mends is refused, with what to change.
    let guarded = RedisServer::start_with(&["--requirepass", "hunter2"]);
    let web = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let not_redis = format!("redis://{}", web.local_addr().expect("an address"));
    std::thread::spawn(move || {
        use std::io::Write;
        while let Ok((mut stream, _)) = web.accept() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    for (url, expected) in [
        (guarded.url(), "REDIS_PASSWORD"),
        (guarded.url().replace("redis://", "redis://:wrong@"), "REDIS_PASSWORD"),
        (server.url() + "/99", "no such database"),
        (not_redis, "is not Redis"),
    ] {
        let refused = redis_at(url).connect().await.expect_err("a refusal").to_string();
        assert!(refused.contains(expected) && refused.contains("127.0.0.1"), "{refused}");
    }
    let secret = redis_at("redis://:hunter2@exa mple").connect().await.expect_err("a refusal").to_string();
    assert!(!secret.contains("hunter2"), "{secret}");
}

async fn ask(cache: &CacheManager, fresh: u32) -> u32 {
    let policy = cache.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy");
    cache.get_or_set("key", &policy, async || Ok::<_, std::convert::Infallible>(fresh)).await.expect("no error")
}

async fn on(url: &str) -> CacheManager {
    let store = redis_at(url).connect().await.expect("a store that may be away");
    // Without an L1, which would go on answering for a moment.
    CacheManager::builder().store(store).l1_bytes(0).without_annotation_checks().build().await.expect("a manager")
}

/// Waits until a second question for a value is answered with the first's.
async fn until_cached(cache: &CacheManager) {
    let mut fresh = 1_000;
    while ask(cache, fresh).await == fresh {
        fresh += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One run at a time on a node also without a store to ask; but nobody joins a run that is older than a second, because it
/// may be older than another node's clear.
#[tokio::test]
async fn p6_without_redis_a_flight_is_shared_while_it_is_young() {
    let cache = on(&Killed::nowhere().url()).await;
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let slow = |cache: CacheManager| {
        let runs = runs.clone();
        async move {
            let policy = cache.policy("5m").expect("a policy");
            let fetch = async || {
                let run = runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1_400)).await;
                Ok::<_, std::convert::Infallible>(run)
            };
            cache.get_or_set("slow", &policy, fetch).await.expect("no error")
        }
    };
    let early: Vec<_> = (0..20).map(|_| tokio::spawn(slow(cache.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let late = tokio::spawn(slow(cache.clone()));
    for answer in early {
        assert_eq!(answer.await.expect("no panic"), 0);
    }
    assert_eq!(late.await.expect("no panic"), 1);
}

/// Fails when the link gives up, or when a request waits for it.
#[tokio::test]
async fn p8_redis_away_at_the_start_is_used_as_soon_as_it_is_there() {
    let nowhere = Killed::nowhere();
    let cache = on(&nowhere.url()).await;
    let began = std::time::Instant::now();
    for fresh in 0..100 {
        assert_eq!(ask(&cache, fresh).await, fresh, "the handler answers");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "without waiting for Redis");
    let _server = nowhere.restart();
    tokio::time::timeout(Duration::from_secs(5), until_cached(&cache)).await.expect("Redis is used");
}

#[tokio::test]
async fn p8_redis_killed_and_restarted_is_used_again() {
    let server = RedisServer::start();
    let cache = on(&server.url()).await;
    assert_eq!((ask(&cache, 1).await, ask(&cache, 2).await), (1, 1));
    let killed = server.kill();
    for fresh in 10..20 {
        assert_eq!(ask(&cache, fresh).await, fresh);
    }
    let _server = killed.restart();
    tokio::time::timeout(Duration::from_secs(5), until_cached(&cache)).await.expect("Redis is used");
}

/// Fails when a clear that was not acknowledged is forgotten, or when this node serves meanwhile.
#[tokio::test]
async fn p5_a_clear_while_redis_hangs_is_kept_and_nothing_is_served_until_it_is_acknowledged() {
    let server = RedisServer::start();
    let cache = on(&server.url()).await;
    assert_eq!((ask(&cache, 1).await, ask(&cache, 2).await), (1, 1));
    server.signal("-STOP");
    assert!(cache.clear_tag("t").await.expect("a receipt").journaled);
    server.signal("-CONT");
    // Whatever comes first, the old value never does.
    for fresh in 10..200 {
        assert_ne!(ask(&cache, fresh).await, 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::timeout(Duration::from_secs(5), until_cached(&cache)).await.expect("acknowledged at last");
}

/// A caller goes away in the middle of its clear, which never reaches the store. Fails when it is not journaled then.
#[tokio::test]
async fn p5_a_clear_whose_caller_is_dropped_still_happens() {
    let store = ChaosStore::before(MemoryStore::default());
    let cache = CacheManager::builder().shared_store(store.clone()).without_annotation_checks().build().await;
    let cache = cache.expect("a manager");
    assert_eq!((ask(&cache, 1).await, ask(&cache, 2).await), (1, 1));
    store.inject(Operation::Clear, Fault::Hang);
    let clear = tokio::time::timeout(Duration::from_millis(20), cache.clear_tag("t")).await;
    assert!(clear.is_err(), "dropped while it waited");
    assert_eq!(ask(&cache, 3).await, 3, "what waits covers it");
    store.heal();
    tokio::time::timeout(Duration::from_secs(5), until_cached(&cache)).await.expect("acknowledged at last");
    assert!(store.asked(Operation::Clear) >= 2, "the one that was dropped has never arrived");
    assert_ne!(ask(&cache, 4).await, 1);
}
