//! Writing behind: what is acknowledged is read at once and written later, whatever dies; at least once, or exactly once.

mod asides;
mod attacks;
mod deaths;
mod rejections;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::{Batch, CacheError, CacheManager, Sink, SinkError, WriteBehind, WriteBehindBuilder};
use cache_suite::{Kind, TestStore};
use tokio::sync::Semaphore;

/// A database in memory that can fail, hang and reject.
#[derive(Debug)]
pub(super) struct Database {
    rows: Mutex<Rows>,
    gate: Semaphore,
    exactly_once: bool,
}

#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) values: BTreeMap<String, String>,
    pub(super) sums: BTreeMap<String, i64>,
    pub(super) batches: Vec<String>,
    position: u64,
    pub(super) away: bool,
    pub(super) rejects: Option<String>,
    /// Writes, and says that it has not.
    pub(super) forgets_to_say: u64,
}

impl Database {
    pub(super) fn new(exactly_once: bool) -> Arc<Self> {
        Arc::new(Self { rows: Mutex::default(), gate: Semaphore::new(Semaphore::MAX_PERMITS), exactly_once })
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Rows) -> T) -> T {
        look(&mut self.rows.lock().expect("the rows"))
    }
}

/// A node's connection to it.
pub(super) struct To(pub(super) Arc<Database>);

impl Sink for To {
    async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
        let _permit = self.0.gate.acquire().await;
        let unavailable = |why: &str| Err(SinkError::Unavailable(why.to_owned()));
        self.0.with(|rows| {
            rows.batches.push(batch.id());
            if rows.away {
                return unavailable("away");
            }
            if self.0.exactly_once && rows.position != batch.after() {
                return unavailable("the position has moved");
            }
            let (mut values, mut sums) = (rows.values.clone(), rows.sums.clone());
            for write in batch.writes() {
                let name =
                    format!("{}{}", write.tenant().map(|tenant| format!("{tenant}/")).unwrap_or_default(), write.key());
                if rows.rejects.as_ref() == Some(&name) {
                    return Err(SinkError::Rejected(format!("no {name}")));
                }
                match write.amount() {
                    Some(amount) => *sums.entry(name).or_default() += amount,
                    None => drop(values.insert(name, write.value()?)),
                }
            }
            (rows.values, rows.sums, rows.position) = (values, sums, batch.upto());
            if rows.forgets_to_say > 0 {
                rows.forgets_to_say -= 1;
                return unavailable("it was written, and nobody is told");
            }
            Ok(())
        })
    }

    async fn position(&self, _: &str) -> Result<Option<u64>, SinkError> {
        Ok(self.0.exactly_once.then(|| self.0.with(|rows| rows.position)))
    }
}

pub(super) const SOON: Duration = Duration::from_secs(20);

/// A queue that flushes only when it is told to, or full.
pub(super) fn patient() -> WriteBehindBuilder {
    WriteBehind::builder("q").interval("1h")
}

pub(super) async fn queue(cache: &CacheManager, database: &Arc<Database>) -> WriteBehind {
    patient().start(cache, To(database.clone())).await.expect("a queue")
}

pub(super) async fn read(queue: &WriteBehind, cache: &CacheManager, database: &Database, key: &str) -> String {
    let policy = cache.policy("5m").expect("a policy");
    let fetch =
        async || Ok::<_, std::io::Error>(database.with(|rows| rows.values.get(key).cloned().unwrap_or_default()));
    queue.get_or_set(key, &policy, fetch).await.expect("an answer")
}

