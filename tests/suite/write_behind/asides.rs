//! Attacks on what is set aside: by deaths, lost answers, a full Redis, and who stood still.

use cache_middleware::store::{MemoryStore, Store};
use cache_middleware::time::ManualTime;
use cache_suite::{RedisServer, node, until};

use super::attacks::{Slow, at, over};
use super::*;

/// A change that stands still in the hands of one flusher is set aside by another, and put back: it is written once. Fails when
/// setting aside does not move the position.
#[tokio::test]
async fn what_was_put_back_is_not_written_by_who_stood_still() {
    let time = ManualTime::default();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(time.clone()).build());
    let (one, two) = (node(&store).await, node(&store).await);
    let database = Database::new(true);
    let (slow, begun, goes_on) = Slow::new(&database);
    let stood_still = patient().batch(1).start(&one, slow).await.expect("a queue");
    stood_still.add("n", 1).await.expect("an addition");
    let _begun = begun.acquire().await;
    time.advance(Duration::from_secs(11));
    database.with(|rows| rows.rejects = Some("n".to_owned()));
    let successor = queue(&two, &database).await;
    assert!(successor.flush(SOON).await.expect("a flush"));
    let number = successor.rejected(1).await.expect("a list")[0].number;
    database.with(|rows| rows.rejects = None);
    assert!(successor.put_back(number).await.expect("an answer"));
    goes_on.add_permits(1_000);
    until("the late one has ended", async || stood_still.progress().failures > 0).await;
    assert!(successor.flush(SOON).await.expect("a flush"));
    assert_eq!(database.with(|rows| rows.sums["n"]), 1);
}

/// What is put back is read at once; what is set aside is not, also if the answer to that is lost.
#[tokio::test]
async fn p1_what_is_set_aside_or_put_back_leaves_nothing_behind() {
    struct Rejects(Arc<ChaosStore>);
    impl Sink for Rejects {
        async fn write(&self, _: &Batch) -> Result<(), SinkError> {
            self.0.inject(Operation::Queue, Fault::Lost);
            Err(SinkError::Rejected("no".to_owned()))
        }
    }
    for (kind, exactly_once) in Kind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let test = TestStore::open(kind).await;
        let store = ChaosStore::before_shared(test.store.clone());
        let (cache, other) = (over(store.clone()).await, test.node().await);
        let database = Database::new(exactly_once);
        let writing = patient().start(&cache, Rejects(store.clone())).await.expect("a queue");
        database.with(|rows| rows.rejects = Some("a".to_owned()));
        let reading = queue(&other, &database).await;
        writing.put("a", &"rejected").await.expect("a put");
        assert_eq!(read(&reading, &other, &database, "a").await, "rejected", "{kind:?}");
        let _ = writing.flush(Duration::from_millis(300)).await;
        drop(writing);
        store.heal();
        assert!(reading.flush(SOON).await.expect("a flush"), "{kind:?}: {:?}", reading.progress());
        assert_eq!(reading.size().await.expect("a size").set_aside, 1, "{kind:?}");
        assert_eq!(read(&reading, &other, &database, "a").await, "", "{kind:?}");
        let number = reading.rejected(1).await.expect("a list")[0].number;
        assert!(reading.put_back(number).await.expect("an answer"), "{kind:?}");
        assert_eq!(read(&reading, &other, &database, "a").await, "rejected", "{kind:?}: it waits again");
    }
}

/// A change is set aside, and the flusher dies before the batch has ended: whoever goes on ends it, and it stays listed, also where
/// the sink's position has moved on already. Fails when what is set aside counts as written.
#[tokio::test]
async fn p5_what_is_set_aside_stays_listed_whoever_dies() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let store = ChaosStore::before_shared(test.store.clone());
        let (one, two) = (over(store.clone()).await, test.node().await);
        let database = Database::new(true);
        database.with(|rows| rows.rejects = Some("a".to_owned()));
        let first = queue(&one, &database).await;
        first.put("a", &"v").await.expect("a put");
        first.put("b", &"v").await.expect("a put");
        // The clear before the end of the batch fails, for as long as the first lives.
        store.inject(Operation::Clear, Fault::Error);
        assert!(!first.flush(Duration::from_millis(400)).await.expect("a flush"), "{kind:?}");
        assert_eq!(first.size().await.expect("a size").set_aside, 1, "{kind:?}");
        drop(first);
        let second = queue(&two, &database).await;
        assert!(second.flush(SOON).await.expect("a flush"), "{kind:?}: {:?}", second.progress());
        let rejected = second.rejected(9).await.expect("a list");
        assert_eq!(rejected.len(), 1, "{kind:?}: {rejected:?}");
        assert_eq!(database.with(|rows| rows.values.keys().cloned().collect::<Vec<_>>()), ["b"], "{kind:?}");
    }
}

/// Redis is full, and one change is bad: it is set aside, the others are written, and there is room again.
#[tokio::test]
async fn p8_a_full_redis_and_a_bad_change() {
    let server = RedisServer::start();
    let database = Database::new(false);
    let queue = queue(&at(&server, &[]).await, &database).await;
    for n in 0..30 {
        queue.put(&format!("k{n}"), &"v".repeat(100_000)).await.expect("a put");
    }
    queue.put("bad", &7).await.expect("a put");
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1mb").exec(&mut server.connection()).expect("a bound");
    assert!(queue.flush(SOON).await.expect("a flush"), "{:?}", queue.progress());
    assert_eq!(database.with(|rows| rows.values.len()), 30);
}
