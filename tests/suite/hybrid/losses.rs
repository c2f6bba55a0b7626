//! Messages that are lost, late or doubled, connections that are cut, a Redis that is started anew: no cache stays different from its
//! source.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::Store;
use cache_suite::{Kind, Proxy, RedisServer, TestStore, Weather, node, redis_at};

use super::{Authority, COSTS, all, costs, follows, publisher, until, until_proven};

/// A node whose part of the store can be faulty.
fn faulty(store: &TestStore) -> (Arc<ChaosStore>, Arc<dyn Store>) {
    let chaos = ChaosStore::before_shared(store.store.clone());
    (chaos.clone(), chaos)
}

#[tokio::test]
async fn lost_messages_are_read_from_what_is_kept() {
    for kind in Kind::ALL {
        let store = TestStore::open(kind).await;
        let authority = Authority::of(&[("a", 1)]);
        let (chaos, behind) = faulty(&store);
        let changes = follows(&node(&behind).await).await;
        let cache = costs(&changes, &authority).await;
        let publisher = publisher(&store.node().await, 100).await;
        // The last one too: nothing comes after it that would tell.
        chaos.inject(Operation::Push, Fault::Lost);
        for value in 2..50 {
            publisher.publish(COSTS, authority.set("a", Some(value))).await.unwrap();
        }
        until("the beat has found them", || all(&cache) == authority.records()).await;
        assert_eq!(authority.asked_all.load(Ordering::SeqCst), 1, "{kind:?}: the source was not needed");
        assert_eq!(changes.progress().gaps, 0);
        assert_eq!(changes.progress().caught_up, 48);
    }
}

#[tokio::test]
async fn what_is_not_kept_is_loaded() {
    let store = TestStore::open(Kind::Redis).await;
    let authority = Authority::of(&[("a", 1)]);
    let (chaos, behind) = faulty(&store);
    let changes = follows(&node(&behind).await).await;
    let cache = costs(&changes, &authority).await;
    until_proven(&cache).await;
    chaos.inject(Operation::Push, Fault::Lost);
    publisher(&store.node().await, 0).await.publish(COSTS, authority.set("a", Some(2))).await.unwrap();
    until("it is loaded", || all(&cache) == authority.records()).await;
    assert_eq!(authority.asked_all.load(Ordering::SeqCst), 2);
    assert_eq!(changes.progress().gaps, 1);
}

#[tokio::test]
async fn doubled_and_late_messages_are_harmless() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 0), ("b", 0)]);
    let (chaos, behind) = faulty(&store);
    let changes = follows(&node(&behind).await).await;
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&store.node().await, 100).await;
    for round in 0..30 {
        // Each is told at another time than it was published.
        let fault = [Fault::Delay(Duration::from_millis(30)), Fault::Twice, Fault::Lost, Fault::Delay(Duration::ZERO)];
        chaos.inject(Operation::Push, fault[round % fault.len()]);
        let value = if round % 7 == 3 { None } else { i64::try_from(round).ok() };
        publisher.publish(COSTS, authority.set(["a", "b"][round % 2], value)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
    // What is still on its way is old by now.
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert_eq!(all(&cache), authority.records());
    assert!(changes.progress().duplicates > 0);
}

#[tokio::test]
async fn a_cut_and_a_half_open_connection_cost_a_beat() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let authority = Authority::of(&[("a", 1)]);
    let behind: Arc<dyn Store> = Arc::new(redis_at(proxy.url()).connect().await.unwrap());
    let direct: Arc<dyn Store> = Arc::new(redis_at(server.url()).connect().await.unwrap());
    let cache = costs(&follows(&node(&behind).await).await, &authority).await;
    let publisher = publisher(&node(&direct).await, 100).await;
    for value in 2..6 {
        proxy.cut();
        publisher.publish(COSTS, authority.set("a", Some(value))).await.unwrap();
        until("it is in effect after a cut", || all(&cache) == authority.records()).await;
    }
    proxy.weather(Weather::Frozen);
    publisher.publish(COSTS, authority.set("a", Some(100))).await.unwrap();
    until("the proof grows old", || cache.freshness().proven_for.is_some_and(|age| age.as_millis() > 100)).await;
    proxy.weather(Weather::Fair);
    until("it is in effect after the connection was half open", || all(&cache) == authority.records()).await;
    assert_eq!(authority.asked_all.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redis_that_is_started_anew_has_everything_loaded() {
    let server = RedisServer::start();
    let port = server.port();
    let authority = Authority::of(&[("a", 1)]);
    let store: Arc<dyn Store> = Arc::new(redis_at(server.url()).connect().await.unwrap());
    let changes = follows(&node(&store).await).await;
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&node(&store).await, 100).await;
    publisher.publish(COSTS, authority.set("a", Some(2))).await.unwrap();
    until("it is in effect", || all(&cache) == authority.records()).await;
    let killed = server.kill();
    // Waits until it can be published.
    let receipt = publisher.publish(COSTS, authority.set("a", Some(3))).await.unwrap();
    assert!(receipt.waiting);
    let _server = killed.restart();
    until("it is in effect", || all(&cache) == authority.records()).await;
    assert!(publisher.flush(Duration::from_secs(20)).await);
    until_proven(&cache).await;
    assert!(authority.asked_all.load(Ordering::SeqCst) >= 2, "what Redis has forgotten on {port} is loaded");
}

#[tokio::test]
async fn a_publisher_s_messages_wait_in_order_and_whoever_goes_away() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1)]);
    let cache = costs(&follows(&store.node().await).await, &authority).await;
    let (chaos, behind) = faulty(&store);
    let publisher = publisher(&node(&behind).await, 100).await;
    chaos.inject(Operation::Channel, Fault::Hang);
    // Its client goes away while the store does not answer.
    let gone = publisher.publish(COSTS, authority.set("a", Some(2)));
    assert!(tokio::time::timeout(Duration::from_millis(20), gone).await.is_err());
    chaos.inject(Operation::Channel, Fault::Error);
    for value in 3..10 {
        assert!(publisher.publish(COSTS, authority.set("a", Some(value))).await.unwrap().waiting);
    }
    assert!(publisher.try_publish(COSTS, authority.set("b", Some(1))).await.is_err());
    assert!(!publisher.flush(Duration::from_millis(20)).await);
    assert_ne!(cache.held(&"a".to_owned()), Some(9));
    chaos.heal();
    assert!(publisher.flush(Duration::from_secs(20)).await);
    until("all of them are in effect", || cache.held(&"a".to_owned()) == Some(9)).await;
}
