//! For how long the caches of three nodes differ from their source while messages are dropped, connections are cut and Redis is
//! started anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::{
    ChangeConsumer, ChangeMessage, ChangePublisher, CriticalCache, PastLimit, Record, SourceError, SourceOfTruth,
};
use cache_suite::{Killed, Proxy, RedisServer, Rng, node, redis_at};
use serde_json::json;

use super::{milliseconds, spread};

const KEYS: u64 = 50;
/// What a source takes that was asked for everything.
const ANSWER: Duration = Duration::from_millis(75);
const BEAT: Duration = Duration::from_millis(250);
/// Up to which age of the proof an answer is given without a question.
const LIMIT: &str = "1s";
/// How long an answer may be wrong: the limit, a question and its answer.
const DECLARED: Duration = Duration::from_millis(1_000 + 75 + 25);
/// How long Redis is away: longer than the limit.
const OUTAGE: Duration = Duration::from_millis(1_500);

type Values = HashMap<u64, (u64, u64)>;

/// Numbers, with their versions, and when each was changed.
#[derive(Clone, Default)]
struct Truth(Arc<Mutex<Values>>);

impl Truth {
    fn with<T>(&self, look: impl FnOnce(&mut Values) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SourceOfTruth<u64, u64> for Truth {
    async fn one(&self, key: &u64) -> Result<Option<Record<u64, u64>>, SourceError> {
        let found = self.with(|all| all.get(key).copied());
        tokio::time::sleep(ANSWER).await;
        Ok(found.map(|(version, value)| Record { key: *key, version, value }))
    }

    async fn all(&self) -> Result<Vec<Record<u64, u64>>, SourceError> {
        let all = self.with(|all| all.clone());
        tokio::time::sleep(ANSWER).await;
        Ok(all.into_iter().map(|(key, (version, value))| Record { key, version, value }).collect())
    }
}

struct Node {
    chaos: Arc<ChaosStore>,
    proxy: Proxy,
    changes: ChangeConsumer,
    costs: CriticalCache<u64, u64>,
}

async fn start(server: &RedisServer, truth: &Truth) -> Node {
    let proxy = Proxy::before(server.port()).await;
    let chaos = ChaosStore::before(redis_at(proxy.url()).connect().await.expect("a store"));
    let cache = node(&(chaos.clone() as _)).await;
    let beat = format!("{}ms", BEAT.as_millis());
    let changes = ChangeConsumer::builder("crm").beat(beat).start(&cache).await.expect("a consumer");
    let builder = CriticalCache::builder("costs").key("code").refresh("1h").limit(LIMIT, PastLimit::AskSource);
    let costs = builder.start(&changes, truth.clone()).await.expect("a cache");
    Node { chaos, proxy, changes, costs }
}

/// `true` if all caches are right at the end, and no answer was wrong for longer than declared.
pub(super) async fn measure(duration: Duration, seed: u64) -> bool {
    let mut rng = Rng::new(seed);
    let mut redis = Redis::Up(RedisServer::start());
    let Redis::Up(server) = &redis else { unreachable!("it was started") };
    let truth = Truth::default();
    truth.with(|all| all.extend((0..KEYS).map(|key| (key, (1, 0)))));
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Arc::new(start(server, &truth).await));
    }
    let cache = node(&(Arc::new(redis_at(server.url()).connect().await.expect("a store")) as _)).await;
    let publisher = ChangePublisher::builder("crm").keep(100).start(&cache).await.expect("a publisher");

    let watched = Watched::default();
    let watching = tokio::spawn(watch(nodes.clone(), truth.clone(), watched.clone()));
    let asked = Arc::new(Asked::default());
    let askers: Vec<_> =
        nodes.iter().map(|node| tokio::spawn(ask(node.clone(), truth.clone(), asked.clone(), rng.split()))).collect();

    let (began, mut version, mut dropped, mut cuts, mut restarts) = (Instant::now(), 1, 0, 0, 0);
    let (mut next_cut, mut next_outage) = (duration / 20, duration / 4);
    while began.elapsed() < duration {
        version += 1;
        let (key, value) = (rng.below(KEYS), rng.below(1_000));
        let victim = (rng.below(100) == 0).then(|| &nodes[usize::try_from(rng.below(3)).unwrap_or(0)]);
        if let Some(victim) = victim {
            victim.chaos.inject(Operation::Push, Fault::Lost);
            dropped += 1;
        }
        truth.with(|all| all.insert(key, (version, value)));
        let message = ChangeMessage::new("cost-changed").field("code", key).from_to(json!(null), value);
        publisher.publish("costs", message.version(version)).await.expect("it is published, or waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Some(victim) = victim {
            victim.chaos.heal();
        }
        if began.elapsed() > next_cut {
            next_cut += duration / 20;
            nodes[usize::try_from(rng.below(3)).unwrap_or(0)].proxy.cut();
            cuts += 1;
        }
        if began.elapsed() > next_outage {
            next_outage += duration / 3;
            redis = redis.kill();
            watched.outage(true);
        }
        if let Redis::Down(_, since) = &redis
            && since.elapsed() > OUTAGE
        {
            redis = redis.restart();
            restarts += 1;
        }
        if matches!(redis, Redis::Up(_)) && nodes.iter().all(|node| differing(node, &truth) == 0) {
            watched.outage(false);
        }
    }
    redis = redis.restart();
    let flushed = publisher.flush(Duration::from_secs(20)).await;
    let equal = wait_for_equal(&nodes, &truth).await;
    watched.ended.store(true, Ordering::SeqCst);
    let (mut usual, mut in_outages) = watching.await.expect("the watch");
    asked.ended.store(true, Ordering::SeqCst);
    for asker in askers {
        asker.await.expect("an asker");
    }

