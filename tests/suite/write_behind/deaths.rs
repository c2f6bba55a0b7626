//! Deaths of flushers, of all nodes, and of Redis: nothing that was acknowledged is lost.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use cache_middleware::store::{MemoryStore, Store};
use cache_middleware::time::ManualTime;
use cache_suite::{RedisServer, redis_at, temporary_folder};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

/// A flusher is cut off while its sink writes: whoever goes on gets the same batch, under the same id, whatever was put
/// meanwhile. Fails when a batch is not sealed.
#[tokio::test]
async fn p5_a_batch_is_the_same_for_who_goes_on() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let (one, two) = (test.node().await, test.node().await);
        let database = Database::new(false);
        let first = queue(&one, &database).await;
        for n in 0..5 {
            first.put(&format!("k{n}"), &"v").await.expect("a put");
        }
        // It writes, again and again, and nobody is told.
        database.with(|rows| rows.forgets_to_say = u64::MAX);
        assert!(!first.flush(Duration::from_millis(60)).await.expect("a flush"), "{kind:?}");
        first.put("late", &"v").await.expect("a put");
        drop(first);
        database.with(|rows| rows.forgets_to_say = 0);
        let second = queue(&two, &database).await;
        assert!(second.flush(SOON).await.expect("a flush"), "{kind:?}: {:?}", second.progress());
        database.with(|rows| {
            let ids = &rows.batches;
            assert!(ids.len() >= 3 && ids[0] == ids[1] && ids[ids.len() - 1] != ids[0], "{kind:?}: {ids:?}");
            assert_eq!(rows.values.len(), 6, "{kind:?}");
        });
    }
}

/// Writes, and from then on the answers of the store are lost, if that is armed: that of the settling first.
struct ThenLost {
    to: To,
    store: Arc<ChaosStore>,
    armed: Arc<AtomicBool>,
}

impl Sink for ThenLost {
    async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
        let written = self.to.write(batch).await;
        if self.armed.swap(false, Ordering::SeqCst) {
            self.store.inject(Operation::Queue, Fault::Lost);
        }
        written
    }

    async fn position(&self, queue: &str) -> Result<Option<u64>, SinkError> {
        self.to.position(queue).await
    }
}

/// A sink that keeps its position is never given anything twice, whatever is repeated. Fails when the position is not asked for.
#[tokio::test]
async fn exactly_once_where_the_sink_keeps_its_position() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let store = ChaosStore::before_shared(test.store.clone());
        let cache = CacheManager::builder().shared_store(store.clone()).without_annotation_checks().build().await;
        let cache = cache.expect("a manager");
        let database = Database::new(true);
        let armed = Arc::new(AtomicBool::new(false));
        let sink = ThenLost { to: To(database.clone()), store: store.clone(), armed: armed.clone() };
        let queue = patient().start(&cache, sink).await.expect("a queue");
        let mut lost = 0;
        for round in 0..5 {
            for _ in 0..10 {
                queue.add("n", 1).await.expect("an addition");
            }
            database.with(|rows| rows.forgets_to_say = round % 2);
            armed.store(true, Ordering::SeqCst);
            let flushed = async {
                // Its own questions have no answer either, for a while.
                while !queue.flush(SOON).await.is_ok_and(|flushed| flushed) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            // The batch is written, and the answers to two questions after it are lost.
            let healed = async {
                cache_suite::until("it is written", async || !armed.load(Ordering::SeqCst)).await;
                let asked = store.asked(Operation::Queue);
                cache_suite::until("it is asked", async || store.asked(Operation::Queue) >= asked + 2).await;
                store.heal();
                lost += 1;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = flushed => {}
                () = healed => {}
            }
            armed.store(false, Ordering::SeqCst);
            store.heal();
        }
        assert!(lost > 0, "{kind:?}: no answer was lost");
        database.with(|rows| assert_eq!(rows.sums["n"], 50, "{kind:?}: {:?}", rows.batches));
    }
}

/// Redis has forgotten what it had settled: a sink with a position does not take it again, and takes what is new.
#[tokio::test]
async fn exactly_once_over_a_redis_that_went_back_in_time() {
    let server = RedisServer::start();
    let database = Database::new(true);
    let connect = async |url: String| {
        let store = redis_at(url).connect().await.expect("a store");
        CacheManager::builder().store(store).without_annotation_checks().build().await.expect("a manager")
    };
    let cache = connect(server.url()).await;
    let first = queue(&cache, &database).await;
    for _ in 0..7 {
        first.add("n", 1).await.expect("an addition");
    }
    redis::cmd("SAVE").exec(&mut server.connection()).expect("a snapshot");
    assert!(first.flush(SOON).await.expect("a flush"));
    drop((first, cache));
    let server = server.kill().restart();
    let cache = connect(server.url()).await;
    let second = queue(&cache, &database).await;
    assert_eq!(second.size().await.expect("a size").waiting, 7, "they are there again");
    second.add("n", 1).await.expect("an addition");
    assert!(second.flush(SOON).await.expect("a flush"));
    database.with(|rows| assert_eq!(rows.sums["n"], 8, "{:?}", rows.batches));
}

