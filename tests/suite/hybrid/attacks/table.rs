//! What is held: answers and messages in every order.

use super::*;

/// A load is asked; the record changes; `get` asks the source and is given the new value; then the load's old answer arrives.
#[tokio::test]
async fn the_late_answer_of_an_older_load_does_not_undo_a_younger_answer() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("a", 1, 1)]);
    let changes = follows(&store.node().await).await;
    let cache = builder().limit("1ms", PastLimit::AskSource).start(&changes, ToGated(source.clone())).await.unwrap();
    until_proven(&cache).await;
    source.all.send_replace(false);
    cache.refresh();
    until("everything is asked for", || source.asked_all.load(Ordering::SeqCst) == 2).await;
    source.set("a", 2, Some(2));
    // A message that does not say which value it is: the source is asked.
    let message = ChangeMessage::new("x").field("code", "a");
    publisher(&store.node().await, 10).await.publish(COSTS, message).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(asks(&cache, "a").await, Some(2));
    assert_eq!(cache.held(&a()), Some(2));
    source.all.send_replace(true);
    until_proven(&cache).await;
    let freshness = cache.freshness();
    assert_eq!(cache.held(&a()), Some(2), "version 1 has replaced version 2, and it says {freshness:?}");
}

/// The same with a record that is removed, known by `get`, and then brought back by the older load.
#[tokio::test]
async fn the_late_answer_of_an_older_load_does_not_bring_a_removed_record_back() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("a", 1, 1)]);
    let changes = follows(&store.node().await).await;
    let cache = builder().limit("1ms", PastLimit::AskSource).start(&changes, ToGated(source.clone())).await.unwrap();
    until_proven(&cache).await;
    source.all.send_replace(false);
    cache.refresh();
    until("everything is asked for", || source.asked_all.load(Ordering::SeqCst) == 2).await;
    source.set("a", 2, None);
    let message = ChangeMessage::new("x").field("code", "a");
    publisher(&store.node().await, 10).await.publish(COSTS, message).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(asks(&cache, "a").await, None);
    source.all.send_replace(true);
    until_proven(&cache).await;
    assert_eq!(cache.held(&a()), None, "it is back");
}

/// The other way round: a slow `get` was asked before; the keeper has asked since, because of a message; then the slow answer comes.
#[tokio::test]
async fn the_late_answer_of_a_get_does_not_undo_a_load() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("a", 1, 1)]);
    let changes = follows(&store.node().await).await;
    let cache = builder().limit("1ms", PastLimit::AskSource).start(&changes, ToGated(source.clone())).await.unwrap();
    until_proven(&cache).await;
    source.many.send_replace(false);
    let slow = tokio::spawn({
        let cache = cache.clone();
        async move { asks(&cache, "a").await }
    });
    until("the record is asked for", || source.asked_many.load(Ordering::SeqCst) == 1).await;
    source.set("a", 2, Some(2));
    cache.refresh();
    until("it was loaded", || cache.held(&a()) == Some(2)).await;
    until_proven(&cache).await;
    source.many.send_replace(true);
    slow.await.unwrap();
    assert_eq!(cache.held(&a()), Some(2), "proven, and then undone: {:?}", cache.freshness());
}

/// More records are removed during a load than tombstones are kept.
#[tokio::test]
async fn many_removals_during_a_load_are_not_undone_by_it() {
    let store = TestStore::open(Kind::Memory).await;
    let names: Vec<String> = (0..10_500).map(|number| format!("op-{number}")).collect();
    let records: Vec<(&str, u64, i64)> = names.iter().map(|name| (name.as_str(), 1, 1)).collect();
    let source = Gated::of(&records);
    let changes = follows(&store.node().await).await;
    let cache = builder().start(&changes, ToGated(source.clone())).await.unwrap();
    until_proven(&cache).await;
    source.all.send_replace(false);
    cache.refresh();
    until("everything is asked for", || source.asked_all.load(Ordering::SeqCst) == 2).await;
    let publisher = publisher(&store.node().await, 50_000).await;
    for (number, name) in names.iter().enumerate() {
        source.set(name, 2, None);
        let gone = ChangeMessage::new("x").field("code", name.as_str()).from_to(1, serde_json::Value::Null).version(2);
        publisher.try_publish(COSTS, gone).await.unwrap();
        if number % 500 == 0 {
            tokio::task::yield_now().await;
        }
    }
    until("all are gone", || cache.all().is_empty()).await;
    assert_eq!(changes.progress().gaps, 0);
    source.all.send_replace(true);
    until_proven(&cache).await;
    let back = cache.all().len();
    assert_eq!(back, 0, "{back} removed records are back: {:?}", cache.freshness());
}

