//! What a critical cache holds, and how sure it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::MemoryStore;
use cache_middleware::{CriticalCache, PastLimit, Record, SourceError, SourceOfTruth};
use cache_suite::{Kind, TestStore, node};

use super::{APP, Authority, COSTS, To, all, builder, costs, follows, publisher, until, until_proven};

#[tokio::test]
async fn a_change_is_in_effect_on_all_nodes() {
    for kind in Kind::ALL {
        let store = TestStore::open(kind).await;
        let authority = Authority::of(&[("a", 1), ("b", 2)]);
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(costs(&follows(&store.node().await).await, &authority).await);
        }
        let publisher = publisher(&store.node().await, 100).await;
        for message in [authority.set("a", Some(10)), authority.set("b", None), authority.set("c", Some(30))] {
            assert!(!publisher.publish(COSTS, message).await.unwrap().waiting);
        }
        for node in &nodes {
            until("every node has it", || all(node) == authority.records()).await;
        }
        assert_eq!(authority.asked_all.load(Ordering::SeqCst), 3, "once for each node: {kind:?}");
    }
}

#[tokio::test]
async fn tenants_and_data_types_are_apart() {
    let store = TestStore::open(Kind::Redis).await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&store.node().await).await;
    let of_123 = costs(&changes, &authority).await;
    let of_124 = costs(&changes.tenant("124").unwrap(), &authority).await;
    let message = authority.set("a", Some(2));
    publisher(&store.node().await, 0).await.publish(COSTS, message).await.unwrap();
    until("the tenant's own cache has it", || of_123.held(&"a".to_owned()) == Some(2)).await;
    until_proven(&of_124).await;
    assert_eq!(of_124.held(&"a".to_owned()), Some(1), "p7: it was another tenant's message");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_a_half_filled_table() {
    let store = TestStore::open(Kind::Memory).await;
    let names: Vec<String> = (0..2_000).map(|number| format!("operation-{number}")).collect();
    let authority = Authority::of(&names.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
    let cache = costs(&follows(&store.node().await).await, &authority).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (cache, done) = (cache.clone(), done.clone());
        move || {
            let mut reads = 0_u64;
            while !done.load(Ordering::SeqCst) {
                for name in &names {
                    assert_eq!(cache.held(name), Some(1), "{name} is missing");
                    reads += 1;
                }
                assert_eq!(cache.all().len(), 2_000);
            }
            reads
        }
    });
    for refreshed in 2..=20 {
        cache.refresh();
        until("it was loaded anew", || authority.asked_all.load(Ordering::SeqCst) >= refreshed).await;
    }
    done.store(true, Ordering::SeqCst);
    assert!(reader.join().expect("nobody saw a hole") > 0);
}

#[tokio::test]
async fn a_failed_refresh_keeps_what_there_was_and_says_so() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1)]);
    let cache = costs(&follows(&store.node().await).await, &authority).await;
    assert_eq!(cache.freshness().problem, None);
    authority.be_away(true);
    cache.refresh();
    until("it says so", || cache.freshness().problem.is_some()).await;
    assert_eq!((cache.held(&"a".to_owned()), cache.freshness().entries), (Some(1), 1));
    authority.set("a", Some(2));
    authority.be_away(false);
    until("it has what is there now", || cache.held(&"a".to_owned()) == Some(2)).await;
    assert_eq!(cache.freshness().problem, None);
}

#[tokio::test]
async fn p1_what_is_published_during_a_load_is_not_lost() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1), ("b", 1)]);
    let cache = costs(&follows(&store.node().await).await, &authority).await;
    let publisher = publisher(&store.node().await, 0).await;
    authority.answers(false);
    cache.refresh();
    until("the source is asked", || authority.asked_all.load(Ordering::SeqCst) == 2).await;
    // The answer is made already, and does not know of this.
    for message in [authority.set("a", Some(2)), authority.set("b", None)] {
        publisher.publish(COSTS, message).await.unwrap();
    }
    until("the messages are in effect", || all(&cache) == authority.records()).await;
    // What was not there before is asked for, when the load is over.
    publisher.publish(COSTS, authority.set("c", Some(1))).await.unwrap();
    authority.answers(true);
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records());
}

