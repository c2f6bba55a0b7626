//! Sequences that once lost a change, wrote one twice, served what was before, or stopped a queue.

use cache_middleware::store::{MemoryStore, RedisStore, Store};
use cache_middleware::time::ManualTime;
use cache_middleware::{EncryptionKey, PutReceipt};
use cache_suite::{RedisServer, node, redis_at, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW_KEY: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

pub(super) async fn over(store: Arc<dyn Store>) -> CacheManager {
    let builder = CacheManager::builder().l1_bytes(0).shared_store(store).without_annotation_checks();
    builder.build().await.expect("a manager")
}

pub(super) async fn at(server: &RedisServer, keys: &[&str]) -> CacheManager {
    let keys = keys.iter().map(|key| EncryptionKey::parse(key).expect("a key"));
    over(Arc::new(redis_at(server.url()).encryption_keys(keys).connect().await.expect("a store"))).await
}

/// A flusher that stands still until it may go on, and says that it has begun.
pub(super) struct Slow {
    database: Arc<Database>,
    begun: Arc<Semaphore>,
    goes_on: Arc<Semaphore>,
}

impl Slow {
    pub(super) fn new(database: &Arc<Database>) -> (Self, Arc<Semaphore>, Arc<Semaphore>) {
        let (begun, goes_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        (Self { database: database.clone(), begun: begun.clone(), goes_on: goes_on.clone() }, begun, goes_on)
    }
}

impl Sink for Slow {
    async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
        self.begun.add_permits(1);
        let _go = self.goes_on.acquire().await;
        To(self.database.clone()).write(batch).await
    }

    async fn position(&self, queue: &str) -> Result<Option<u64>, SinkError> {
        To(self.database.clone()).position(queue).await
    }
}

/// A process without Redis begins its time anew, and the sink knows a position of an earlier one; Redis has lost its memory, and its
/// clock has gone back. What is put then is new all the same. Fails when numbers begin by the clock alone.
#[tokio::test]
async fn p5_a_position_of_an_earlier_life_swallows_nothing() {
    let database = Database::new(true);
    for (uptime, value) in [(3_600, "first life"), (0, "second life")] {
        let time = ManualTime::default();
        time.advance(Duration::from_secs(uptime));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(time).build());
        let queue = queue(&node(&store).await, &database).await;
        queue.put("a", &value).await.expect("a put");
        assert!(queue.flush(SOON).await.expect("a flush"));
        assert_eq!(database.with(|rows| rows.values["a"].clone()), value);
    }
    let server = RedisServer::start();
    let mut raw = server.connection();
    let (seconds, _): (u64, u64) = redis::cmd("TIME").query(&mut raw).expect("a time");
    let ahead = (seconds + 60) * 1_000_000;
    redis::cmd("HSET").arg("{cache:v3:0}:i:q").arg("last").arg(ahead).exec(&mut raw).expect("a clock that is ahead");
    let queue = queue(&at(&server, &[]).await, &database).await;
    queue.put("a", &"ahead").await.expect("a put");
    assert!(queue.flush(SOON).await.expect("a flush"), "it does not wait until its number is in the past");
    redis::cmd("FLUSHALL").exec(&mut raw).expect("it forgets");
    queue.put("a", &"back").await.expect("a put");
    assert!(queue.flush(SOON).await.expect("a flush"));
    assert_eq!(database.with(|rows| rows.values["a"].clone()), "back");
}

/// A flusher that is told that it has lost its claim does not write over what its successor has written since.
#[tokio::test]
async fn p5_an_old_value_is_not_written_over_a_newer_one() {
    let time = ManualTime::default();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(time.clone()).build());
    let (one, two) = (node(&store).await, node(&store).await);
    let database = Database::new(false);
    let (slow, begun, goes_on) = Slow::new(&database);
    let slow = patient().batch(1).start(&one, slow).await.expect("a queue");
    slow.put("a", &"v1").await.expect("a put");
    let _begun = begun.acquire().await;
    time.advance(Duration::from_secs(11));
    let successor = queue(&two, &database).await;
    successor.put("a", &"v2").await.expect("a put");
    assert!(successor.flush(SOON).await.expect("a flush"));
    until("it is told", async || slow.progress().problem.is_some_and(|problem| problem.contains("another node"))).await;
    goes_on.add_permits(1_000);
    assert_eq!(read(&successor, &two, &database, "a").await, "v2");
}

