//! What is written behind: a queue in a Redis that keeps an append-only file, under faults of its own, and the books of what
//! was acknowledged and what has arrived.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cache_middleware::{Batch, CacheManager, Sink, SinkError, WriteBehind};
use cache_suite::{Proxy, RedisServer, Rng, Weather, redis_at};

use super::node::converse;

/// The Redis of the queue, behind a proxy.
pub(crate) struct Ledger {
    server: Option<RedisServer>,
    proxy: Proxy,
}

impl Ledger {
    pub(crate) async fn start() -> Self {
        let server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
        let proxy = Proxy::before(server.port()).await;
        Self { server: Some(server), proxy }
    }

    pub(crate) fn url(&self) -> String {
        self.proxy.url()
    }

    /// One fault at random.
    pub(crate) async fn suffer(&mut self, rng: &mut Rng) -> &'static str {
        let lasts = Duration::from_millis(100 + rng.below(2_000));
        match rng.below(5) {
            0 => {
                let Some(server) = self.server.take() else { return "queue lost" };
                let killed = server.kill();
                tokio::time::sleep(lasts).await;
                self.server = Some(killed.restart());
                "queue restarted"
            }
            1 => {
                let signal = |name: &str| self.server.as_ref().is_some_and(|server| server.signal(name));
                signal("-STOP");
                tokio::time::sleep(lasts).await;
                signal("-CONT");
                "queue paused"
            }
            2 => {
                self.proxy.cut();
                "queue cut"
            }
            3 => {
                self.proxy.weather_back(Weather::Frozen);
                tokio::time::sleep(lasts).await;
                self.proxy.cut();
                self.proxy.weather(Weather::Fair);
                "queue half open"
            }
            _ => {
                self.proxy.weather_back(Weather::Garbage);
                tokio::time::sleep(lasts / 4).await;
                self.proxy.weather(Weather::Fair);
                "queue garbage"
            }
        }
    }
}

/// The queue of a node.
pub(crate) async fn queue_at(url: &str, database: SocketAddr) -> WriteBehind {
    let store = redis_at(url).command_timeout(Duration::from_millis(200)).connect().await.expect("a store");
    let builder = CacheManager::builder().l1_bytes(0).without_annotation_checks();
    let cache = builder.store(store).build().await.expect("a manager");
    let queue = WriteBehind::builder("ledger").interval("50ms").batch(64);
    queue.start(&cache, ToDriver(database)).await.expect("a queue")
}

/// The database, which is the driver: it takes a batch if it is at its position, and is told nothing twice.
struct ToDriver(SocketAddr);

impl Sink for ToDriver {
    async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
        let mut line = format!("flush {} {}", batch.after(), batch.upto());
        for write in batch.writes() {
            let of = match write.amount() {
                Some(amount) => format!(" {}+{amount}", write.key()),
                None => format!(" {}={}", write.key(), write.value::<u64>()?),
            };
            line.push_str(&of);
        }
        match converse(self.0, &line).await {
            Ok(1) => Ok(()),
            Ok(_) => Err(SinkError::Unavailable("the position has moved".to_owned())),
            Err(error) => Err(SinkError::Unavailable(error.to_string())),
        }
    }

    async fn position(&self, _: &str) -> Result<Option<u64>, SinkError> {
        converse(self.0, "position").await.map(Some).map_err(|error| SinkError::Unavailable(error.to_string()))
    }
}

/// What was acknowledged, and what has arrived.
#[derive(Default)]
pub(crate) struct Books(Mutex<Page>);

#[derive(Default)]
struct Page {
    position: u64,
    batches: u64,
    /// By key: the newest value that was acknowledged, and that was written.
    put: HashMap<String, (u64, u64)>,
    /// What was added: acknowledged, neither acknowledged nor refused, and written.
    added: u64,
    perhaps: u64,
    written: u64,
}

impl Books {
    fn with<T>(&self, look: impl FnOnce(&mut Page) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn position(&self) -> u64 {
        self.with(|page| page.position)
    }

    /// Takes a batch as a database does: all of it at its position, or nothing.
    pub(crate) fn flush(&self, words: &[&str]) -> u64 {
        let [after, upto, writes @ ..] = words else { return 0 };
        let (Ok(after), Ok(upto)) = (after.parse::<u64>(), upto.parse::<u64>()) else { return 0 };
        self.with(|page| {
            if page.position != after {
                return 0;
            }
            for write in writes {
                if let Some((_, amount)) = write.split_once('+') {
                    page.written += amount.parse::<u64>().unwrap_or(0);
                } else if let Some((key, value)) = write.split_once('=') {
                    page.put.entry(key.to_owned()).or_default().1 = value.parse().unwrap_or(0);
                }
            }
            page.position = upto;
            page.batches += 1;
            1
        })
    }

    pub(crate) fn put(&self, key: &str, value: u64) {
        self.with(|page| page.put.entry(key.to_owned()).or_default().0 = value);
    }

    pub(crate) fn added(&self, acknowledged: bool) {
        self.with(|page| if acknowledged { page.added += 1 } else { page.perhaps += 1 });
    }

    /// What is missing, or there twice, when all is written.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.with(|page| {
            let older = page.put.iter().filter(|(_, (acknowledged, written))| written < acknowledged);
            let mut wrong: Vec<String> = older
                .map(|(key, (acknowledged, written))| {
                    format!("lost: {acknowledged} was put under {key}, and {written} is written")
                })
                .collect();
            if !(page.added..=page.added + page.perhaps).contains(&page.written) {
                let Page { added, perhaps, written, .. } = page;
                wrong.push(format!("lost: {added} were added, perhaps {perhaps} more, and {written} are written"));
            }
            wrong
        })
    }

    pub(crate) fn summary(&self) -> String {
        self.with(|page| {
            let Page { batches, added, perhaps, written, .. } = page;
            format!("written behind: {batches} batches; {written} of {added} and perhaps {perhaps} more")
        })
    }

    /// Whether anything was written at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.with(|page| page.batches == 0)
    }
}