/// A record is made and removed; a node starts that has never seen it; the message of the first comes late, as that of another
/// process's outbox does, or is published again.
#[tokio::test]
async fn a_late_message_does_not_bring_back_what_this_node_has_never_held() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("b", 1)]);
    let made = authority.set("a", Some(1));
    let gone = authority.set("a", None);
    let publisher = publisher(&store.node().await, 100).await;
    publisher.publish(COSTS, gone).await.unwrap();
    let cache = costs(&follows(&store.node().await).await, &authority).await;
    until_proven(&cache).await;
    publisher.publish(COSTS, made).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    until_proven(&cache).await;
    assert_eq!(all(&cache), authority.records(), "{:?}", cache.freshness());
}

/// `Record::version`: "0 if the source has none, and then a message only tells that the source is to be asked".
#[tokio::test]
async fn a_source_without_versions_is_asked_also_for_new_records() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("b", 0, 1)]);
    let changes = follows(&store.node().await).await;
    let cache = builder().start(&changes, ToGated(source.clone())).await.unwrap();
    until_proven(&cache).await;
    source.set("a", 0, Some(2));
    let message = ChangeMessage::new("x").field("code", "a").from_to(1, 77).version(5);
    publisher(&store.node().await, 10).await.publish(COSTS, message).await.unwrap();
    until("it is held", || cache.held(&a()).is_some()).await;
    until_proven(&cache).await;
    assert_eq!(cache.held(&a()), Some(2), "{:?}", cache.freshness());
}

#[tokio::test]
async fn p9_max_entries_bounds_what_messages_add() {
    let store = TestStore::open(Kind::Memory).await;
    let authority = Authority::of(&[("a", 1), ("b", 2)]);
    let changes = follows(&store.node().await).await;
    let cache = builder().max_entries(2).start(&changes, To(authority.clone())).await.unwrap();
    let publisher = publisher(&store.node().await, 10_000).await;
    for number in 0..500 {
        publisher.publish(COSTS, authority.set(&format!("new-{number}"), Some(1))).await.unwrap();
    }
    until("all are heard", || changes.progress().applied >= 500).await;
    let freshness = cache.freshness();
    assert!(freshness.entries == 2 && freshness.problem.is_some(), "{freshness:?}");
}

/// A foreign message "costs a question and never an error": here it names a record that the source refuses to look for (400).
#[tokio::test]
async fn a_hint_that_the_source_refuses_does_not_hold_up_the_others() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("a", 1, 1)]);
    *source.refuses.lock().expect("a lock") = Some("no-such-thing!".to_owned());
    let node = store.node().await;
    let changes = follows(&node).await;
    let cache = builder().start(&changes, ToGated(source.clone())).await.unwrap();
    until_proven(&cache).await;
    let hint = json!({"eventId": "1", "eventType": "x", "tenantId": "123", "data": {"code": "no-such-thing!"}});
    node.announce(CHANNEL, &hint).await.unwrap();
    until("the source refuses", || source.asked_many.load(Ordering::SeqCst) > 0).await;
    source.set("a", 2, Some(2));
    publisher(&node, 10).await.publish(COSTS, ChangeMessage::new("x").field("code", "a")).await.unwrap();
    until("it is in effect", || cache.held(&a()) == Some(2)).await;
    let freshness = cache.freshness();
    assert!(freshness.proven_for.unwrap() < Duration::from_secs(1), "{freshness:?}");
}

/// `async fn all` is caught when it panics; a function that gives a future is not.
#[tokio::test]
async fn a_source_that_panics_before_it_gives_a_future_is_away() {
    #[derive(Debug)]
    struct Bad(Arc<AtomicU64>);
    impl SourceOfTruth<String, i64> for Bad {
        async fn one(&self, key: &String) -> Result<Option<Record<String, i64>>, SourceError> {
            Ok(Some(Record { key: key.clone(), version: 1, value: 1 }))
        }
        fn all(&self) -> impl Future<Output = Result<Vec<Record<String, i64>>, SourceError>> + Send {
            let asked = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(asked != 2, "as the test has it");
            std::future::ready(Ok(vec![Record { key: "a".to_owned(), version: asked, value: 1 }]))
        }
    }
    let store = TestStore::open(Kind::Memory).await;
    let changes = follows(&store.node().await).await;
    let asked = Arc::new(AtomicU64::new(0));
    let cache = builder().start(&changes, Bad(asked.clone())).await.unwrap();
    cache.refresh();
    until("it panics", || asked.load(Ordering::SeqCst) == 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    cache.refresh();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        asked.load(Ordering::SeqCst) > 2,
        "it is never asked again, and the problem is {:?}",
        cache.freshness().problem
    );
}

static LIVING: AtomicI64 = AtomicI64::new(0);

/// A value that is counted.
#[derive(Debug)]
struct Counted;

impl Counted {
    fn new() -> Self {
        LIVING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<'de> serde::Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self::new())
    }
}

