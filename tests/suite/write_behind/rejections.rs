//! Changes that the sink does not take.

use super::*;

/// One change among many is to blame: it alone is set aside, the others are written, each once.
#[tokio::test]
async fn what_is_rejected_is_set_aside_alone() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        let database = Database::new(true);
        database.with(|rows| rows.rejects = Some("k13".to_owned()));
        let queue = queue(&cache, &database).await;
        for n in 0..20 {
            queue.put(&format!("k{n}"), &format!("v{n}")).await.expect("a put");
            queue.add("n", 1).await.expect("an addition");
        }
        assert_eq!(read(&queue, &cache, &database, "k13").await, "v13", "{kind:?}");
        assert!(queue.flush(SOON).await.expect("a flush"), "{kind:?}");
        database.with(|rows| {
            assert_eq!(rows.values.len(), 19, "{kind:?}");
            assert_eq!(rows.sums["n"], 20, "{kind:?}");
        });
        let rejected = queue.rejected(10).await.expect("a list");
        let [one] = rejected.as_slice() else { panic!("{kind:?}: {rejected:?}") };
        let write = one.write.as_ref().expect("it can be read");
        assert_eq!((write.key(), write.value::<String>()), ("k13", Ok("v13".to_owned())), "{kind:?}");
        assert!(one.reason.contains("no k13"), "{kind:?}: {}", one.reason);
        assert_eq!(read(&queue, &cache, &database, "k13").await, "", "{kind:?}: the source does not have it");

        // Somebody looks at it.
        assert!(!queue.put_back(1).await.expect("an answer"), "{kind:?}: there is no such number");
        assert!(queue.put_back(one.number).await.expect("an answer"), "{kind:?}");
        assert!(queue.flush(SOON).await.expect("a flush"), "{kind:?}");
        let again = queue.rejected(10).await.expect("a list");
        assert!(again.len() == 1 && again[0].number > one.number, "{kind:?}: {again:?}");
        database.with(|rows| rows.rejects = None);
        assert!(queue.put_back(again[0].number).await.expect("an answer"), "{kind:?}");
        assert!(queue.flush(SOON).await.expect("a flush"), "{kind:?}");
        assert_eq!(read(&queue, &cache, &database, "k13").await, "v13", "{kind:?}");
        assert_eq!(queue.rejected(10).await.expect("a list"), [], "{kind:?}");
        assert_eq!(database.with(|rows| rows.sums["n"]), 20, "{kind:?}");
    }
}

/// A value of another type than the sink expects, and a sink that panics, are the change's fault; one that is away is not.
#[tokio::test]
async fn only_what_is_to_blame_is_set_aside() {
    struct Panics(Arc<Database>);
    impl Sink for Panics {
        async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
            assert!(batch.writes().iter().all(|write| write.key() != "bomb"), "a bomb");
            To(self.0.clone()).write(batch).await
        }
    }
    let test = TestStore::open(Kind::Redis).await;
    let cache = test.node().await;
    let database = Database::new(false);
    let queue = patient().start(&cache, Panics(database.clone())).await.expect("a queue");
    database.with(|rows| rows.away = true);
    queue.put("good", &"good").await.expect("a put");
    queue.put("bomb", &"bomb").await.expect("a put");
    queue.put("number", &7).await.expect("a put");
    assert!(!queue.flush(Duration::from_millis(300)).await.expect("a flush"));
    database.with(|rows| rows.away = false);
    assert!(queue.flush(SOON).await.expect("a flush"));
    let mut aside: Vec<String> =
        queue.rejected(10).await.expect("a list").into_iter().map(|rejected| rejected.reason).collect();
    aside.sort();
    assert!(aside.len() == 2 && aside[0].contains("number") && aside[1].contains("panicked"), "{aside:?}");
    database.with(|rows| assert_eq!(rows.values.len(), 1));
}

