//! Messages: published, heard, believed.

use super::*;

/// More hints at once than wait: nobody keeps them, and so everything may be wrong.
#[tokio::test]
async fn a_flood_of_hints_loses_none() {
    let store = TestStore::open(Kind::Memory).await;
    let names: Vec<String> = (0..2_000).map(|number| format!("op-{number}")).collect();
    let authority = Authority::of(&names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
    let node = store.node().await;
    let changes = follows(&node).await;
    let cache = costs(&changes, &authority).await;
    until_proven(&cache).await;
    // Made of a record whose hint finds no room, under a tag of the application.
    let made = node.tenant("123").unwrap();
    let policy = made.policy("5m").and_then(|policy| policy.tag("budget:2026")).unwrap();
    made.set("budget", &policy, &1_u8).await.unwrap();
    for name in &names[..950] {
        // Nobody has a turn in between.
        let hint = json!({"eventId": name, "eventType": "x", "tenantId": "123", "data": {"other": 1, "code": name}});
        node.announce(CHANNEL, &hint).await.unwrap();
    }
    for number in 0..200 {
        // Of no record that there is; they only fill what waits.
        let hint =
            json!({"eventId": format!("fill-{number}"), "eventType": "x", "tenantId": "123", "data": {"code": "op-0"}});
        node.announce(CHANNEL, &hint).await.unwrap();
    }
    authority.set("op-1999", Some(2));
    let hint = json!({"eventId": "last", "eventType": "x", "tenantId": "123", "data": {"code": "op-1999"}});
    node.announce(CHANNEL, &hint).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    until_proven(&cache).await;
    let progress = changes.progress();
    assert_eq!(cache.held(&"op-1999".to_owned()), Some(2), "{progress:?}, {:?}", cache.freshness());
    assert_eq!(made.get::<u8>("budget").await, None, "what is made of records that are not known is cleared");
}

/// `redis-cli publish` of somebody who has looked at our messages and counts on.
#[tokio::test]
async fn a_foreign_message_with_a_position_is_a_hint() {
    let store = TestStore::open(Kind::Redis).await;
    let server = store.server.as_ref().unwrap();
    let authority = Authority::of(&[("a", 1), ("b", 1)]);
    let changes = cache_middleware::ChangeConsumer::builder(APP).beat("2s").start(&store.node().await).await.unwrap();
    let changes = changes.tenant("123").unwrap();
    let cache = costs(&changes, &authority).await;
    let publisher = publisher(&store.node().await, 100).await;
    publisher.publish(COSTS, authority.set("b", Some(2))).await.unwrap();
    until("it is in effect", || all(&cache) == authority.records()).await;
    let fence: String = redis::cmd("GET").arg("{cache:v3:0}:f").query(&mut server.connection()).unwrap();
    let incarnation = fence.split(' ').next().unwrap();
    let text = json!({"eventId": "f", "eventType": "x", "tenantId": "123", "data": {"code": "a", "newValue": 77, "version": 1_000}}).to_string();
    redis::cmd("PUBLISH")
        .arg(CHANNEL)
        .arg(format!("{{\"position\":\"{incarnation} 2\",{}", &text[1..]))
        .exec(&mut server.connection())
        .unwrap();
    until("it is heard", || changes.progress().applied + changes.progress().hints >= 2).await;
    // The next message of ours has that position.
    publisher.publish(COSTS, authority.set("b", Some(3))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records(), "{:?}, {:?}", cache.freshness(), changes.progress());
}

/// It would be published without the clear of what it names.
#[tokio::test]
async fn a_message_that_names_too_many_records_or_none_is_refused() {
    let store = TestStore::open(Kind::Memory).await;
    let mut message = ChangeMessage::new("user-changed").field("userId", "a");
    for number in 0..16 {
        message = message.field(format!("address{number:02}"), "x");
    }
    let publisher = publisher(&store.node().await, 0).await;
    let refused = publisher.publish("users", message).await.unwrap_err().to_string();
    assert!(refused.contains("names 17 records"), "{refused}");
    let none = publisher.publish("users", ChangeMessage::new("user-changed")).await.unwrap_err().to_string();
    assert!(none.contains("names 0 records"), "{none}");
}

/// The store clears, but one channel cannot be published to: the clears of what is published after that are not even tried.
#[tokio::test]
async fn a_clear_does_not_wait_for_the_messages_before_it() {
    let chaos = ChaosStore::before(MemoryStore::default());
    let cache = node(&(chaos.clone() as Arc<dyn Store>)).await;
    let authority = Authority::of(&[("a", 1), ("b", 1)]);
    let users: ReferenceCache<String, i64> =
        ReferenceCache::builder("users").start(&follows(&cache).await, To(authority.clone())).await.unwrap();
    let publisher = publisher(&cache, 0).await;
    assert_eq!(users.get(&a()).await.unwrap(), Some(1));
    chaos.inject(Operation::Channel, Fault::Error);
    publisher.publish("users", authority.set("b", Some(2))).await.unwrap();
    publisher.publish("users", authority.set("a", Some(2))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        users.get(&a()).await.unwrap(),
        Some(2),
        "the clear works, on this very node, and a journal would have held it"
    );
}

/// Somebody else's key stands where one channel is kept. The other tenant's messages have nothing to do with it.
#[tokio::test]
async fn one_tenant_s_broken_channel_does_not_hold_up_another_s() {
    let store = TestStore::open(Kind::Redis).await;
    let server = store.server.as_ref().unwrap();
    redis::cmd("SET")
        .arg(format!("{{cache:v3:0}}:cs:{CHANNEL}"))
        .arg("not ours")
        .exec(&mut server.connection())
        .unwrap();
    let publisher = publisher(&store.node().await, 10).await;
    let _ = publisher.publish(COSTS, ChangeMessage::new("x").field("code", "a")).await.unwrap();
    let other = publisher.tenant("124").unwrap();
    let receipt = other.publish(COSTS, ChangeMessage::new("x").field("code", "a")).await.unwrap();
    let flushed = publisher.flush(Duration::from_secs(2)).await;
    assert!(!receipt.waiting && flushed, "{receipt:?}, flushed: {flushed}");
}

/// Wrong type in the place of the stream. Fails when `publish.lua` does not take its place.
#[tokio::test]
async fn a_foreign_key_in_the_place_of_a_channel_is_replaced() {
    let store = TestStore::open(Kind::Redis).await;
    let server = store.server.as_ref().unwrap();
    redis::cmd("SET")
        .arg(format!("{{cache:v3:0}}:cs:{CHANNEL}"))
        .arg("not ours")
        .exec(&mut server.connection())
        .unwrap();
    let publisher = publisher(&store.node().await, 10).await;
    let published = publisher.try_publish(COSTS, ChangeMessage::new("x").field("code", "a")).await;
    assert!(published.is_ok(), "{published:?}");
}

/// The message is published, and its clear is not acknowledged: the journal carries it out.
#[tokio::test]
async fn a_clear_that_fails_beside_its_message_is_journaled() {
    let chaos = ChaosStore::before(MemoryStore::default());
    let behind = chaos.clone() as Arc<dyn Store>;
    let authority = Authority::of(&[("a", 1)]);
    let plain: Arc<dyn Store> = ChaosStore::before_shared(behind.clone());
    let users: ReferenceCache<String, i64> = ReferenceCache::builder("users")
        .start(&follows(&node(&plain).await).await, To(authority.clone()))
        .await
        .unwrap();
    assert_eq!(users.get(&a()).await.unwrap(), Some(1));
    let publisher = publisher(&node(&behind).await, 0).await;
    chaos.inject(Operation::Clear, Fault::Error);
    let receipt = publisher.publish("users", authority.set("a", Some(2))).await.unwrap();
    assert!(receipt.journaled && !receipt.waiting, "{receipt:?}");
    chaos.heal();
    for _ in 0..2_000 {
        if users.get(&a()).await.unwrap() == Some(2) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the journal has never cleared it");
}

/// The last handle of a publisher goes away while a message waits.
#[tokio::test]
async fn what_waits_is_published_also_when_the_publisher_is_dropped() {
    let chaos = ChaosStore::before(MemoryStore::default());
    let behind = chaos.clone() as Arc<dyn Store>;
    let authority = Authority::of(&[("a", 1)]);
    let cache = costs(&follows(&node(&behind).await).await, &authority).await;
    until_proven(&cache).await;
    {
        let publisher: ChangePublisher = publisher(&node(&behind).await, 10).await;
        let publishes = publisher.publish(COSTS, authority.set("a", Some(2)));
        // The client hangs up.
        chaos.inject(Operation::Clear, Fault::Delay(Duration::from_millis(50)));
        assert!(tokio::time::timeout(Duration::from_millis(5), publishes).await.is_err());
    }
    chaos.heal();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(cache.held(&a()), Some(2));
}

/// Names that the message has itself: published, and then nobody can read it.
#[tokio::test]
async fn a_message_that_nobody_can_read_is_refused() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&store.node().await).await;
    let cache = costs(&changes, &authority).await;
    until_proven(&cache).await;
    let message = ChangeMessage::new("x").field("code", "a").field("version", "v2");
    let published = publisher(&store.node().await, 10).await.publish(COSTS, message).await;
    assert!(published.is_err(), "{published:?}");
}

