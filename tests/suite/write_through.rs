//! Writing through: the source first, then the entry, then the signal; what happens when a half fails or two race.

use std::sync::Arc;
use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::{CacheManager, Coherence, EntryAfterWrite, ValuePolicy};
use cache_suite::{Kind, TestStore, node_with_l1};
use tokio::sync::Semaphore;

async fn over(test: &TestStore) -> (Arc<ChaosStore>, CacheManager) {
    let store = ChaosStore::before_shared(test.store.clone());
    let cache = CacheManager::builder().shared_store(store.clone()).without_annotation_checks().build().await;
    (store, cache.expect("a manager"))
}

fn policy(cache: &CacheManager) -> ValuePolicy {
    cache.policy("5m").and_then(|policy| policy.tag("orders")).expect("a policy")
}

async fn write(cache: &CacheManager, value: u64) -> EntryAfterWrite {
    let written = cache.write_through("order", &policy(cache), async || Ok::<_, std::io::Error>(value)).await;
    let written = written.expect("a write");
    assert_eq!(written.value, value);
    written.entry
}

async fn read(cache: &CacheManager, fresh: u64) -> u64 {
    let fetch = async || Ok::<_, std::io::Error>(fresh);
    cache.get_or_set("order", &policy(cache), fetch).await.expect("an answer")
}

#[tokio::test]
async fn what_was_written_is_there_for_everybody() {
    let test = TestStore::open(Kind::Redis).await;
    let bound = Duration::from_millis(200);
    let one = node_with_l1(&test.store, Coherence::Bounded(bound)).await;
    let two = node_with_l1(&test.store, Coherence::Bounded(bound)).await;
    assert_eq!((read(&one, 1).await, read(&two, 2).await), (1, 1));
    assert_eq!(write(&one, 7).await, EntryAfterWrite::Stored);
    assert_eq!(read(&one, 8).await, 7);
    tokio::time::sleep(bound).await;
    assert_eq!(read(&two, 9).await, 7);
    // Its tags clear it like any other.
    two.clear_tag("orders").await.expect("a clear");
    assert_eq!(read(&two, 10).await, 10);
}

#[tokio::test]
async fn p1_when_a_half_fails_nobody_is_served_what_was_before() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let (store, cache) = over(&test).await;
        read(&cache, 1).await;
        // The source fails: it may have been written all the same.
        let failed = cache.write_through("order", &policy(&cache), async || Err::<u64, _>("no")).await;
        assert_eq!(failed.expect_err("its error"), "no");
        assert_eq!(read(&cache, 2).await, 2, "{kind:?}");
        // So it may if the caller goes away.
        let policy = policy(&cache);
        let hangs = cache.write_through("order", &policy, async || {
            std::future::pending::<()>().await;
            Ok::<u64, &str>(3)
        });
        assert!(tokio::time::timeout(std::time::Duration::from_millis(5), hangs).await.is_err());
        for _ in 0..2_000 {
            if cache.get::<u64>("order").await.is_none() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        assert_eq!(read(&cache, 3).await, 3, "{kind:?}");
        // The entry fails, in each of its steps.
        for (operation, expected) in [
            (Operation::Lease, EntryAfterWrite::Cleared),
            (Operation::Fill, EntryAfterWrite::Cleared),
            (Operation::Clear, EntryAfterWrite::Journaled),
        ] {
            store.inject(operation, Fault::Error);
            assert_eq!(write(&cache, 10).await, expected, "{kind:?}: {operation:?}");
            store.heal();
            let after = read(&cache, 11).await;
            assert!(after >= 10, "{kind:?}: {operation:?}: {after}");
        }
    }
}

/// Two writers reach their source in one order and the cache in the other. Fails when the entry is stored whatever came
/// between.
#[tokio::test]
async fn p1_of_two_writes_at_once_the_older_is_not_left() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let (_, cache) = over(&test).await;
        let gate = Arc::new(Semaphore::new(0));
        let first = tokio::spawn({
            let (cache, gate) = (cache.clone(), gate.clone());
            async move {
                let slow = async || {
                    // Written, and the answer of the source is on its way.
                    let _permit = gate.acquire().await;
                    Ok::<_, std::io::Error>(1_u64)
                };
                cache.write_through("order", &policy(&cache), slow).await.expect("a write").entry
            }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(write(&cache, 2).await, EntryAfterWrite::Stored, "{kind:?}");
        gate.add_permits(1);
        assert_eq!(first.await.expect("no panic"), EntryAfterWrite::Cleared, "{kind:?}");
        assert_eq!(read(&cache, 3).await, 3, "{kind:?}");
    }
}

/// Another way to write, which only clears, comes between.
#[tokio::test]
async fn p1_a_clear_during_a_write_wins() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let (_, cache) = over(&test).await;
        let during = async || {
            cache.clear_tag("orders").await.expect("a clear");
            Ok::<_, std::io::Error>(1_u64)
        };
        let written = cache.write_through("order", &policy(&cache), during).await.expect("a write");
        assert_eq!(written.entry, EntryAfterWrite::Cleared, "{kind:?}");
        assert_eq!(read(&cache, 2).await, 2, "{kind:?}");
    }
}

/// Recorded before the source is written, and forgotten once the entry is replaced.
#[tokio::test]
async fn p5_a_durable_write_is_recorded_first() {
    let test = TestStore::open(Kind::Redis).await;
    let (store, cache) = over(&test).await;
    let policy = policy(&cache).durable();
    let before = store.asked(Operation::Intend);
    let during = async || Ok::<_, std::io::Error>(store.asked(Operation::Intend));
    let written = cache.write_through("order", &policy, during).await.expect("a write");
    assert!(written.value > before, "before the source");
    assert_eq!(written.entry, EntryAfterWrite::Stored);
    let server = test.server.as_ref().expect("a server");
    let recorded =
        || redis::cmd("ZCARD").arg("{cache:v3:0}:a").query::<u64>(&mut server.connection()).expect("a number");
    while recorded() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A write that fails may have written: what it was about to replace goes.
    let failed = cache.write_through("order", &policy, async || Err::<u64, _>("no")).await;
    failed.expect_err("its error");
    assert_eq!(recorded(), 1);
}