#[tokio::test]
async fn what_waits_is_read_and_written_later() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let (one, two) = (test.node().await, test.node().await);
        let database = Database::new(false);
        let (here, there) = (queue(&one, &database).await, queue(&two, &database).await);
        assert_eq!(read(&there, &two, &database, "a").await, "");
        for n in 0..10 {
            here.put("a", &format!("v{n}")).await.expect("a put");
            assert_eq!(read(&there, &two, &database, "a").await, format!("v{n}"), "{kind:?}");
            here.add("n", n).await.expect("an addition");
        }
        let acme = here.tenant("acme").expect("a tenant");
        acme.put("a", &"theirs").await.expect("a put");
        assert_eq!(read(&here, &one, &database, "a").await, "v9", "{kind:?}");
        let policy = one.policy("5m").expect("a policy");
        let total = || async {
            here.total("n", &policy, async || {
                Ok::<_, std::io::Error>(database.with(|rows| rows.sums.get("n").copied().unwrap_or(0)))
            })
            .await
        };
        assert_eq!(total().await.expect("a total"), 45, "{kind:?}");
        assert_eq!(database.with(|rows| rows.batches.len()), 0, "{kind:?}: nothing is due");
        assert_eq!(there.size().await.expect("a size").waiting, 21, "{kind:?}");

        assert!(there.flush(SOON).await.expect("a flush"), "{kind:?}: {:?}", there.progress());
        database.with(|rows| {
            let values: Vec<_> = rows.values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(values, [("a", "v9"), ("acme/a", "theirs")], "{kind:?}");
            assert_eq!(rows.sums["n"], 45, "{kind:?}");
            assert_eq!(rows.batches.len(), 1, "{kind:?}: coalesced");
        });
        assert_eq!(total().await.expect("a total"), 45, "{kind:?}");
        assert_eq!(here.pending::<String>("a").await.expect("an answer"), None, "{kind:?}");
        let size = here.size().await.expect("a size");
        assert_eq!((size.waiting, size.bytes, size.set_aside), (0, 0, 0), "{kind:?}");
        assert_eq!(read(&here, &one, &database, "a").await, "v9", "{kind:?}");
        // From the source now, and what was read before is not left.
        database.with(|rows| rows.values.insert("a".to_owned(), "by hand".to_owned()));
        one.clear_key("a").await.expect("a clear");
        assert_eq!(read(&there, &two, &database, "a").await, "by hand", "{kind:?}");
    }
}

/// A full batch does not wait for the interval, and one that is not full waits no longer than it.
#[tokio::test]
async fn batches_go_by_size_and_by_time() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        let database = Database::new(false);
        let queue = patient().batch(4).start(&cache, To(database.clone())).await.expect("a queue");
        for n in 0..9 {
            queue.put(&format!("k{n}"), &"v").await.expect("a put");
        }
        let mut progress = 0;
        while progress < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            progress = queue.progress().changes;
        }
        assert_eq!(queue.size().await.expect("a size").waiting, 1, "{kind:?}");
        drop(queue);
        let quick =
            WriteBehind::builder("q").interval("50ms").start(&cache, To(database.clone())).await.expect("a queue");
        while quick.size().await.expect("a size").waiting > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(database.with(|rows| rows.values.len()), 9, "{kind:?}");
    }
}

/// A reader who saw the source before a change cannot store that after it, and what another way of reading stored between the
/// change and its writing is cleared by the flush. Fails when `put` or the flush does not clear.
#[tokio::test]
async fn p1_no_reader_leaves_what_was_before() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        let database = Database::new(false);
        let tags = |_: &cache_middleware::Write| vec!["profiles".to_owned()];
        let queue = patient().clears(tags).start(&cache, To(database.clone())).await.expect("a queue");
        let policy = cache.policy("5m").expect("a policy");
        let (begun, goes_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let slow = tokio::spawn({
            let (queue, policy, begun, goes_on) = (queue.clone(), policy.clone(), begun.clone(), goes_on.clone());
            async move {
                let fetch = async || {
                    begun.add_permits(1);
                    let _go = goes_on.acquire().await;
                    Ok::<_, std::io::Error>("before".to_owned())
                };
                queue.get_or_set("a", &policy, fetch).await.expect("an answer")
            }
        });
        let _begun = begun.acquire().await;
        queue.put("a", &"after").await.expect("a put");
        goes_on.add_permits(1);
        assert_eq!(slow.await.expect("no panic"), "before", "{kind:?}: it was asked before");
        assert_eq!(read(&queue, &cache, &database, "a").await, "after", "{kind:?}");

        let list = policy.clone().tag("profiles").expect("a tag");
        let made = async |of: &str| {
            cache.get_or_set("list", &list, async || Ok::<_, std::io::Error>(of.to_owned())).await.expect("an answer")
        };
        assert_eq!(made("old list").await, "old list");
        assert!(queue.flush(SOON).await.expect("a flush"));
        assert_eq!(made("new list").await, "new list", "{kind:?}: its tags are cleared once it is written");
    }
}