/// In the middle of a rotation of keys: who cannot read what waits leaves it to who can.
#[tokio::test]
async fn r15_what_another_node_can_read_is_not_set_aside() {
    let server = RedisServer::start();
    let (both, old) = (at(&server, &[NEW_KEY, KEY]).await, at(&server, &[KEY]).await);
    let database = Database::new(false);
    let here = queue(&old, &database).await;
    let there = queue(&both, &database).await;
    there.put("a", &"v").await.expect("a put");
    assert!(!here.flush(Duration::from_millis(300)).await.expect("a flush"));
    assert!(here.progress().problem.is_some_and(|problem| problem.contains("key that this node does not have")));
    drop(here);
    assert!(there.flush(SOON).await.expect("a flush"));
    assert_eq!((there.size().await.expect("a size").set_aside, database.with(|rows| rows.values.len())), (0, 1));
}

/// The clear after a batch fails for a while: the sink has written it, and is not asked again; and what has nothing to do with it
/// stays.
#[tokio::test]
async fn a_clear_that_fails_writes_nothing_twice_and_clears_nothing_else() {
    let shared: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let store = ChaosStore::before_shared(shared.clone());
    let cache = over(store.clone()).await;
    let database = Database::new(false);
    let tags = |write: &cache_middleware::Write| vec![format!("of:{}", write.key())];
    let queue = patient().batch(700).clears(tags).start(&cache, To(database.clone())).await.expect("a queue");
    for n in 0..600 {
        queue.add(&format!("k{n}"), 1).await.expect("an addition");
    }
    cache.set("unrelated", &cache.policy("1h").expect("a policy"), &1).await.expect("a set");
    store.inject(Operation::Clear, Fault::Error);
    assert!(!queue.flush(Duration::from_millis(700)).await.expect("a flush"));
    store.heal();
    assert!(queue.flush(SOON).await.expect("a flush"));
    assert!(database.with(|rows| rows.sums.values().all(|sum| *sum == 1)));
    assert_eq!(node(&shared).await.get::<u8>("unrelated").await, Some(1));
}

/// A put whose clear is only journaled says so.
#[tokio::test]
async fn p5_a_put_tells_whether_others_may_read_what_was_before() {
    let store = ChaosStore::before(MemoryStore::default());
    let queue = queue(&over(store.clone()).await, &Database::new(false)).await;
    assert!(matches!(queue.put("a", &1).await, Ok(PutReceipt { journaled: false, .. })));
    store.inject(Operation::Clear, Fault::Error);
    assert!(matches!(queue.put("a", &2).await, Ok(PutReceipt { journaled: true, .. })));
}

/// Additions are written while their total is read: they are in it, maybe twice, and never not at all.
#[tokio::test]
async fn a_total_leaves_nothing_out() {
    for kind in Kind::ALL {
        let cache = TestStore::open(kind).await;
        let cache = cache.node().await;
        let database = Database::new(false);
        let queue = queue(&cache, &database).await;
        queue.add("n", 10).await.expect("an addition");
        let fetch = async || {
            let written = database.with(|rows| rows.sums.get("n").copied().unwrap_or(0));
            assert!(queue.flush(SOON).await.expect("a flush"));
            Ok::<_, std::io::Error>(written)
        };
        let total = queue.total("n", &cache.policy("5m").expect("a policy"), fetch).await.expect("a total");
        assert!(total >= 10, "{kind:?}: {total}");
    }
}

