//! Reference data: fetched when it is asked for, cleared when it changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::{MemoryStore, Store};
use cache_middleware::time::ManualTime;
use cache_middleware::{ChangeConsumer, Coherence, ReferenceCache, ReferenceCacheBuilder};
use cache_suite::{Kind, TestStore, node, node_with_l1};
use serde_json::json;

use super::{Authority, To, follows, publisher, until};

type Users = ReferenceCache<String, i64>;

const USERS: &str = "users";

fn builder() -> ReferenceCacheBuilder<String, i64> {
    ReferenceCache::builder(USERS)
}

async fn users(changes: &ChangeConsumer, authority: &Arc<Authority>) -> Users {
    builder().start(changes, To(authority.clone())).await.expect("a cache")
}

fn a() -> String {
    "a".to_owned()
}

#[tokio::test]
async fn it_fetches_once_and_says_where_from() {
    for kind in Kind::ALL {
        let store = TestStore::open(kind).await;
        let authority = Authority::of(&[("a", 1)]);
        let nodes = [
            users(&follows(&store.node().await).await, &authority).await,
            users(&follows(&store.node().await).await, &authority).await,
        ];
        let first = nodes[0].look(&a()).await.unwrap();
        assert_eq!((first.value, first.cached), (Some(1), false));
        assert_eq!(first.expires_in, Some(Duration::from_secs(300)));
        let second = nodes[1].look(&a()).await.unwrap();
        assert_eq!((second.value, second.cached), (Some(1), true), "{kind:?}");
        assert!(second.expires_in.unwrap() > Duration::from_secs(290));
        // That there is nobody is remembered too.
        for _ in 0..3 {
            assert_eq!(nodes[0].get(&"nobody".to_owned()).await.unwrap(), None);
        }
        assert_eq!(authority.asked_one.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn p1_a_published_change_is_in_effect_when_that_is_acknowledged() {
    for kind in Kind::ALL {
        let store = TestStore::open(kind).await;
        let authority = Authority::of(&[("a", 1)]);
        let nodes = [
            users(
                &follows(&node_with_l1(&store.store, Coherence::Strict(Duration::from_secs(1))).await).await,
                &authority,
            )
            .await,
            users(
                &follows(&node_with_l1(&store.store, Coherence::Strict(Duration::from_secs(1))).await).await,
                &authority,
            )
            .await,
        ];
        let source = node_with_l1(&store.store, Coherence::Strict(Duration::from_secs(1))).await;
        let publisher = publisher(&source, 0).await;
        for value in 2..20 {
            for node in &nodes {
                node.get(&a()).await.unwrap();
            }
            publisher.publish(USERS, authority.set("a", Some(value)).field("userId", "a")).await.unwrap();
            for node in &nodes {
                assert_eq!(node.get(&a()).await.unwrap(), Some(value), "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn p1_a_slow_fetch_does_not_outlive_a_change() {
    let store = TestStore::open(Kind::Redis).await;
    let authority = Authority::of(&[("a", 1)]);
    let users = users(&follows(&store.node().await).await, &authority).await;
    let publisher = publisher(&store.node().await, 0).await;
    authority.answers(false);
    let slow = tokio::spawn({
        let users = users.clone();
        async move { users.get(&a()).await.unwrap() }
    });
    until("the source is asked", || authority.asked_one.load(Ordering::SeqCst) == 1).await;
    publisher.publish(USERS, authority.set("a", Some(2))).await.unwrap();
    // Neither is it joined by who comes after the change, nor stored.
    let later = tokio::spawn({
        let users = users.clone();
        async move { users.get(&a()).await.unwrap() }
    });
    tokio::task::yield_now().await;
    authority.answers(true);
    assert_eq!(slow.await.unwrap(), Some(1));
    assert_eq!(later.await.unwrap(), Some(2));
    assert_eq!(users.get(&a()).await.unwrap(), Some(2));
}

#[tokio::test]
async fn another_program_s_message_clears_it_once_for_all_nodes() {
    let store = TestStore::open(Kind::Redis).await;
    let authority = Authority::of(&[("a", 1)]);
    let mut nodes = Vec::new();
    let mut chaos = Vec::new();
    for _ in 0..4 {
        let behind = ChaosStore::before_shared(store.store.clone());
        chaos.push(behind.clone());
        let changes = follows(&node(&(behind as Arc<dyn Store>)).await).await;
        nodes.push((users(&changes, &authority).await, changes));
    }
    let source = store.node().await;
    let mut number = 0;
    until("all of them hear", || {
        number += 1;
        let (source, number) = (source.clone(), number);
        tokio::spawn(async move { source.announce("crm:123:users", &message(&format!("warm-{number}"))).await });
        nodes.iter().all(|(_, changes)| changes.progress().hints > 0)
    })
    .await;
    assert_eq!(nodes[0].0.get(&a()).await.unwrap(), Some(1));
    authority.set("a", Some(2));
    until("nothing is on its way", || {
        let hints: Vec<u64> = nodes.iter().map(|(_, changes)| changes.progress().hints).collect();
        hints.iter().all(|of| *of == number)
    })
    .await;
    let before: u64 = chaos.iter().map(|chaos| chaos.asked(Operation::Clear)).sum();
    source.announce("crm:123:users", &message("it")).await.unwrap();
    until("all have heard it", || nodes.iter().all(|(_, changes)| changes.progress().hints == number + 1)).await;
    until("one has cleared", || chaos.iter().map(|chaos| chaos.asked(Operation::Clear)).sum::<u64>() > before).await;
    for (users, _) in &nodes {
        assert_eq!(users.get(&a()).await.unwrap(), Some(2));
    }
    assert_eq!(chaos.iter().map(|chaos| chaos.asked(Operation::Clear)).sum::<u64>(), before + 1);
}

fn message(id: &str) -> serde_json::Value {
    json!({"eventId": id, "eventType": "user-profile-changed", "tenantId": "123",
        "data": {"userId": "a", "changedFields": ["title"]}})
}

#[tokio::test]
async fn what_is_stale_is_served_while_the_source_is_away() {
    let time = ManualTime::default();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(time.clone()).build());
    let authority = Authority::of(&[("a", 1)]);
    let users = users(&follows(&node(&store).await).await, &authority).await;
    users.get(&a()).await.unwrap();
    authority.be_away(true);
    time.advance(Duration::from_secs(301));
    let stale = users.look(&a()).await.unwrap();
    assert_eq!((stale.value, stale.cached, stale.expires_in), (Some(1), true, None));
    assert!(stale.outcome.to_string().contains("stale-if-error"), "{}", stale.outcome);
    assert!(users.get(&"b".to_owned()).await.is_err());
    authority.be_away(false);
    authority.set("a", Some(2));
    time.advance(Duration::from_secs(60));
    assert_eq!(users.get(&a()).await.unwrap(), Some(2));
    // What was cleared is gone, source or not.
    users.clear(&a()).await.unwrap();
    authority.be_away(true);
    time.advance(Duration::from_secs(60));
    assert!(users.get(&a()).await.is_err());
}

#[tokio::test]
async fn many_are_fetched_with_one_question() {
    for kind in Kind::ALL {
        let store = TestStore::open(kind).await;
        let names: Vec<String> = (0..150).map(|number| format!("user-{number}")).collect();
        let values: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(0..).take(100).collect();
        let authority = Authority::of(&values);
        let users = users(&follows(&store.node().await).await, &authority).await;
        users.get(&names[3]).await.unwrap();
        let found = users.get_many(&names).await.unwrap();
        let expected: Vec<Option<i64>> = (0..150).map(|number| (number < 100).then_some(number)).collect();
        assert_eq!(found, expected);
        assert!(authority.asked_many.load(Ordering::SeqCst) <= 2, "{kind:?}: one question, or two if Redis is slow");
        let again = users.get_many(&names).await.unwrap();
        assert_eq!(again, expected);
        assert!(authority.asked_many.load(Ordering::SeqCst) <= 2, "{kind:?}: all of them are known");
        assert_eq!(authority.asked_one.load(Ordering::SeqCst), 1);
        // The same twice, and none.
        let twice = users.get_many(&[names[1].clone(), names[1].clone()]).await.unwrap();
        assert_eq!(twice, [Some(1), Some(1)]);
        assert_eq!(users.get_many(&[]).await.unwrap(), []);
    }
}

#[tokio::test]
async fn p6_one_flight_for_each_record_also_in_batches() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1), ("b", 2)]);
    let users = users(&follows(&store.node().await).await, &authority).await;
    authority.answers(false);
    let gets: Vec<_> = (0..50)
        .map(|number| {
            let users = users.clone();
            tokio::spawn(async move {
                if number % 2 == 0 {
                    users.get(&a()).await.unwrap()
                } else {
                    users.get_many(&[a(), "b".to_owned()]).await.unwrap()[0]
                }
            })
        })
        .collect();
    until("the source is asked for both", || {
        authority.asked_one.load(Ordering::SeqCst) + authority.asked_many.load(Ordering::SeqCst) >= 2
    })
    .await;
    authority.answers(true);
    for get in gets {
        assert_eq!(get.await.unwrap(), Some(1));
    }
    assert_eq!(authority.asked_one.load(Ordering::SeqCst) + authority.asked_many.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn p8_without_its_store_it_asks_the_source() {
    let chaos = ChaosStore::before(MemoryStore::default());
    let authority = Authority::of(&[("a", 1)]);
    let users = users(&follows(&node(&(chaos.clone() as Arc<dyn Store>)).await).await, &authority).await;
    for operation in [Operation::Read, Operation::Lease, Operation::Fill, Operation::Channel] {
        chaos.inject(operation, Fault::Error);
    }
    for value in 2..5 {
        assert_eq!(users.get(&a()).await.unwrap(), Some(value - 1));
        authority.set("a", Some(value));
    }
}

#[tokio::test]
async fn a_source_that_hangs_or_panics_is_away() {
    #[derive(Debug)]
    struct Bad;
    impl cache_middleware::SourceOfTruth<String, i64> for Bad {
        async fn one(
            &self,
            key: &String,
        ) -> Result<Option<cache_middleware::Record<String, i64>>, cache_middleware::SourceError> {
            if key == "a" { std::future::pending().await } else { panic!("as the test has it") }
        }
    }
    let store = TestStore::open(Kind::Memory).await;
    let changes = follows(&store.node().await).await;
    let users = builder().within(Duration::from_millis(20)).start(&changes, Bad).await.unwrap();
    assert!(users.get(&a()).await.unwrap_err().to_string().contains("20ms"));
    assert!(users.get(&"b".to_owned()).await.unwrap_err().to_string().contains("panicked"));
}