/// As many as may be are set aside; then the queue stops, and loses nothing. Fails when the position of a sink moves over a change
/// before it is set aside.
#[tokio::test]
async fn a_queue_stops_before_it_forgets_what_was_rejected() {
    for (kind, exactly_once) in [(Kind::Memory, false), (Kind::Redis, false), (Kind::Memory, true), (Kind::Redis, true)]
    {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        let database = Database::new(exactly_once);
        let queue = patient().most_set_aside(2).start(&cache, To(database.clone())).await.expect("a queue");
        for n in 0..3 {
            queue.put(&format!("k{n}"), &n).await.expect("a put: no text, and so no value of this sink");
        }
        assert!(!queue.flush(Duration::from_millis(500)).await.expect("a flush"), "{kind:?}");
        let size = queue.size().await.expect("a size");
        assert_eq!((size.waiting, size.set_aside), (1, 2), "{kind:?}");
        let problem = queue.progress().problem.expect("a problem");
        assert!(problem.contains("2 changes are set aside"), "{kind:?}: {problem}");
        let first = queue.rejected(1).await.expect("a list")[0].number;
        assert!(queue.discard(first).await.expect("an answer"), "{kind:?}");
        assert!(queue.flush(SOON).await.expect("a flush"), "{kind:?}");
        assert_eq!(queue.size().await.expect("a size").set_aside, 2, "{kind:?}");
    }
}

/// Ids of batches are those of their changes: after a rejection the rest has one of its own. Fails when setting aside does not end a
/// batch like settling does.
#[tokio::test]
async fn no_two_batches_have_one_id() {
    struct Ids(Arc<Mutex<HashMap<String, Vec<String>>>>);
    impl Sink for Ids {
        async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
            let keys: Vec<String> = batch.writes().iter().map(|write| write.key().to_owned()).collect();
            let bad = keys.contains(&"bad".to_owned());
            let before = self.0.lock().expect("a lock").insert(batch.id(), keys.clone());
            assert!(before.is_none_or(|before| before == keys), "{}: {keys:?}", batch.id());
            if bad { Err(SinkError::Rejected("bad".to_owned())) } else { Ok(()) }
        }
    }
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        let ids = Arc::new(Mutex::new(HashMap::new()));
        let queue = patient().start(&cache, Ids(ids.clone())).await.expect("a queue");
        for key in ["bad", "b", "c", "d"] {
            queue.put(key, &1).await.expect("a put");
        }
        assert!(queue.flush(SOON).await.expect("a flush"), "{kind:?}");
        assert_eq!(queue.rejected(9).await.expect("a list").len(), 1, "{kind:?}: a sink that panics would have more");
    }
}

/// A queue says what is wrong, and that it is over; a sink that does not say its position is told apart from a Redis that is away.
#[tokio::test]
async fn what_is_wrong_is_told_until_it_is_over() {
    struct Unsure(Arc<std::sync::atomic::AtomicBool>);
    impl Sink for Unsure {
        async fn write(&self, _: &Batch) -> Result<(), SinkError> {
            Ok(())
        }
        async fn position(&self, _: &str) -> Result<Option<u64>, SinkError> {
            let knows = self.0.load(std::sync::atomic::Ordering::SeqCst);
            if knows { Ok(Some(0)) } else { Err(SinkError::Rejected("no such table".to_owned())) }
        }
    }
    let cache = TestStore::open(Kind::Memory).await.node().await;
    let knows = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let queue = patient().start(&cache, Unsure(knows.clone())).await.expect("a queue");
    assert!(queue.progress().problem.is_some_and(|problem| problem.contains("does not say its position")));
    let refused = queue.put("a", &1).await.expect_err("nobody knows what it begins after");
    assert!(matches!(&refused, CacheError::Sink(why) if why.contains("no such table")), "{refused}");
    knows.store(true, std::sync::atomic::Ordering::SeqCst);
    queue.put("a", &1).await.expect("a put");
    assert!(queue.flush(SOON).await.expect("a flush"));
    let over = async {
        while queue.progress().problem.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, over).await.expect("it is over");
    // A name is one queue's, until its last handle is gone.
    let refused = patient().start(&cache, Unsure(knows.clone())).await.expect_err("it is flushed already").to_string();
    assert!(refused.contains("flushed by this manager already"), "{refused}");
    drop(queue);
    let _again = patient().start(&cache, Unsure(knows)).await.expect("a queue");
}