#[tokio::test]
async fn past_its_limit_it_asks_or_serves() {
    let store = ChaosStore::before(MemoryStore::default());
    let authority = Authority::of(&[("a", 1)]);
    let shared = store.clone() as Arc<dyn cache_middleware::store::Store>;
    let changes = follows(&node(&shared).await).await;
    let asks = builder().limit("100ms", PastLimit::AskSource).start(&changes, To(authority.clone())).await.unwrap();
    let serves = builder().limit("100ms", PastLimit::Serve).start(&changes, To(authority.clone())).await.unwrap();
    let a = "a".to_owned();
    until_proven(&asks).await;
    let look = asks.look(&a).await.unwrap();
    assert_eq!((look.value, look.cached), (Some(1), true));

    // No message comes through, and nothing can be asked: nobody knows what was missed.
    store.inject(Operation::Channel, Fault::Error);
    store.inject(Operation::Push, Fault::Lost);
    authority.set("a", Some(2));
    until("the proof is old", || asks.freshness().proven_for.is_some_and(|age| age.as_millis() > 100)).await;
    let (asked, served) = (asks.look(&a).await.unwrap(), serves.look(&a).await.unwrap());
    assert_eq!((asked.value, asked.cached), (Some(2), false));
    assert_eq!((served.value, served.cached), (Some(1), true));
    assert!(served.proven_for.unwrap().as_millis() > 100, "it says how old that is");
    // With the source away as well, there is what there is.
    authority.set("a", Some(3));
    authority.be_away(true);
    assert_eq!(asks.look(&a).await.unwrap().value, Some(2));
    authority.be_away(false);
    store.heal();
    until("messages and proofs come again", || asks.freshness().proven_for.is_some_and(|age| age.as_millis() < 100))
        .await;
    assert!(asks.look(&a).await.unwrap().cached);
}

#[tokio::test]
async fn p1_who_asks_does_not_join_a_question_that_was_asked_before() {
    let store = ChaosStore::before(MemoryStore::default());
    let authority = Authority::of(&[("a", 1)]);
    let shared = store.clone() as Arc<dyn cache_middleware::store::Store>;
    let changes = follows(&node(&shared).await).await;
    let cache = builder().limit("1ms", PastLimit::AskSource).start(&changes, To(authority.clone())).await.unwrap();
    store.inject(Operation::Channel, Fault::Error);
    store.inject(Operation::Push, Fault::Lost);
    until("the proof is old", || cache.freshness().proven_for.is_some_and(|age| age.as_millis() > 1)).await;
    authority.answers(false);
    let ask =
        |cache: CriticalCache<String, i64>| tokio::spawn(async move { cache.get(&"a".to_owned()).await.unwrap() });
    let before = ask(cache.clone());
    until("the source is asked", || authority.asked_one.load(Ordering::SeqCst) == 2).await;
    authority.set("a", Some(2));
    let after: Vec<_> = (0..10).map(|_| ask(cache.clone())).collect();
    tokio::task::yield_now().await;
    authority.answers(true);
    assert_eq!(before.await.unwrap(), Some(1));
    for asked in after {
        assert_eq!(asked.await.unwrap(), Some(2));
    }
    assert_eq!(authority.asked_one.load(Ordering::SeqCst), 3, "at the start, for the first, and once for all ten");
}

#[tokio::test]
async fn it_starts_without_its_source_and_is_loaded_when_that_is_back() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1)]);
    authority.be_away(true);
    let cache = costs(&follows(&store.node().await).await, &authority).await;
    assert!(cache.get(&"a".to_owned()).await.is_err(), "whether there is one is not known");
    assert_eq!(cache.freshness().proven_for, None);
    authority.be_away(false);
    cache.loaded().await;
    assert_eq!(cache.get(&"a".to_owned()).await.unwrap(), Some(1));
    assert_eq!(cache.get(&"b".to_owned()).await.unwrap(), None);
}