/// What does not fit is refused, and nothing is half done.
#[tokio::test]
async fn p9_a_queue_is_bounded() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        let database = Database::new(false);
        database.with(|rows| rows.away = true);
        let bounded = || patient().most_waiting(3, 1_000).max_bytes(600);
        let queue = bounded().start(&cache, To(database.clone())).await.expect("a queue");
        assert!(matches!(queue.put("big", &"x".repeat(601)).await, Err(CacheError::Invalid(_))), "{kind:?}");
        queue.put("a", &"x".repeat(590)).await.expect("a put");
        assert!(matches!(queue.put("b", &"x".repeat(590)).await, Err(CacheError::QueueFull(_))), "{kind:?}: bytes");
        queue.add("n", 1).await.expect("an addition");
        queue.add("n", 1).await.expect("an addition");
        assert!(matches!(queue.add("n", 1).await, Err(CacheError::QueueFull(_))), "{kind:?}: changes");
        assert!(matches!(queue.add("n", i64::MAX).await, Err(CacheError::Invalid(_))), "{kind:?}");
        assert_eq!(queue.pending_amount("n").await.expect("an amount"), 2, "{kind:?}");
        database.with(|rows| rows.away = false);
        assert!(queue.flush(SOON).await.expect("a flush"), "{kind:?}");
        queue.put("b", &"x".repeat(590)).await.expect("there is room again");
    }
}

#[tokio::test]
async fn a_change_whose_tags_are_none_is_refused() {
    let cache = TestStore::open(Kind::Memory).await.node().await;
    let tags = |_: &cache_middleware::Write| vec![" no tag ".to_owned()];
    let queue = patient().clears(tags).start(&cache, To(Database::new(false))).await.expect("a queue");
    queue.put("a", &1).await.expect_err("its tag is none");
    assert_eq!(queue.size().await.expect("a size").waiting, 0, "nothing is half done");
}

/// With Redis away a change is refused, and a reader is answered by the source, which is not stored.
#[tokio::test]
async fn p8_a_queue_that_is_away_fails_no_reader() {
    let test = TestStore::open(Kind::Redis).await;
    let store = ChaosStore::before_shared(test.store.clone());
    let cache = CacheManager::builder().shared_store(store.clone()).without_annotation_checks().build().await;
    let cache = cache.expect("a manager");
    let database = Database::new(false);
    let queue = queue(&cache, &database).await;
    queue.put("a", &"put").await.expect("a put");
    store.inject(Operation::Queue, Fault::Error);
    assert!(matches!(queue.put("a", &"refused").await, Err(CacheError::Store(_))));
    assert_eq!(read(&queue, &cache, &database, "a").await, "", "the source does not know better");
    store.heal();
    assert_eq!(read(&queue, &cache, &database, "a").await, "put", "and what it answered was not stored");
}

/// Values that wait are encrypted like those of entries.
#[tokio::test]
async fn r15_what_waits_is_sealed() {
    let server = cache_suite::RedisServer::start();
    let key = cache_middleware::EncryptionKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("a key");
    let store = cache_suite::redis_at(server.url()).encryption_keys([key]).connect().await.expect("a store");
    let cache = CacheManager::builder().store(store).without_annotation_checks().build().await.expect("a manager");
    let database = Database::new(false);
    let queue = queue(&cache, &database).await;
    queue.put("a", &"hunter2").await.expect("a put");
    let raw: Vec<(String, HashMap<String, Vec<u8>>)> = redis::cmd("XRANGE")
        .arg("{cache:v3:0}:j:q")
        .arg("-")
        .arg("+")
        .query(&mut server.connection())
        .expect("a stream");
    assert!(!String::from_utf8_lossy(&raw[0].1["p"]).contains("hunter2"));
    assert_eq!(queue.pending::<String>("a").await.expect("an answer").as_deref(), Some("hunter2"));
    let last: u64 = raw[0].0.trim_end_matches("-0").parse().expect("a number");
    let forged = format!("{}-0", last + 1);
    // What somebody else put there is nobody's value: it is set aside.
    redis::cmd("XADD")
        .arg("{cache:v3:0}:j:q")
        .arg(forged)
        .arg("k")
        .arg("-/v/a")
        .arg("p")
        .arg("\"forged\"")
        .exec(&mut server.connection())
        .expect("a forgery");
    assert!(queue.flush(SOON).await.expect("a flush"));
    database.with(|rows| assert_eq!(rows.values["a"], "hunter2"));
    let rejected = queue.rejected(10).await.expect("a list");
    assert!(
        rejected.len() == 1 && rejected[0].write.is_none() && rejected[0].reason.contains("cannot be read"),
        "{rejected:?}"
    );
}