/// A flusher that stood still beyond its claim writes late: the sink notices by its position. A successor has gone on.
#[tokio::test]
async fn a_flusher_that_stood_still_writes_nothing_twice() {
    struct Slow(Arc<Database>, Arc<Semaphore>, Arc<Semaphore>);
    impl Sink for Slow {
        async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
            self.1.add_permits(1);
            let _go = self.2.acquire().await;
            To(self.0.clone()).write(batch).await
        }
        async fn position(&self, queue: &str) -> Result<Option<u64>, SinkError> {
            To(self.0.clone()).position(queue).await
        }
    }
    let time = ManualTime::default();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(time.clone()).build());
    let (one, two) = (cache_suite::node(&store).await, cache_suite::node(&store).await);
    let database = Database::new(true);
    let (begun, goes_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = Slow(database.clone(), begun.clone(), goes_on.clone());
    let stood_still = patient().batch(1).start(&one, slow).await.expect("a queue");
    stood_still.add("n", 1).await.expect("an addition");
    let _begun = begun.acquire().await;
    time.advance(Duration::from_secs(11));
    let successor = queue(&two, &database).await;
    successor.add("n", 10).await.expect("an addition");
    assert!(successor.flush(SOON).await.expect("a flush"));
    assert_eq!(database.with(|rows| rows.sums["n"]), 11);
    goes_on.add_permits(1_000);
    stood_still.add("n", 100).await.expect("an addition");
    assert!(stood_still.flush(SOON).await.expect("a flush"));
    assert_eq!(database.with(|rows| rows.sums["n"]), 111);
}

/// A file as a database: a line a write, synced.
struct File(std::path::PathBuf);

impl Sink for File {
    async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
        let lines: String = batch.writes().iter().map(|write| format!("{}\n", write.key())).collect();
        let written = std::fs::OpenOptions::new().create(true).append(true).open(&self.0).and_then(|mut file| {
            std::io::Write::write_all(&mut file, lines.as_bytes())?;
            file.sync_data()
        });
        written.map_err(|error| SinkError::Unavailable(error.to_string()))
    }
}

async fn node_at(url: String, file: std::path::PathBuf) -> WriteBehind {
    let store = redis_at(url).connect().await.expect("a store");
    let cache = CacheManager::builder().store(store).without_annotation_checks().build().await.expect("a manager");
    WriteBehind::builder("q").interval("20ms").batch(16).start(&cache, File(file)).await.expect("a queue")
}

/// All nodes are killed while they put and flush, again and again, and Redis as well, which keeps an append-only file: every
/// change that was acknowledged is written. Fails when changes leave the queue before they are written.
#[tokio::test]
async fn p5_nothing_acknowledged_is_lost_when_everybody_is_killed() {
    let folder = temporary_folder("write-behind");
    let file = folder.join("written");
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = RedisServer::start_with(&options);
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..4 {
        let mut nodes = Vec::new();
        for node in 0..2 {
            let mut command = tokio::process::Command::new(std::env::current_exe().expect("this program"));
            command.args([
                "--exact",
                "write_behind::deaths::puts_until_it_is_killed",
                "--include-ignored",
                "--nocapture",
            ]);
            command
                .env("QUEUE_REDIS", server.url())
                .env("QUEUE_FILE", &file)
                .env("QUEUE_NODE", format!("{round}-{node}"));
            let mut child =
                command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("a process");
            let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
            nodes.push((child, lines));
        }
        // So long that many batches have been written, and at no moment in particular.
        for (_, lines) in &mut nodes {
            for _ in 0..(150 + 37 * round) {
                let line = lines.next_line().await.expect("a line").expect("it goes on");
                acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
            }
        }
        if round % 2 == 1 {
            server = server.kill().restart();
        }
        for (mut child, mut lines) in nodes {
            child.kill().await.expect("it is killed");
            while let Ok(Some(line)) = lines.next_line().await {
                acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
            }
        }
    }
    assert!(acknowledged.len() > 500, "{}", acknowledged.len());
    let last = node_at(server.url(), file.clone()).await;
    assert!(last.flush(Duration::from_secs(40)).await.expect("a flush"));
    let written = std::fs::read_to_string(&file).expect("a file");
    let written: std::collections::HashSet<&str> = written.lines().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|key| !written.contains(key.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
}

/// Not a test: a process of the one above.
#[tokio::test]
#[ignore = "it is started by another test"]
async fn puts_until_it_is_killed() {
    let (Ok(url), Ok(file), Ok(node)) =
        (std::env::var("QUEUE_REDIS"), std::env::var("QUEUE_FILE"), std::env::var("QUEUE_NODE"))
    else {
        return;
    };
    let queue = node_at(url, file.into()).await;
    for n in 0_u64.. {
        let key = format!("{node}:{n}");
        if queue.put(&key, &n).await.is_ok() {
            println!("acknowledged {key}");
        } else {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