#[tokio::test]
async fn p9_more_records_than_may_be_are_refused() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1), ("b", 2)]);
    let changes = follows(&store.node().await).await;
    let cache = builder().max_entries(2).start(&changes, To(authority.clone())).await.unwrap();
    let publisher = publisher(&store.node().await, 0).await;
    publisher.publish(COSTS, authority.set("c", Some(3))).await.unwrap();
    until("it says so", || cache.freshness().problem.is_some_and(|why| why.contains("max_entries"))).await;
    assert_eq!((cache.held(&"a".to_owned()), cache.freshness().entries), (Some(1), 2));
}

#[tokio::test]
async fn wrong_settings_are_refused() {
    let store = TestStore::open(Kind::Memory).await;
    let cache = store.node().await;
    let changes = follows(&cache).await;
    let authority = Authority::of(&[]);
    let to = || To(authority.clone());
    let refused = [
        builder().refresh("soon").start(&changes, to()).await.unwrap_err().to_string(),
        builder().limit("0s", PastLimit::Serve).start(&changes, to()).await.unwrap_err().to_string(),
        builder().max_entries(0).start(&changes, to()).await.unwrap_err().to_string(),
        CriticalCache::<String, i64>::builder("a:b").start(&changes, to()).await.unwrap_err().to_string(),
        cache_middleware::ChangeConsumer::builder("a b").start(&cache).await.unwrap_err().to_string(),
        cache_middleware::ChangeConsumer::builder(APP).beat("1ms").start(&cache).await.unwrap_err().to_string(),
        cache_middleware::ChangePublisher::builder(APP).max_bytes(1).start(&cache).await.unwrap_err().to_string(),
    ];
    for (refused, expected) in
        refused.iter().zip(["refresh: ", "limit: ", "max_entries", "\"a:b\"", "\"a b\"", "10ms to 60s", "max_bytes"])
    {
        assert!(refused.contains(expected), "{refused}");
    }
}

/// A path that is wrong says of every record that there is none.
#[tokio::test]
async fn a_source_that_does_not_know_what_it_lists_stops_the_start() {
    #[derive(Debug)]
    struct Lists(bool);
    impl SourceOfTruth<String, i64> for Lists {
        async fn one(&self, key: &String) -> Result<Option<Record<String, i64>>, SourceError> {
            let other = Record { key: format!("{key}!"), version: 1, value: 1 };
            Ok(self.0.then_some(other))
        }
        async fn all(&self) -> Result<Vec<Record<String, i64>>, SourceError> {
            Ok(vec![Record { key: "a".to_owned(), version: 1, value: 1 }])
        }
    }
    #[derive(Debug)]
    struct Knows;
    impl SourceOfTruth<String, i64> for Knows {
        async fn one(&self, _: &String) -> Result<Option<Record<String, i64>>, SourceError> {
            Ok(None)
        }
    }
    let store = TestStore::open(Kind::Memory).await;
    let changes = follows(&store.node().await).await;
    let refused = builder().start(&changes, Lists(false)).await.unwrap_err().to_string();
    assert!(refused.contains("one_at"), "{refused}");
    let refused = builder().start(&changes, Knows).await.unwrap_err().to_string();
    assert!(refused.contains("SourceOfTruth::all"), "{refused}");
    // Another record than the one that was asked for says nothing of that.
    let cache = builder().start(&changes, Lists(true)).await.unwrap();
    let users = cache_middleware::ReferenceCache::builder("users").start(&changes, Lists(true)).await.unwrap();
    assert!(matches!(users.get(&"a".to_owned()).await, Err(SourceError::Malformed(_))));
    assert_eq!(cache.held(&"a".to_owned()), Some(1));
}
