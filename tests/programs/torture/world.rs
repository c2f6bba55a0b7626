//! The truth: versions of keys, when which of them was acknowledged as cleared, and what answers were older.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::ledger::Books;

pub(crate) const KEYS: u64 = 40;
const GROUPS: u64 = 6;

/// The most complaints that are kept.
const MOST_COMPLAINTS: usize = 20;

pub(crate) fn key(number: u64) -> String {
    format!("key:{number}")
}

/// The tags of a key: its own, and that of its group.
pub(crate) fn tags_of(key: &str) -> [String; 2] {
    [format!("own:{key}"), format!("group:{}", group_of(key))]
}

pub(crate) fn group_of(key: &str) -> u64 {
    key.rsplit(':').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) % GROUPS
}

pub(crate) struct World {
    pub(crate) books: Books,
    bound: Duration,
    versions: Mutex<HashMap<String, u64>>,
    acked: Mutex<HashMap<String, Vec<Acked>>>,
    complaints: Mutex<Vec<String>>,
    pub(crate) runs: AtomicU64,
    pub(crate) ops: AtomicU64,
    hits: AtomicU64,
    clears: AtomicU64,
    journaled: AtomicU64,
    lost: AtomicU64,
    stale: AtomicU64,
    failed: AtomicU64,
    longest_lag_ms: AtomicU64,
    /// How long reads took, in classes of powers of two of milliseconds.
    took: [AtomicU64; 15],
}

/// From this moment on, no handler that started before this version was written may be heard.
struct Acked {
    at: Instant,
    version: u64,
    by: usize,
    /// Whether it only holds on the node that cleared.
    journaled: bool,
}

impl World {
    pub(crate) fn new(bound: Duration) -> Self {
        Self {
            books: Books::default(),
            bound,
            versions: Mutex::default(),
            acked: Mutex::default(),
            complaints: Mutex::default(),
            runs: AtomicU64::new(0),
            ops: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            clears: AtomicU64::new(0),
            journaled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            longest_lag_ms: AtomicU64::new(0),
            took: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn version(&self, key: &str) -> u64 {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.get(key).copied().unwrap_or(1)
    }

    /// Writes a key; gives its new version.
    pub(crate) fn write(&self, key: &str) -> u64 {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let version = versions.entry(key.to_owned()).or_insert(1);
        *version += 1;
        *version
    }

    pub(crate) fn acknowledged(&self, written: &[(String, u64)], by: usize) {
        self.clears.fetch_add(1, Ordering::Relaxed);
        self.note(written, by, false);
    }

    pub(crate) fn journaled(&self, written: &[(String, u64)], by: usize) {
        self.journaled.fetch_add(1, Ordering::Relaxed);
        self.note(written, by, true);
    }

    fn note(&self, written: &[(String, u64)], by: usize, journaled: bool) {
        let at = Instant::now();
        let mut acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, version) in written {
            let row = acked.entry(key.clone()).or_default();
            row.push(Acked { at, version: *version, by, journaled });
            // What everybody must have heard of long ago is one row.
            if row.len() > 400 {
                let old: Vec<Acked> = row.drain(..200).filter(|acked| !acked.journaled).collect();
                if let Some(Acked { version, by, .. }) = old.into_iter().max_by_key(|acked| acked.version) {
                    let at = row.first().map_or(at, |first| first.at);
                    row.insert(0, Acked { at, version, by, journaled: false });
                }
            }
        }
    }

    pub(crate) fn took(&self, time: Duration) {
        let class = usize::try_from(time.as_millis().max(1).ilog2()).unwrap_or(0);
        self.took[class.min(self.took.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// So many milliseconds no more than one of a hundred, of a thousand and of all reads took longer than.
    fn quantiles(&self) -> String {
        let counts: Vec<u64> = self.took.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let within = |parts: u64| {
            let mut left = all - all / parts;
            let class = counts.iter().position(|count| {
                left = left.saturating_sub(*count);
                left == 0
            });
            1_u64 << (class.unwrap_or(counts.len() - 1) + 1)
        };
        format!("reads took at most (ms): p99 {}, p99.9 {}, all {}", within(100), within(1_000), within(u64::MAX))
    }

    /// At the end nobody may answer with something older than any clear.
    pub(crate) fn must_be_newest(&self, key: &str, node: usize, version: u64) {
        let acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = acked.get(key).into_iter().flatten().map(|acked| acked.version).max();
        if newest.is_some_and(|newest| version < newest) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.complain(format!("lost: node {node} still answers version {version} of {key} at the end"));
        }
    }

    /// At the end everything is written that was acknowledged, and nothing twice.
    pub(crate) fn must_be_written(&self) {
        for wrong in self.books.wrong() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.complain(wrong);
        }
    }

    pub(crate) fn failed(&self, what: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.complain(what);
    }

    fn complain(&self, what: String) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() < MOST_COMPLAINTS {
            complaints.push(what);
        }
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks an answer of a node to a request that was sent at a moment.
    pub(crate) fn answered(&self, key: &str, node: usize, asked: Instant, version: u64, hit: bool) {
        self.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
        let acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = acked.get(key) else { return };
        let older = row.iter().filter(|acked| acked.version > version && acked.at <= asked);
        for acked in older {
            let lag = asked.duration_since(acked.at);
            self.longest_lag_ms.fetch_max(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            if acked.by == node || (!acked.journaled && lag >= self.bound) {
                self.stale.fetch_add(1, Ordering::Relaxed);
                self.complain(format!(
                    "stale: node {node} answered version {version} of {key}, {lag:?} after node {} had acknowledged the \
                     clear of version {} (hit: {hit})",
                    acked.by, acked.version
                ));
                return;
            }
        }
    }

    pub(crate) fn summary(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "ops={} hits={} clears={} journaled={} lost={} stale={} failed={} max_lag_ms={}",
            read(&self.ops),
            read(&self.hits),
            read(&self.clears),
            read(&self.journaled),
            read(&self.lost),
            read(&self.stale),
            read(&self.failed),
            read(&self.longest_lag_ms)
        )
    }

    /// What is neither right nor wrong.
    pub(crate) fn aside(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!("handlers ran {} times; {}; {}", read(&self.runs), self.quantiles(), self.books.summary())
    }

    pub(crate) fn is_wrong(&self) -> bool {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // A run without hits or clears would prove nothing.
        read(&self.stale) + read(&self.failed) + read(&self.lost) > 0
            || read(&self.hits) == 0
            || read(&self.clears) == 0
            || self.books.is_empty()
    }
}

/// Answers handlers: a key and who asks a line, its version a line; and the sinks of the queue.
pub(crate) async fn serve(world: Arc<World>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let world = world.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while matches!(stream.read_line(&mut line).await, Ok(1..)) {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    let version = match words.as_slice() {
                        ["position"] => world.books.position(),
                        ["flush", batch @ ..] => world.books.flush(batch),
                        words => {
                            world.runs.fetch_add(1, Ordering::Relaxed);
                            world.version(words.first().copied().unwrap_or_default())
                        }
                    };
                    line.clear();
                    if stream.get_mut().write_all(format!("{version}\n").as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