/// Caches of many tenants come and go.
#[tokio::test]
async fn p9_followers_end_with_their_caches() {
    let store = TestStore::open(Kind::Memory).await;
    let changes = follows(&store.node().await).await;
    let authority = Authority::of(&[]);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for number in 0..200 {
        drop(costs(&changes.tenant(&format!("t{number}")).unwrap(), &authority).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let more = tasks() - before;
    assert!(more < 20, "{more} tasks go on, each with its timer and its memory of 4096 ids");
}

/// "Clears everything a tenant has": the values in its messages too.
#[tokio::test]
async fn what_is_kept_of_a_tenant_s_messages_ends() {
    let store = TestStore::open(Kind::Redis).await;
    let server = store.server.as_ref().unwrap();
    let cache = store.node().await;
    let message = ChangeMessage::new("x").field("code", "a").from_to("an old secret", "a new secret").version(1);
    publisher(&cache, 10).await.publish(COSTS, message).await.unwrap();
    cache.clear_tenant("123").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let left: i64 =
        redis::cmd("PTTL").arg(format!("{{cache:v3:0}}:cs:{CHANNEL}")).query(&mut server.connection()).unwrap();
    assert!(left > 0, "{left}: -1 has no end, and -2 is not there");
}

#[tokio::test]
async fn bounds_that_are_none_are_refused() {
    let store = TestStore::open(Kind::Memory).await;
    let cache = store.node().await;
    for builder in [ChangePublisher::builder(APP).keep(u64::MAX), ChangePublisher::builder(APP).most_waiting(0)] {
        let refused = builder.start(&cache).await.unwrap_err().to_string();
        assert!(refused.contains("100000"), "{refused}");
    }
}

/// A value's own code panics; the others that follow the channel go on.
#[tokio::test]
async fn one_cache_s_panic_does_not_end_the_others() {
    #[derive(Debug, Clone, PartialEq)]
    struct Picky(i64);
    impl<'de> serde::Deserialize<'de> for Picky {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let value = i64::deserialize(deserializer)?;
            assert!(value >= 0, "as the test has it");
            Ok(Self(value))
        }
    }
    #[derive(Debug)]
    struct Pickies;
    impl SourceOfTruth<String, Picky> for Pickies {
        async fn one(&self, _: &String) -> Result<Option<Record<String, Picky>>, SourceError> {
            Ok(self.all().await?.pop())
        }
        async fn all(&self) -> Result<Vec<Record<String, Picky>>, SourceError> {
            Ok(vec![Record { key: "a".to_owned(), version: 1, value: Picky(1) }])
        }
    }
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&store.node().await).await;
    let cache = costs(&changes, &authority).await;
    let _picky: CriticalCache<String, Picky> =
        CriticalCache::builder(COSTS).key("code").start(&changes, Pickies).await.unwrap();
    let publisher = publisher(&store.node().await, 10).await;
    publisher.publish(COSTS, authority.set("a", Some(-1))).await.unwrap();
    publisher.publish(COSTS, authority.set("a", Some(5))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(all(&cache), authority.records(), "{:?}", cache.freshness());
}
