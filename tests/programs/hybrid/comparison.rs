//! Full replication, the hybrid, and nothing kept at all, under the same requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_middleware::store::Store;
use cache_middleware::{
    CacheManager, ChangeConsumer, ChangeMessage, ChangePublisher, Coherence, CriticalCache, ReferenceCache,
    SourceError, SourceOfTruth,
};
use cache_suite::{RedisServer, Rng, node_with_l1, redis_at};
use serde_json::json;

use super::crm::{Crm, Kind, OPERATIONS, OfKind, ROLES, USERS, Versioned, size};
use super::{milliseconds, spread, traffic};

const NODES: usize = 3;
/// How often a request comes, whatever became of those before it.
const EVERY: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Full,
    Hybrid,
    OnDemand,
}

/// How a node gets records of a type.
enum Way {
    Critical(CriticalCache<u64, Versioned>),
    Reference(ReferenceCache<u64, Versioned>),
    Source(OfKind),
}

impl Way {
    /// The record, and whether it was there already.
    async fn get(&self, key: u64) -> Result<(Option<Versioned>, bool), SourceError> {
        match self {
            Self::Critical(cache) => cache.look(&key).await.map(|answer| (answer.value, answer.cached)),
            Self::Reference(cache) => cache.look(&key).await.map(|answer| (answer.value, answer.cached)),
            Self::Source(source) => Ok((source.one(&key).await?.map(|record| record.value), false)),
        }
    }
}

type Node = HashMap<Kind, Way>;

async fn start(strategy: Strategy, server: &RedisServer, crm: &Arc<Crm>) -> (Node, CacheManager) {
    let store: Arc<dyn Store> = Arc::new(redis_at(server.url()).connect().await.expect("a store"));
    let cache = node_with_l1(&store, Coherence::default()).await;
    let changes = ChangeConsumer::builder("crm").start(&cache).await.expect("a consumer");
    let mut node = Node::new();
    for kind in Kind::ALL {
        let source = crm.of(kind);
        let way = match strategy {
            Strategy::OnDemand => Way::Source(source),
            Strategy::Hybrid if kind == Kind::Profile => {
                let builder = ReferenceCache::builder(kind.name()).ttl("5m");
                Way::Reference(builder.start(&changes, source).await.expect("a cache"))
            }
            _ => {
                let builder = CriticalCache::builder(kind.name()).key("id").refresh("1h");
                Way::Critical(builder.start(&changes, source).await.expect("a cache"))
            }
        };
        node.insert(kind, way);
    }
    (node, cache)
}

/// Draws by Zipf's law.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: u64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=count).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self(weights.collect())
    }

    fn draw(&self, rng: &mut Rng) -> u64 {
        let total = self.0.last().copied().unwrap_or(1.0);
        let at = rng.below(1 << 32) as f64 / (1_u64 << 32) as f64 * total;
        self.0.partition_point(|sum| *sum < at) as u64
    }
}

struct Run {
    strategy: Strategy,
    crm: Arc<Crm>,
    nodes: Vec<(Node, CacheManager)>,
    publisher: ChangePublisher,
    users: Zipf,
    operations: Zipf,
    times: Mutex<Vec<Duration>>,
    reads: AtomicU64,
    found: AtomicU64,
    old: AtomicU64,
    profiles: Mutex<Vec<std::collections::HashSet<u64>>>,
}

impl Run {
    /// Reads a record; an answer that is older than what was there when it was asked for differs from the source.
    async fn read(&self, node: usize, kind: Kind, key: u64) -> Option<Versioned> {
        let before = self.crm.now(kind, key).map_or(0, |record| record.version);
        let (value, cached) = self.nodes[node].0[&kind].get(key).await.expect("the source answers");
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.found.fetch_add(u64::from(cached), Ordering::Relaxed);
        self.old.fetch_add(u64::from(value.as_ref().is_some_and(|value| value.version < before)), Ordering::Relaxed);
        if kind == Kind::Profile {
            self.profiles.lock().unwrap_or_else(PoisonError::into_inner)[node].insert(key);
        }
        value
    }

    async fn write(&self, rng: &mut Rng) {
        let (kind, key) = match rng.below(10) {
            0 => (Kind::Cost, self.operations.draw(rng)),
            1 => (Kind::Role, rng.below(ROLES)),
            2 => (Kind::Standing, self.users.draw(rng)),
            _ => (Kind::Profile, self.users.draw(rng)),
        };
        let (before, after) = self.crm.change(kind, key);
        let message = ChangeMessage::new("changed").field("id", key).changed(&["value"]).version(after.version);
        let message = match self.strategy {
            Strategy::OnDemand => return,
            // What is only cleared needs no value.
            Strategy::Hybrid if kind == Kind::Profile => message,
            _ => message.from_to(json!(before), json!(after)),
        };
        self.publisher.publish(kind.name(), message).await.expect("it is published");
    }

    /// One request: a permission, a cost, or a profile.
    async fn request(&self, node: usize, rng: &mut Rng) {
        match rng.below(10) {
            0..4 => {
                let standing = self.read(node, Kind::Standing, self.users.draw(rng)).await;
                let roles = standing.map(|standing| standing.value["roles"].clone()).unwrap_or_default();
                let roles: Vec<u64> = serde_json::from_value(roles).unwrap_or_default();
                let reads = roles.into_iter().map(|role| self.read(node, Kind::Role, role));
                futures_util::future::join_all(reads).await;
            }
            4..7 => drop(self.read(node, Kind::Cost, self.operations.draw(rng)).await),
            _ => drop(self.read(node, Kind::Profile, self.users.draw(rng)).await),
        }
    }