    println!("## Differences under faults\n");
    println!(
        "{} changes in {duration:?} on {KEYS} records; {dropped} messages dropped, {cuts} connections cut, Redis started anew {restarts} \
         times.\n",
        version - 1
    );
    println!(
        "| a record of a node differed for | how often | median | p99 | longest |\n| --- | --- | --- | --- | --- |"
    );
    for (name, times) in
        [("while Redis was there", &mut usual), ("while Redis was away, or had just come back", &mut in_outages)]
    {
        let spread = spread(times);
        let [median, p99, longest] = [spread.median, spread.p99, spread.longest].map(milliseconds);
        println!("| {name} | {} | {median} | {p99} | {longest} |", times.len());
    }
    let worst = Duration::from_micros(asked.worst_us.load(Ordering::SeqCst));
    println!(
        "\nOf {} answers of `get` ({} by the source), {} were not what the source had when they were asked for, by {} at most; \
         declared: {}.",
        asked.answers.load(Ordering::SeqCst),
        asked.by_source.load(Ordering::SeqCst),
        asked.old.load(Ordering::SeqCst),
        milliseconds(worst),
        milliseconds(DECLARED),
    );
    for (number, node) in nodes.iter().enumerate() {
        let heard = node.changes.progress();
        println!(
            "Node {number}: {} applied, {} of them caught up, {} gaps, {} duplicates.",
            heard.applied, heard.caught_up, heard.gaps, heard.duplicates
        );
    }
    let faithful = flushed && equal && worst <= DECLARED;
    println!("\nAt the end no cache differs from its source: {}\n", if faithful { "yes" } else { "NO" });
    drop(redis);
    faithful
}

/// The server, there or not.
enum Redis {
    Up(RedisServer),
    Down(Killed, Instant),
}

impl Redis {
    fn kill(self) -> Self {
        match self {
            Self::Up(server) => Self::Down(server.kill(), Instant::now()),
            down @ Self::Down(..) => down,
        }
    }

    fn restart(self) -> Self {
        match self {
            Self::Down(killed, _) => Self::Up(killed.restart()),
            up @ Self::Up(_) => up,
        }
    }
}

fn differing(node: &Node, truth: &Truth) -> usize {
    truth.with(|all| all.iter().filter(|(key, (_, value))| node.costs.held(key) != Some(*value)).count())
}

async fn wait_for_equal(nodes: &[Arc<Node>], truth: &Truth) -> bool {
    for _ in 0..2_000 {
        if nodes.iter().all(|node| differing(node, truth) == 0) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// What the watch is told, and when it ends.
#[derive(Clone, Default)]
struct Watched {
    outage: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Watched {
    fn outage(&self, is_so: bool) {
        self.outage.store(is_so, Ordering::SeqCst);
    }

    fn is_outage(&self) -> bool {
        self.outage.load(Ordering::SeqCst)
    }
}

/// Looks every millisecond which records differ, and since when.
async fn watch(nodes: Vec<Arc<Node>>, truth: Truth, watched: Watched) -> (Vec<Duration>, Vec<Duration>) {
    let mut since: HashMap<(usize, u64), (Instant, bool)> = HashMap::new();
    let (mut usual, mut in_outages) = (Vec::new(), Vec::new());
    while !watched.ended.load(Ordering::SeqCst) {
        let now = Instant::now();
        let values: Vec<(u64, u64)> = truth.with(|all| all.iter().map(|(key, (_, value))| (*key, *value)).collect());
        for (number, node) in nodes.iter().enumerate() {
            for (key, value) in &values {
                if node.costs.held(key) == Some(*value) {
                    if let Some((began, outage)) = since.remove(&(number, *key)) {
                        if outage { in_outages.push(now - began) } else { usual.push(now - began) }
                    }
                } else {
                    let differs = since.entry((number, *key)).or_insert((now, false));
                    differs.1 |= watched.is_outage();
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (usual, in_outages)
}

#[derive(Default)]
struct Asked {
    answers: AtomicU64,
    by_source: AtomicU64,
    old: AtomicU64,
    /// The longest time for which an answer had been wrong when it was asked for.
    worst_us: AtomicU64,
    ended: AtomicBool,
}

/// Asks as a request does, and compares with what the source had at that moment.
async fn ask(node: Arc<Node>, truth: Truth, asked: Arc<Asked>, mut rng: Rng) {
    // When each version came to be, as this asker saw it.
    let mut seen: HashMap<u64, (u64, Instant)> = HashMap::new();
    while !asked.ended.load(Ordering::SeqCst) {
        let key = rng.below(KEYS);
        let now = Instant::now();
        let current = truth.with(|all| all.clone());
        for (key, (version, _)) in &current {
            let known = seen.entry(*key).or_insert((*version, now));
            if known.0 != *version {
                *known = (*version, now);
            }
        }
        let Ok(answer) = node.costs.look(&key).await else { continue };
        asked.answers.fetch_add(1, Ordering::Relaxed);
        asked.by_source.fetch_add(u64::from(!answer.cached), Ordering::Relaxed);
        let (version, value) = current[&key];
        let later = truth.with(|all| all.get(&key).copied());
        // What has changed meanwhile may be in the answer or not.
        if answer.value != Some(value) && later == Some((version, value)) {
            asked.old.fetch_add(1, Ordering::Relaxed);
            let wrong_for = now.duration_since(seen[&key].1);
            asked.worst_us.fetch_max(u64::try_from(wrong_for.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}
