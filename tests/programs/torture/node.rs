//! One node of the fleet: a process with a manager, that does what it is told over a line protocol.
//!
//! - `read <key>` → `ok <version> <hit|run>`
//! - `clear <tag|key|pattern|all> <what>` → `acked`, `journaled` or `refused`
//! - `flood <key> <count>` → `ok <how many distinct answers> <how many runs here>`: that many requests at once
//! - `put <key> <value>`, `add` → `acked`, or `refused` if it may be in the queue or not
//! - `drain` → `drained` when nothing waits in the queue
//! - `report` → one line about its L1

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_middleware::telemetry::SampleValue;
use cache_middleware::{CacheError, CacheManager, WriteBehind};
use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::ledger;
use super::settings::NodeSettings;
use super::world::tags_of;

/// How long the queue may take at the end: a claim of a node that was killed lapses first.
const DRAINING: Duration = Duration::from_secs(14);

pub(crate) async fn run(settings: &NodeSettings) {
    let url = settings.redis.clone();
    // By way of the environment, so that whoever starts it can say how long it waits for Redis.
    let variable = |name: &str| if name == "REDIS_URL" { Some(url.clone()) } else { std::env::var(name).ok() };
    let cache = CacheManager::builder()
        .from_variables(variable)
        .coherence(settings.mode.coherence())
        .without_annotation_checks()
        .build()
        .await
        .expect("a manager");
    let queue = match &settings.queue {
        Some(url) => Some(ledger::queue_at(url, settings.database).await),
        None => None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    // It ends with its parent, also when that is killed.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(answer(stream, cache.clone(), queue.clone(), settings.database));
    }
}

async fn answer(stream: TcpStream, cache: CacheManager, queue: Option<WriteBehind>, database: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let (from, mut to) = stream.into_split();
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<&str> = line.split(' ').collect();
        let reply = match (words.as_slice(), &queue) {
            (["read", key], _) => {
                let runs = AtomicUsize::new(0);
                let version = read(&cache, database, key, &runs, 0).await;
                let how = if runs.load(Ordering::Relaxed) == 0 { "hit" } else { "run" };
                format!("ok {version} {how}")
            }
            (["clear", how, what], _) => {
                let cleared = match *how {
                    "tag" => cache.clear_tag(what).await,
                    "key" => cache.clear_key(what).await,
                    "pattern" => cache.clear_pattern(what).await,
                    _ => cache.clear_all().await,
                };
                match cleared {
                    Ok(receipt) if receipt.journaled => "journaled".to_owned(),
                    Ok(_) => "acked".to_owned(),
                    Err(_) => "refused".to_owned(),
                }
            }
            (["flood", key, count], _) => {
                let (runs, before) = (Arc::new(AtomicUsize::new(0)), excuses(&cache));
                let tasks = (0..count.parse().unwrap_or(1)).map(|_| {
                    let (cache, key, runs) = (cache.clone(), (*key).to_owned(), runs.clone());
                    tokio::spawn(async move { read(&cache, database, &key, &runs, 300).await })
                });
                let answers: HashSet<u64> =
                    join_all(tasks).await.into_iter().map(|answer| answer.unwrap_or(0)).collect();
                let excuses = excuses(&cache).into_iter().filter_map(|(why, count)| {
                    let more = count - before.get(&why).copied().unwrap_or(0);
                    (more > 0).then(|| format!("{why}={more}"))
                });
                let excuses: Vec<String> = excuses.collect();
                format!("ok {} {} {}", answers.len(), runs.load(Ordering::Relaxed), excuses.join(" "))
            }
            (["put", key, value], Some(queue)) => acked(&queue.put(key, &value.parse::<u64>().unwrap_or(0)).await),
            (["add"], Some(queue)) => acked(&queue.add("sum", 1).await),
            (["drain"], Some(queue)) => match queue.flush(DRAINING).await {
                Ok(true) => "drained".to_owned(),
                _ => format!("not drained: {:?}, {:?}", queue.size().await, queue.progress()),
            },
            _ => format!("{:?}", cache.coherence()),
        };
        if to.write_all(format!("{reply}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What lets a handler run where another runs it: Redis did not answer, or the answer of the other could not be stored.
fn excuses(cache: &CacheManager) -> BTreeMap<String, u64> {
    let counts = cache.samples().into_iter().filter_map(|sample| match (sample.metric.name, sample.value) {
        ("cache_store_commands_total", SampleValue::Counter(count)) if sample.labels[0] != "ok" => {
            Some((sample.labels[0].to_string(), count))
        }
        ("cache_fills_refused_total", SampleValue::Counter(count)) => Some((sample.labels[0].to_string(), count)),
        _ => None,
    });
    counts.collect()
}

fn acked<T>(queued: &Result<T, CacheError>) -> String {
    if queued.is_ok() { "acked".to_owned() } else { "refused".to_owned() }
}

/// Reads a key; the handler takes `millis`, or a few at random.
async fn read(cache: &CacheManager, database: SocketAddr, key: &str, runs: &AtomicUsize, millis: u64) -> u64 {
    let policy = cache.policy("30s").expect("a TTL");
    let policy = tags_of(key).iter().try_fold(policy, |policy, tag| policy.tag(tag)).expect("tags");
    let fetch = async || {
        runs.fetch_add(1, Ordering::Relaxed);
        let version = ask(database, key).await?;
        let wait = if millis > 0 { millis } else { version.wrapping_mul(0x9e37_79b9) % 8 };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Ok::<u64, std::io::Error>(version)
    };
    cache.get_or_set(key, &policy, fetch).await.unwrap_or(0)
}

/// The version of a key in the database, which is the driver; it is told who asks.
async fn ask(database: SocketAddr, key: &str) -> std::io::Result<u64> {
    converse(database, &format!("{key} {}", std::process::id())).await
}

/// A line to the driver, and its answer.
pub(crate) async fn converse(database: SocketAddr, line: &str) -> std::io::Result<u64> {
    let mut stream = BufReader::new(TcpStream::connect(database).await?);
    stream.get_mut().write_all(format!("{line}\n").as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    line.trim().parse().map_err(|_| std::io::Error::other("no number"))
}