    async fn serve(self: Arc<Self>, number: u64, mut rng: Rng) {
        if number % 100 == 99 {
            return self.write(&mut rng).await;
        }
        let node = usize::try_from(number).unwrap_or(0) % NODES;
        let began = Instant::now();
        self.request(node, &mut rng).await;
        self.times.lock().unwrap_or_else(PoisonError::into_inner).push(began.elapsed());
    }

    /// Bytes of records that the nodes hold, as JSON.
    fn held(&self) -> u64 {
        let critical = |kind| {
            let held = self.nodes.iter().map(|(node, _)| match &node[&kind] {
                Way::Critical(cache) => cache.all().iter().map(|(_, value)| size(value)).sum(),
                _ => 0_u64,
            });
            held.sum::<u64>()
        };
        let reference: u64 = match self.strategy {
            Strategy::Hybrid => {
                let read = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
                let sizes = read.iter().flatten().filter_map(|key| self.crm.now(Kind::Profile, *key));
                sizes.map(|profile| size(&profile)).sum()
            }
            _ => 0,
        };
        Kind::ALL.into_iter().map(critical).sum::<u64>() + reference
    }
}

struct Outcome {
    strategy: Strategy,
    held: u64,
    redis: u64,
    wire: u64,
    median: Duration,
    p99: Duration,
    found: f64,
    old: u64,
    asked: u64,
}

async fn run(strategy: Strategy, requests: u64, seed: u64) -> Outcome {
    let server = RedisServer::start();
    let crm = Crm::generate(seed, strategy == Strategy::Full);
    let before = traffic::of(&server);
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(start(strategy, &server, &crm).await);
    }
    let publisher = ChangePublisher::builder("crm").max_bytes(64 << 10).start(&nodes[0].1).await.expect("a publisher");
    let run = Arc::new(Run {
        strategy,
        crm: crm.clone(),
        nodes,
        publisher,
        users: Zipf::new(USERS),
        operations: Zipf::new(OPERATIONS),
        times: Mutex::default(),
        reads: AtomicU64::new(0),
        found: AtomicU64::new(0),
        old: AtomicU64::new(0),
        profiles: Mutex::new(vec![std::collections::HashSet::new(); NODES]),
    });
    let mut rng = Rng::new(seed);
    let mut next = tokio::time::interval(EVERY);
    let mut under_way = tokio::task::JoinSet::new();
    for number in 0..requests {
        next.tick().await;
        under_way.spawn(run.clone().serve(number, rng.split()));
        while under_way.try_join_next().is_some() {}
    }
    under_way.join_all().await;
    let after = traffic::of(&server);
    let spread = spread(&mut run.times.lock().unwrap_or_else(PoisonError::into_inner));
    let reads = run.reads.load(Ordering::Relaxed).max(1);
    Outcome {
        strategy,
        held: run.held(),
        redis: after.held.saturating_sub(before.held),
        wire: after.bytes.saturating_sub(before.bytes) + crm.sent.load(Ordering::Relaxed),
        median: spread.median,
        p99: spread.p99,
        found: run.found.load(Ordering::Relaxed) as f64 / reads as f64 * 100.0,
        old: run.old.load(Ordering::Relaxed),
        asked: crm.asked.load(Ordering::Relaxed),
    }
}

pub(super) async fn measure(requests: u64, seed: u64) {
    println!("## Full replication, hybrid, on demand\n");
    println!(
        "{USERS} users, {OPERATIONS} operations, {ROLES} roles; {requests} requests (40 % permissions, 30 % costs, 30 % profiles), by \
         Zipf's law, 1 % writes, one each {EVERY:?}; {NODES} nodes; the source takes 50 to 100 ms.\n"
    );
    let mut outcomes = Vec::new();
    for strategy in [Strategy::Full, Strategy::Hybrid, Strategy::OnDemand] {
        outcomes.push(run(strategy, requests, seed).await);
    }
    println!("| | full replication | hybrid | on demand |\n| --- | --- | --- | --- |");
    let row = |name: &str, cell: &dyn Fn(&Outcome) -> String| {
        println!("| {name} | {} |", outcomes.iter().map(cell).collect::<Vec<_>>().join(" | "));
    };
    let full = &outcomes[0];
    let part = |of: u64, whole: u64| format!("{} KiB ({:.0} %)", of >> 10, of as f64 / whole.max(1) as f64 * 100.0);
    row("records held by the nodes", &|of| part(of.held, full.held));
    row("held by Redis", &|of| format!("{} KiB", of.redis >> 10));
    row("held by both", &|of| part(of.held + of.redis, full.held + full.redis));
    row("over the wire", &|of| part(of.wire, full.wire));
    row("latency, median", &|of| milliseconds(of.median));
    row("latency, p99", &|of| milliseconds(of.p99));
    row("reads that found their record", &|of| format!("{:.1} %", of.found));
    row("questions to the source", &|of| of.asked.to_string());
    row("answers that differed from the source", &|of| of.old.to_string());
    let hybrid = outcomes.iter().find(|of| of.strategy == Strategy::Hybrid).unwrap_or(full);
    let saved = |of: u64, whole: u64| 100.0 - of as f64 / whole.max(1) as f64 * 100.0;
    println!(
        "\nClaimed of the hybrid: 80 % less storage and network than full replication, 95 % of reads found. Here: {:.0} % less \
         storage, {:.0} % less network, {:.1} % found.",
        saved(hybrid.held + hybrid.redis, full.held + full.redis),
        saved(hybrid.wire, full.wire),
        hybrid.found
    );
    let whole: u64 = Kind::ALL.into_iter().map(|kind| Crm::generate(seed, true).bytes(kind)).sum();
    println!("All records, once, as JSON: {} KiB.", whole >> 10);
}
