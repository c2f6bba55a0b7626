//! Messages: what is believed, what is a hint, what is nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cache_middleware::store::Store;
use cache_middleware::{ChangeMessage, EncryptionKey};
use cache_suite::{Kind, RedisServer, TestStore, node, redis_at};
use serde_json::json;

use super::{Authority, COSTS, all, costs, follows, publisher, until, until_proven};

const CHANNEL: &str = "crm:123:credit-configs";

/// As another program writes it.
fn foreign(code: &str, value: i64) -> serde_json::Value {
    json!({
        "eventId": format!("change-{code}-{value}"), "eventType": "credit-config-changed", "tenantId": "123",
        "data": {"configId": "cfg-789", "code": code, "changedFields": ["cost"], "newValue": value, "oldValue": 1, "version": 1_000},
    })
}

#[tokio::test]
async fn another_program_s_message_is_a_hint() {
    for kind in Kind::ALL {
        let store = TestStore::open(kind).await;
        let authority = Authority::of(&[("a", 1)]);
        let changes = follows(&store.node().await).await;
        let cache = costs(&changes, &authority).await;
        let other = store.node().await;
        authority.set("a", Some(2));
        // It says 3, and the source says 2.
        until("somebody hears it", || {
            changes.progress().hints > 0 || {
                let (other, message) = (other.clone(), foreign("a", 3));
                tokio::spawn(async move { other.announce(CHANNEL, &message).await });
                false
            }
        })
        .await;
        until("the source was asked", || cache.held(&"a".to_owned()) == Some(2)).await;
        assert_eq!(authority.asked_one.load(Ordering::SeqCst), 2, "at the start, and for this record: {kind:?}");
        assert_eq!(authority.asked_all.load(Ordering::SeqCst), 1);
    }
}

/// `redis-cli publish`.
fn publish(server: &RedisServer, channel: &str, text: &str) {
    redis::cmd("PUBLISH").arg(channel).arg(text).exec(&mut server.connection()).expect("it is published");
}

#[tokio::test]
async fn what_is_no_message_is_counted_and_harmless() {
    let store = TestStore::open(Kind::Redis).await;
    let server = store.server.as_ref().unwrap();
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&store.node().await).await;
    let cache = costs(&changes, &authority).await;
    until_proven(&cache).await;
    until("it hears", || {
        publish(server, CHANNEL, "no JSON");
        changes.progress().malformed > 0
    })
    .await;
    // What comes after this comes after all of that.
    publish(server, CHANNEL, &foreign("a", 4).to_string());
    until("a hint is heard", || changes.progress().hints == 1).await;
    let before = changes.progress();
    publish(server, CHANNEL, &foreign("a", 5).to_string().replace("\"123\"", "\"124\""));
    publish(server, CHANNEL, r#"{"position":"zz 1","eventId":1}"#);
    publish(server, CHANNEL, &"x".repeat(100_000));
    publish(server, "crm:123:things", &foreign("a", 5).to_string());
    // Of another tenant, and of another application.
    publish(server, "crm:124:things", &foreign("a", 5).to_string());
    publish(server, "crm:124:credit-configs", &foreign("a", 5).to_string());
    publish(server, "hrms:123:credit-configs", &foreign("a", 5).to_string());
    until("all are counted", || changes.progress().malformed == before.malformed + 3).await;
    until("the unknown type is counted", || changes.progress().unknown == 1).await;
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
    let after = changes.progress();
    assert_eq!((after.applied, after.hints, after.gaps), (1, 1, 0));
    assert_eq!(authority.asked_one.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_position_that_is_another_store_s_says_nothing() {
    let store = TestStore::open(Kind::Redis).await;
    let server = store.server.as_ref().unwrap();
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&store.node().await).await;
    let cache = costs(&changes, &authority).await;
    until_proven(&cache).await;
    // Another namespace on this Redis, with the same application.
    let other: Arc<dyn Store> = Arc::new(redis_at(server.url()).namespace("other").connect().await.unwrap());
    let wrong = ChangeMessage::new("x").field("code", "a").from_to(1, 77).version(1_000);
    publisher(&node(&other).await, 100).await.publish(COSTS, wrong).await.unwrap();
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
    // A number that is far ahead is looked up, and not believed.
    publish(server, CHANNEL, &format!("{{\"position\":\"{:016x} 99\",{}", 7, &foreign("a", 5).to_string()[1..]));
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
}

#[tokio::test]
async fn messages_are_heard_once() {
    let store = TestStore::open(Kind::Redis).await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&store.node().await).await;
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&store.node().await, 100).await;
    // As a publisher that does not know whether it was.
    let message = authority.set("a", Some(2));
    for _ in 0..3 {
        publisher.try_publish(COSTS, message.clone()).await.unwrap();
    }
    until_proven(&cache).await;
    assert_eq!((changes.progress().applied, changes.progress().duplicates), (1, 2));
    assert_eq!(all(&cache), authority.records());
}