/// A proxy before a Redis, over which a byte takes its time; gives its port.
async fn slow_link(to: u16, bytes_in_a_microsecond: f64) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let redis = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.expect("redis");
            let ((from_client, to_client), (from_redis, to_redis)) = (client.into_split(), redis.into_split());
            for (mut from, mut to) in [(from_client, to_redis), (from_redis, to_client)] {
                tokio::spawn(async move {
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(length @ 1..) = from.read(&mut bytes).await {
                        let micros = f64::from(u32::try_from(length).unwrap_or(u32::MAX)) / bytes_in_a_microsecond;
                        tokio::time::sleep(Duration::from_secs_f64(micros / 1e6)).await;
                        if to.write_all(&bytes[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    port
}

/// A batch is flushed over a link on which each of its pages takes longer than a command may, and requests go on to ask Redis.
/// Fails when the flusher has no more time than they, when a batch comes as one, or when the breaker counts it.
#[tokio::test(flavor = "multi_thread")]
async fn p8_a_batch_comes_over_a_slow_link() {
    let server = RedisServer::start();
    let database = Database::new(false);
    let quick = at(&server, &[]).await;
    let here = queue(&quick, &database).await;
    for n in 0..20 {
        here.put(&format!("k{n}"), &"x".repeat(200_000)).await.expect("a put");
    }
    quick.set("x", &quick.policy("5m").expect("a policy"), &7_u8).await.expect("a set");
    drop(here);
    let port = slow_link(server.port(), 3.0).await;
    let store = RedisStore::builder(format!("redis://127.0.0.1:{port}")).connect().await.expect("a store");
    let slow = over(Arc::new(store)).await;
    let there = queue(&slow, &database).await;
    assert!(there.flush(SOON).await.expect("a flush"), "{:?}", there.progress());
    assert_eq!(database.with(|rows| rows.values.len()), 20);
    assert_eq!(slow.get::<u8>("x").await, Some(7), "the breaker is closed");
}

/// What was made without a batch is gone from the memory of the node that flushes at once, and not when it hears of it. Fails when
/// the clear after a batch does not tell it.
#[tokio::test]
async fn p1_the_node_that_flushes_forgets_at_once() {
    let server = RedisServer::start();
    let store = redis_at(server.url()).connect().await.expect("a store");
    let deaf = ChaosStore::before(store);
    let shared: Arc<dyn Store> = deaf.clone();
    let cache = cache_suite::node_with_l1(&shared, cache_middleware::Coherence::Bounded(Duration::from_secs(10))).await;
    let database = Database::new(false);
    let tags = |_: &cache_middleware::Write| vec!["lists".to_owned()];
    let queue = patient().clears(tags).start(&cache, To(database.clone())).await.expect("a queue");
    let policy = cache.policy("5m").and_then(|policy| policy.tag("lists")).expect("a policy");
    let list = async |made: u64| {
        cache.get_or_set("list", &policy, async || Ok::<_, std::io::Error>(made)).await.expect("an answer")
    };
    queue.put("a", &"v").await.expect("a put");
    list(1).await;
    until("it is in memory", async || {
        list(1).await;
        cache.coherence().is_some_and(|report| report.l1_hits > 0)
    })
    .await;
    deaf.inject(Operation::Signal, Fault::Delay(Duration::from_secs(5)));
    assert!(queue.flush(SOON).await.expect("a flush"));
    assert_eq!(list(2).await, 2);
}

/// What somebody else put into the stream stops nothing and counts for nothing, and `clears` is not asked about it.
#[tokio::test]
async fn p10_foreign_rows_stop_nothing() {
    let long_ago = "1700000000000000";
    for (id, fields, sealed) in [
        (format!("{long_ago}-0"), &["hello", "world"][..], false),
        (format!("{long_ago}-0"), &["k", "-/v/x", "a", "abc"], false),
        (format!("{long_ago}-0"), &["k", "-/v/x", "a", "99999999999999999999"], false),
        (format!("{long_ago}-0"), &["k", "-/v/x", "z", "abc"], false),
        (format!("{long_ago}-1"), &["k", "-/v/x", "p", "abc"], true),
        (format!("{long_ago}-0"), &["k", "-/v/x", "p", "abc"], true),
        ("18446744073709551000-0".to_owned(), &["k", "-/v/x", "p", "1"], false),
    ] {
        let server = RedisServer::start();
        let cache = at(&server, if sealed { &[KEY] } else { &[] }).await;
        let database = Database::new(false);
        let tags = |write: &cache_middleware::Write| {
            vec![write.amount().map_or_else(|| write.value::<String>().expect("a text"), |_| "n".to_owned())]
        };
        let queue = patient().clears(tags).start(&cache, To(database.clone())).await.expect("a queue");
        let mut add = redis::cmd("XADD");
        add.arg("{cache:v3:0}:j:q").arg(&id).arg(fields);
        add.exec(&mut server.connection()).expect("a foreign row");
        for _ in 0..3 {
            queue.put("a", &"acknowledged").await.expect("a put");
            queue.add("n", 1).await.expect("an addition");
        }
        assert_eq!(queue.pending_amount("n").await.expect("an amount"), 3, "{id} {fields:?}");
        assert!(queue.flush(SOON).await.expect("a flush"), "{id} {fields:?}: {:?}", queue.progress());
        let written = database.with(|rows| (rows.values.get("a").cloned(), rows.sums.get("n").copied()));
        assert_eq!(written, (Some("acknowledged".to_owned()), Some(3)), "{id} {fields:?}");
        // And alone.
        redis::cmd("XADD")
            .arg("{cache:v3:0}:j:q")
            .arg("*")
            .arg(&["hello", "world"])
            .exec(&mut server.connection())
            .expect("a row");
        assert!(queue.flush(SOON).await.expect("a flush"), "{:?}", queue.progress());
    }
}

/// What was sealed has left the stream, and the batch has not ended: its sink is not given nothing.
#[tokio::test]
async fn a_batch_without_changes_is_settled_and_not_written() {
    let server = RedisServer::start();
    let database = Database::new(false);
    database.with(|rows| rows.away = true);
    let queue = queue(&at(&server, &[]).await, &database).await;
    queue.add("n", 1).await.expect("an addition");
    assert!(!queue.flush(Duration::from_millis(100)).await.expect("a flush"));
    // It rests from here on, and has read nothing that it will still write.
    let failures = queue.progress().failures;
    until("it fails once more", async || queue.progress().failures > failures).await;
    redis::cmd("XTRIM")
        .arg("{cache:v3:0}:j:q")
        .arg("MAXLEN")
        .arg(0)
        .exec(&mut server.connection())
        .expect("it is empty");
    let asked = database.with(|rows| rows.batches.len());
    queue.add("m", 1).await.expect("an addition");
    database.with(|rows| rows.away = false);
    assert!(queue.flush(SOON).await.expect("a flush"), "{:?}", queue.progress());
    database
        .with(|rows| assert_eq!((rows.batches.len(), &rows.sums), (asked + 1, &BTreeMap::from([("m".to_owned(), 1)]))));
}

/// Who is in a hurry does not wait for the end of a long rest, and may be in no hurry at all.
#[tokio::test]
async fn a_flush_after_an_outage_is_quick() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let database = Database::new(false);
    database.with(|rows| rows.away = true);
    let queue = queue(&node(&store).await, &database).await;
    queue.put("a", &"b").await.expect("a put");
    assert!(!queue.flush(Duration::from_secs(3)).await.expect("a flush"));
    // The next rest is a long one.
    database.with(|rows| rows.away = false);
    assert!(queue.flush(Duration::from_millis(1_500)).await.expect("a flush"));
    queue.put("a", &"c").await.expect("a put");
    assert!(queue.flush(Duration::MAX).await.expect("a flush"));
}
