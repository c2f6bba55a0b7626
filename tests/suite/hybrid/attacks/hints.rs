//! What other programs publish, and what Redis allows.

use super::*;

/// Hints are given to critical caches only after what is cached was cleared, one after the other.
#[tokio::test]
async fn slow_clears_do_not_hold_up_critical_data() {
    let chaos = ChaosStore::before(MemoryStore::default());
    let node = node(&(chaos.clone() as Arc<dyn Store>)).await;
    let authority = Authority::of(&[("a", 1), ("b", 1)]);
    let changes = follows(&node).await;
    let cache = costs(&changes, &authority).await;
    until_proven(&cache).await;
    chaos.inject(Operation::Clear, Fault::Delay(Duration::from_millis(200)));
    for number in 0..20 {
        let hint = json!({"eventId": format!("{number}"), "eventType": "x", "tenantId": "123", "data": {"code": "b"}});
        node.announce(CHANNEL, &hint).await.unwrap();
    }
    authority.set("a", Some(2));
    let hint = json!({"eventId": "last", "eventType": "x", "tenantId": "123", "data": {"code": "a"}});
    node.announce(CHANNEL, &hint).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(cache.held(&a()), Some(2), "after 2 s, {:?}", cache.freshness());
}

/// With keys, "only those who have it are believed". Somebody without them publishes again what is sealed, with the next position.
#[tokio::test]
async fn r15_a_sealed_message_that_is_replayed_does_not_suppress_another() {
    use cache_middleware::EncryptionKey;
    use cache_suite::{RedisServer, redis_at};
    let server = RedisServer::start();
    let key = EncryptionKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let store: Arc<dyn Store> = Arc::new(redis_at(server.url()).encryption_keys([key]).connect().await.unwrap());
    let authority = Authority::of(&[("a", 1), ("b", 1)]);
    let node = node(&store).await;
    let changes = cache_middleware::ChangeConsumer::builder(APP).beat("2s").start(&node).await.unwrap();
    let changes = changes.tenant("123").unwrap();
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&node, 100).await;
    publisher.publish(COSTS, authority.set("b", Some(2))).await.unwrap();
    until("it is in effect", || all(&cache) == authority.records()).await;
    // What everybody reads who may subscribe.
    let fence: String = redis::cmd("GET").arg("{cache:v3:0}:f").query(&mut server.connection()).unwrap();
    let incarnation = fence.split(' ').next().unwrap();
    let rows: Vec<(String, Vec<String>)> = redis::cmd("XRANGE")
        .arg(format!("{{cache:v3:0}}:cs:{CHANNEL}"))
        .arg("-")
        .arg("+")
        .query(&mut server.connection())
        .unwrap();
    let sealed = &rows[0].1[1];
    let before = changes.progress().duplicates;
    redis::cmd("PUBLISH")
        .arg(CHANNEL)
        .arg(format!("{{\"position\":\"{incarnation} 2 00000000deadbeef {}\",{}", rows[0].1[0], &sealed[1..]))
        .exec(&mut server.connection())
        .unwrap();
    until("it is heard", || changes.progress().duplicates > before).await;
    publisher.publish(COSTS, authority.set("b", Some(3))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records(), "{:?}, {:?}", cache.freshness(), changes.progress());
}

/// "No restarts are trusted": a Redis that comes back from a snapshot is another life.
#[tokio::test]
async fn a_snapshot_is_another_life() {
    use cache_suite::{RedisServer, redis_at};
    let server = RedisServer::start();
    let authority = Authority::of(&[("a", 1)]);
    let store: Arc<dyn Store> = Arc::new(redis_at(server.url()).connect().await.unwrap());
    let changes = follows(&node(&store).await).await;
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&node(&store).await, 100).await;
    let _: () = redis::cmd("SAVE").query(&mut server.connection()).unwrap();
    for value in 2..5 {
        publisher.publish(COSTS, authority.set("a", Some(value))).await.unwrap();
    }
    until("it is in effect", || all(&cache) == authority.records()).await;
    let killed = server.kill();
    let _server = killed.restart();
    for value in 5..9 {
        publisher.publish(COSTS, authority.set("a", Some(value))).await.unwrap();
    }
    assert!(publisher.flush(Duration::from_secs(10)).await);
    until("it is in effect", || all(&cache) == authority.records()).await;
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
}

/// A node that has believed a message under a number that was not given to it yet: 2, after the first of ours.
async fn deceived(keep: u64) -> (TestStore, Arc<ChaosStore>, ChangePublisher, Arc<Authority>, super::super::Costs) {
    let store = TestStore::open(Kind::Redis).await;
    let chaos = ChaosStore::before_shared(store.store.clone());
    let authority = Authority::of(&[("a", 1), ("b", 1)]);
    let node_of = node(&(chaos.clone() as Arc<dyn Store>)).await;
    let changes = cache_middleware::ChangeConsumer::builder(APP).beat("2s").start(&node_of).await.expect("a consumer");
    let changes = changes.tenant("123").expect("a tenant");
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&store.node().await, keep).await;
    publisher.publish(COSTS, authority.set("a", Some(2))).await.expect("it is published");
    until("it is in effect", || all(&cache) == authority.records()).await;
    let mut raw = store.server.as_ref().expect("a server").connection();
    let fence: String = redis::cmd("GET").arg("{cache:v3:0}:f").query(&mut raw).expect("a fence");
    let head: String = redis::cmd("HGET").arg("{cache:v3:0}:cn").arg(CHANNEL).query(&mut raw).expect("a head");
    let (incarnation, check) = (fence.split(' ').next().unwrap_or(""), head.split(' ').nth(1).unwrap_or(""));
    let forged =
        json!({"eventId": "forged", "eventType": "x", "tenantId": "123", "data": {"code": "other"}}).to_string();
    let heard = changes.progress().applied;
    redis::cmd("PUBLISH")
        .arg(CHANNEL)
        .arg(format!("{{\"position\":\"{incarnation} 2 00000000deadbeef {check}\",{}", &forged[1..]))
        .exec(&mut raw)
        .expect("it is published");
    until("it is believed", || changes.progress().applied > heard).await;
    (store, chaos, publisher, authority, cache)
}

#[tokio::test]
async fn the_next_message_shows_that_the_last_one_was_forged() {
    let (_store, chaos, publisher, authority, cache) = deceived(0).await;
    chaos.inject(Operation::Push, Fault::Lost);
    publisher.publish(COSTS, authority.set("b", Some(5))).await.unwrap();
    chaos.heal();
    publisher.publish(COSTS, authority.set("a", Some(3))).await.unwrap();
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
}

#[tokio::test]
async fn a_beat_shows_that_the_last_message_was_forged() {
    let (_store, chaos, publisher, authority, cache) = deceived(100).await;
    chaos.inject(Operation::Push, Fault::Lost);
    publisher.publish(COSTS, authority.set("b", Some(5))).await.unwrap();
    publisher.publish(COSTS, authority.set("a", Some(3))).await.unwrap();
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
}