#[tokio::test]
async fn an_id_that_is_used_again_hides_no_change() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&store.node().await).await;
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&store.node().await, 100).await;
    for value in 2..5 {
        publisher.publish(COSTS, authority.set("a", Some(value)).id("change-123")).await.unwrap();
    }
    until_proven(&cache).await;
    assert_eq!((all(&cache), changes.progress().applied), (authority.records(), 3));
}

#[tokio::test]
async fn a_message_that_does_not_say_all_has_the_source_asked() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&store.node().await).await;
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&store.node().await, 100).await;
    authority.set("a", Some(2));
    // Without a version, without a value, of another type, without a key.
    let of_a = || ChangeMessage::new("credit-config-changed").field("code", "a");
    let messages = [of_a().from_to(1, 9), of_a().version(9), of_a().from_to(1, "nine").version(9)];
    for (message, asked) in messages.into_iter().zip(2..) {
        publisher.publish(COSTS, message).await.unwrap();
        until("the source was asked", || authority.asked_one.load(Ordering::SeqCst) == asked).await;
    }
    until("it is right", || all(&cache) == authority.records()).await;
    publisher.publish(COSTS, ChangeMessage::new("credit-config-changed").field("name", "a")).await.unwrap();
    until("everything was loaded", || authority.asked_all.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test]
async fn r15_with_a_key_only_those_who_have_it_are_believed() {
    let server = RedisServer::start();
    let key = || EncryptionKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let sealed: Arc<dyn Store> = Arc::new(redis_at(server.url()).encryption_keys([key()]).connect().await.unwrap());
    let open: Arc<dyn Store> = Arc::new(redis_at(server.url()).connect().await.unwrap());
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&node(&sealed).await).await;
    let cache = costs(&changes, &authority).await;
    let ours = publisher(&node(&sealed).await, 100).await;
    ours.publish(COSTS, authority.set("a", Some(2))).await.unwrap();
    until("it is in effect", || all(&cache) == authority.records()).await;
    assert_eq!(authority.asked_all.load(Ordering::SeqCst), 1);
    // Nobody reads it who looks into Redis.
    let stream = "{cache:v3:0}:cs:crm:123:credit-configs";
    let rows: Vec<redis::Value> =
        redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query(&mut server.connection()).unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!format!("{rows:?}").contains("newValue"), "{rows:?}");
    // Somebody without the key counts it in its place: something has changed, and nobody knows what.
    let theirs = ChangeMessage::new("x").field("code", "a").from_to(2, 99).version(1_000);
    publisher(&node(&open).await, 100).await.publish(COSTS, theirs).await.unwrap();
    until("everything was loaded", || authority.asked_all.load(Ordering::SeqCst) == 2).await;
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
}

#[tokio::test]
async fn a_flood_is_read_later() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 0)]);
    let changes = follows(&store.node().await).await;
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&store.node().await, 10_000).await;
    for value in 0..5_000 {
        publisher.try_publish(COSTS, authority.set("a", Some(value))).await.unwrap();
    }
    until("the last is in effect", || all(&cache) == authority.records()).await;
    assert_eq!(authority.asked_all.load(Ordering::SeqCst), 1);
}
