//! Random histories: no answer is older than a clear that was acknowledged before the request began.
//!
//! Each tag has a version. A write raises it and clears the tag; once the clear is acknowledged, the version is the
//! floor for every request that begins later. A fill reads the versions of its tags, waits a random time, and answers.
//!
//! Fails within the first thousand operations when any mechanism is taken out: marks not compared in `fill`, marks not
//! compared in reads while sweeps are open, followers not asked for their stamp, or members lost in a sweep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_middleware::store::Store;
use cache_middleware::{CacheManager, Coherence};
use cache_suite::{Kind, Rng, TestStore, node, node_with_l1};

const TAGS: usize = 12;
const KEYS: u64 = 60;
const TASKS: usize = 24;
/// On each kind of store.
const OPERATIONS: u64 = 51_000;

#[derive(Debug, Default)]
struct World {
    versions: [AtomicU64; TAGS],
    acknowledged: [AtomicU64; TAGS],
    begun: AtomicU64,
    hits: AtomicU64,
    fills: AtomicU64,
    clears: AtomicU64,
}

/// The tags of a key: always the same two.
fn tags_of(key: u64) -> [usize; 2] {
    let first = usize::try_from(key).unwrap_or(0) % TAGS;
    [first, (first + 1 + usize::try_from(key).unwrap_or(0) / TAGS % (TAGS - 1)) % TAGS]
}

async fn read(world: &World, node: &CacheManager, rng: &mut Rng) {
    let key = rng.below(KEYS);
    let tags = tags_of(key);
    let floor = tags.map(|tag| world.acknowledged[tag].load(Ordering::SeqCst));
    let ttl = if rng.below(4) == 0 { "20ms" } else { "5m" };
    let policy =
        tags.iter().try_fold(node.policy(ttl).expect("a TTL"), |policy, tag| policy.tag(&format!("tag:{tag}")));
    let wait = Duration::from_micros(if rng.below(10) == 0 { rng.below(25_000) } else { rng.below(500) });
    let mut ran = false;
    let answer = node
        .get_or_set(&format!("key:{key}:{}", tags[0]), &policy.expect("tags"), async || {
            ran = true;
            let read = tags.map(|tag| world.versions[tag].load(Ordering::SeqCst));
            tokio::time::sleep(wait).await;
            Ok::<_, std::convert::Infallible>(read)
        })
        .await
        .expect("no error");
    if ran { &world.fills } else { &world.hits }.fetch_add(1, Ordering::Relaxed);
    for (index, tag) in tags.iter().enumerate() {
        assert!(
            answer[index] >= floor[index],
            "key {key} answered version {} of tag {tag} after version {} had been cleared (ran: {ran})",
            answer[index],
            floor[index]
        );
    }
}

async fn write(world: &World, node: &CacheManager, rng: &mut Rng) {
    world.clears.fetch_add(1, Ordering::Relaxed);
    let tag = usize::try_from(rng.below(TAGS as u64)).unwrap_or(0);
    let way = rng.below(20);
    let touched: Vec<usize> = match way {
        0 => (0..TAGS).collect(),
        1 => vec![tag, (tag + 1) % TAGS],
        _ => vec![tag],
    };
    let written: Vec<u64> = touched.iter().map(|tag| world.versions[*tag].fetch_add(1, Ordering::SeqCst) + 1).collect();
    let tags: Vec<String> = touched.iter().map(|tag| format!("tag:{tag}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    match way {
        0 if rng.below(2) == 0 => node.clear_all().await,
        0 => node.clear_pattern("key:*").await,
        _ => node.clear_tags(&tags).await,
    }
    .expect("an acknowledged clear");
    for (tag, version) in touched.iter().zip(written) {
        world.acknowledged[*tag].fetch_max(version, Ordering::SeqCst);
    }
}

async fn history(store: Arc<dyn Store>, coherence: Option<Coherence>, mut rng: Rng) -> Arc<World> {
    let world = Arc::new(World::default());
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(match coherence {
            Some(coherence) => node_with_l1(&store, coherence).await,
            None => node(&store).await,
        });
    }
    if coherence.is_some() {
        // By then no lease from before the start of the nodes can be left, and clears no longer wait for one.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (world, node, mut rng) = (world.clone(), nodes[task % nodes.len()].clone(), rng.split());
            tokio::spawn(async move {
                while world.begun.fetch_add(1, Ordering::Relaxed) < OPERATIONS {
                    match rng.below(100) {
                        0..8 => write(&world, &node, &mut rng).await,
                        8 => {
                            let _ = node
                                .expire_tags(&[&format!("tag:{}", rng.below(TAGS as u64))])
                                .await
                                .expect("an expire");
                        }
                        _ => read(&world, &node, &mut rng).await,
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a history without a stale answer");
    }
    world
}

async fn no_answer_is_stale(kind: Kind, coherence: Option<Coherence>) {
    let test = TestStore::open(kind).await;
    let world = history(test.store.clone(), coherence, Rng::from_env()).await;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!("hits {}, fills {}, clears {}", count(&world.hits), count(&world.fills), count(&world.clears));
    // A history without hits would prove nothing.
    assert!(count(&world.hits) > OPERATIONS / 10, "too few hits");
    assert!(count(&world.clears) > OPERATIONS / 20, "too few clears");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_no_answer_is_older_than_an_acknowledged_clear_in_memory() {
    no_answer_is_stale(Kind::Memory, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_no_answer_is_older_than_an_acknowledged_clear_in_redis() {
    no_answer_is_stale(Kind::Redis, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_no_answer_is_older_than_an_acknowledged_clear_on_partitions() {
    no_answer_is_stale(Kind::RedisPartitioned, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_no_answer_is_older_than_an_acknowledged_clear_with_memory_before_redis() {
    no_answer_is_stale(Kind::Redis, Some(Coherence::Strict(Duration::from_secs(1)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_no_answer_is_older_than_an_acknowledged_clear_with_memory_before_partitions() {
    no_answer_is_stale(Kind::RedisPartitioned, Some(Coherence::Strict(Duration::from_secs(1)))).await;
}