/// Clients hang up while the source is asked for them.
#[tokio::test]
async fn p9_questions_of_callers_who_went_away_are_forgotten() {
    #[derive(Debug)]
    struct Slow;
    impl SourceOfTruth<u64, Counted> for Slow {
        async fn one(&self, key: &u64) -> Result<Option<Record<u64, Counted>>, SourceError> {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(Some(Record { key: *key, version: 1, value: Counted::new() }))
        }
        async fn all(&self) -> Result<Vec<Record<u64, Counted>>, SourceError> {
            Err(SourceError::Unavailable("as the test has it".to_owned()))
        }
    }
    let store = TestStore::open(Kind::Memory).await;
    let changes = follows(&store.node().await).await;
    // It lists nothing, so that every read asks.
    let cache: CriticalCache<u64, Counted> = CriticalCache::builder("counted").start(&changes, Slow).await.unwrap();
    for key in 0..1_000 {
        let read = cache.get(&key);
        assert!(tokio::time::timeout(Duration::ZERO, read).await.is_err());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let leaked = LIVING.load(Ordering::SeqCst);
    assert!(leaked < 10, "{leaked} answers are kept for callers who are gone");
}

/// The proof of an answer is as old as the question.
#[tokio::test]
async fn an_answer_does_not_say_that_it_is_younger_than_its_question() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("a", 1, 1)]);
    let changes = follows(&store.node().await).await;
    *source.all_refused.lock().expect("a lock") = true;
    let cache = builder().start(&changes, ToGated(source.clone())).await.unwrap();
    source.many.send_replace(false);
    let asked = tokio::spawn({
        let cache = cache.clone();
        async move { cache.look(&a()).await.unwrap() }
    });
    until("the source is asked", || source.asked_many.load(Ordering::SeqCst) == 1).await;
    source.set("a", 2, Some(2));
    tokio::time::sleep(Duration::from_millis(200)).await;
    source.many.send_replace(true);
    let answer = asked.await.unwrap();
    assert_eq!(answer.value, Some(1));
    assert!(
        answer.proven_for.unwrap() >= Duration::from_millis(190),
        "{answer:?}, and the record has changed 200 ms ago"
    );
}

/// What is served because the source does not answer has grown old meanwhile.
#[tokio::test]
async fn what_is_held_does_not_say_that_it_is_younger_than_it_is() {
    let store = ChaosStore::before(MemoryStore::default());
    let source = Gated::of(&[("a", 1, 1)]);
    let changes = follows(&node(&(store.clone() as Arc<dyn Store>)).await).await;
    let limited = builder().limit("10ms", PastLimit::AskSource).within(Duration::from_millis(500));
    let cache = limited.start(&changes, ToGated(source.clone())).await.unwrap();
    store.inject(Operation::Channel, Fault::Error);
    store.inject(Operation::Push, Fault::Lost);
    tokio::time::sleep(Duration::from_millis(50)).await;
    source.many.send_replace(false);
    let answer = cache.look(&a()).await.unwrap();
    let truly = cache.freshness().proven_for.unwrap();
    assert!(answer.cached);
    let said = answer.proven_for.unwrap();
    assert!(truly - said < Duration::from_millis(100), "it says {said:?}, and it is {truly:?}");
}

/// The source cannot be listed yet, but single records are asked for.
#[tokio::test]
async fn readers_of_all_never_see_a_half_filled_table() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("a", 1, 1), ("b", 1, 1)]);
    *source.all_refused.lock().expect("a lock") = true;
    let changes = follows(&store.node().await).await;
    let cache = builder().start(&changes, ToGated(source.clone())).await.unwrap();
    assert_eq!(cache.get(&a()).await.unwrap(), Some(1));
    assert_ne!(cache.all().len(), 1, "{:?}", cache.freshness());
}

/// While everything cannot be loaded, what messages leave in doubt can still be asked for by itself.
#[tokio::test]
async fn what_is_in_doubt_is_asked_for_also_while_loads_fail() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("a", 1, 1)]);
    let changes = follows(&store.node().await).await;
    let cache = builder().start(&changes, ToGated(source.clone())).await.unwrap();
    until_proven(&cache).await;
    *source.all_refused.lock().expect("a lock") = true;
    cache.refresh();
    until("it fails", || cache.freshness().problem.is_some()).await;
    source.set("a", 2, Some(2));
    publisher(&store.node().await, 10).await.publish(COSTS, ChangeMessage::new("x").field("code", "a")).await.unwrap();
    until("it is in effect", || cache.held(&a()) == Some(2)).await;
}

/// A `get` of a source that hangs: at most its own limit, not that of the question before as well.
#[tokio::test]
async fn a_get_waits_for_one_limit() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[("a", 1, 1)]);
    let changes = follows(&store.node().await).await;
    *source.all_refused.lock().expect("a lock") = true;
    let cache = builder().within(Duration::from_millis(500)).start(&changes, ToGated(source.clone())).await.unwrap();
    source.many.send_replace(false);
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&a()).await }
    });
    until("it is asked", || source.asked_many.load(Ordering::SeqCst) == 1).await;
    let began = std::time::Instant::now();
    let _ = cache.get(&a()).await;
    assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
    let _ = first.await;
}
