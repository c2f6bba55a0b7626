//! A Redis Cluster of real processes: every promise as on one server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_middleware::store::Store;
use cache_middleware::store::contract::{BEHAVIOURS, Harness};
use cache_middleware::{CacheManager, Coherence, ValuePolicy};
use cache_suite::{RedisCluster, node, node_with_l1, redis_at};

const STRICT: Coherence = Coherence::Strict(Duration::from_millis(500));

async fn open(cluster: &RedisCluster, namespace: &str) -> Arc<dyn Store> {
    let builder = redis_at(cluster.url()).namespace(namespace);
    Arc::new(builder.connect().await.expect("a store"))
}

fn policy(node: &CacheManager) -> ValuePolicy {
    node.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy")
}

async fn value(node: &CacheManager, key: &str, fetched: &str) -> String {
    let fetch = async || Ok::<_, std::convert::Infallible>(fetched.to_owned());
    node.get_or_set(key, &policy(node), fetch).await.expect("no error")
}

/// Reads until a key is stored; the answer is always the handler's or the stored one.
async fn until_stored(node: &CacheManager, key: &str, fetched: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.get::<String>(key).await.as_deref() != Some(fetched) {
        assert_eq!(value(node, key, fetched).await, fetched);
        assert!(Instant::now() < deadline, "{key} is never stored: {:?}", node.coherence());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_does_what_a_store_must_do() {
    let cluster = RedisCluster::start(3, false);
    for (number, behaviour) in BEHAVIOURS.iter().enumerate() {
        let builder = redis_at(cluster.url()).namespace(format!("contract-{number}"));
        let store = builder.connect().await.expect("a store");
        assert_eq!(store.partitions(), 16);
        let harness = Harness::new(store, |by| Box::pin(tokio::time::sleep(by)));
        println!("{}", behaviour.name);
        (behaviour.check)(harness).await;
    }
}

/// Every partition is at one of the masters, and a clear of one node is in effect on the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_clear_reaches_every_partition() {
    let cluster = RedisCluster::start(3, false);
    let store = open(&cluster, "spread").await;
    let (a, b) = (node_with_l1(&store, STRICT).await, node_with_l1(&open(&cluster, "spread").await, STRICT).await);
    for round in 0..20 {
        for key in 0..40 {
            value(&a, &format!("key {key}"), &format!("old {round}")).await;
        }
        b.clear_tag("t").await.expect("a clear");
        for key in 0..40 {
            let new = format!("new {round}");
            assert_eq!(value(&a, &format!("key {key}"), &new).await, new);
        }
        b.clear_tag("t").await.expect("a clear");
    }
    let spread: Vec<u64> = (0..3)
        .map(|index| redis::cmd("DBSIZE").query(&mut cluster.node(index).connection()).expect("a size"))
        .collect();
    assert!(spread.iter().all(|keys| *keys > 3), "{spread:?}");
}

/// The name of a value's entry in Redis, and so its partition, is known to nobody outside: the test finds it.
fn partition_of(cluster: &RedisCluster, namespace: &str, key: &str) -> u16 {
    let wanted = format!("e:-/v/{key}");
    let keys = cluster.nodes.iter().flatten().flat_map(|node| {
        redis::cmd("KEYS").arg(format!("*{wanted}")).query::<Vec<String>>(&mut node.connection()).unwrap_or_default()
    });
    let key = keys.into_iter().next().unwrap_or_else(|| panic!("{key} is not stored"));
    let prefix = format!("{{{namespace}:v3:");
    key.trim_start_matches(&prefix).split('}').next().expect("a partition").parse().expect("a number")
}

/// Slots move back and forth while two nodes read, write and clear. Fails when `ASK` is followed, or when `fill.lua` writes
/// the entry before its index.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_slots_move_under_load() {
    let cluster = Arc::new(RedisCluster::start(3, false));
    let (a, b) =
        (node_with_l1(&open(&cluster, "moving").await, STRICT).await, node(&open(&cluster, "moving").await).await);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mover = std::thread::spawn({
        let (cluster, stop) = (cluster.clone(), stop.clone());
        move || {
            let mut moves = 0;
            let slots: Vec<u16> = (0..16).map(|p| cluster.slot(&format!("{{moving:v3:{p}}}:f"))).collect();
            let mut owners: Vec<usize> = slots.iter().map(|slot| cluster.first_owner(*slot)).collect();
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let partition = moves * 7 % 16;
                let (from, to) = (owners[partition], (owners[partition] + 1) % 3);
                cluster.move_slot(slots[partition], from, to, Duration::from_millis(3));
                owners[partition] = to;
                moves += 1;
                // A cluster that does nothing else would have no time to answer.
                std::thread::sleep(Duration::from_millis(200));
            }
            moves
        }
    });
    let mut version = 0;
    let (mut hits, mut clears) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        version += 1;
        // A clear waits until a slot has moved.
        b.strictly().clear_tag("t").await.expect("a clear");
        clears += 1;
        for key in 0..30 {
            let (key, new) = (format!("key {}", key % 10), format!("{version:08}"));
            let mut ran = false;
            let fetch = async || {
                ran = true;
                Ok::<_, std::convert::Infallible>(new.clone())
            };
            assert_eq!(a.get_or_set(&key, &policy(&a), fetch).await.expect("no error"), new, "{key}");
            hits += u32::from(!ran);
        }
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let moves = mover.join().expect("slots that move");
    println!("{moves} moves, {clears} clears, {hits} hits");
    assert!(moves > 5 && clears > 4 && hits > 50, "{moves} moves, {clears} clears, {hits} hits");
}

/// One shard is away: its keys miss, the others are hits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_one_shard_away_costs_only_its_keys() {
    let mut cluster = RedisCluster::start(3, false);
    let a = node(&open(&cluster, "shard").await).await;
    let keys: Vec<String> = (0..40).map(|key| format!("key{key}")).collect();
    for key in &keys {
        until_stored(&a, key, "stored").await;
    }
    let lost: Vec<bool> = keys
        .iter()
        .map(|key| {
            let partition = partition_of(&cluster, "shard", key);
            cluster.first_owner(cluster.slot(&format!("{{shard:v3:{partition}}}:f"))) == 1
        })
        .collect();
    assert!(lost.contains(&true) && lost.contains(&false));
    cluster.kill(1);
    for (key, lost) in keys.iter().zip(&lost) {
        let began = Instant::now();
        let answer = value(&a, key, "by the handler").await;
        assert_eq!(answer, if *lost { "by the handler" } else { "stored" }, "{key}");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

/// A master dies; its replica, which has missed the last clear, takes its place. Fails when a new master is trusted
/// before it has been told that it is another server (`identity.lua`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_promoted_replica_that_missed_a_clear_is_void() {
    let mut cluster = RedisCluster::start(3, true);
    let (a, b) = (node_with_l1(&open(&cluster, "fail").await, STRICT).await, node(&open(&cluster, "fail").await).await);
    let keys: Vec<String> = (0..40).map(|key| format!("key{key}")).collect();
    for key in &keys {
        until_stored(&a, key, "old").await;
    }
    let master = (0..3).find(|index| cluster.is_master(*index)).expect("a master");
    let replica = master + 3;
    // It hears nothing of the clear.
    assert!(cluster.node(replica).signal("-STOP"));
    a.clear_tag("t").await.expect("a clear");
    cluster.kill(master);
    assert!(cluster.node(replica).signal("-CONT"));
    let began = Instant::now();
    let mut stored = 0;
    while stored < keys.len() {
        stored = 0;
        for node in [&a, &b] {
            for key in &keys {
                assert_eq!(value(node, key, "new").await, "new", "{key} after {:?}", began.elapsed());
            }
        }
        for key in &keys {
            stored += usize::from(b.get::<String>(key).await.is_some());
        }
        assert!(began.elapsed() < Duration::from_secs(30), "only {stored} keys are stored again");
    }
    assert!(cluster.is_master(replica));
    println!("all keys are stored again {:?} after the master died", began.elapsed());
    a.clear_tag("t").await.expect("a clear");
    assert_eq!(b.get::<String>("key0").await, None);
}

/// What is said at the start when the address is of the wrong kind.
#[tokio::test]
async fn the_wrong_kind_of_address_is_refused() {
    let cluster = RedisCluster::start(3, true);
    let one = cluster.node(0).url();
    let refused = redis_at(&one).connect().await.unwrap_err().to_string();
    assert!(refused.contains("a node of a Redis Cluster: name several"), "{refused}");
    let server = cache_suite::RedisServer::start();
    let refused = redis_at(format!("{0},{0}", server.url())).connect().await.unwrap_err().to_string();
    assert!(refused.contains("is not a node of a Redis Cluster"), "{refused}");
    let first = open(&cluster, "count").await;
    let refused = redis_at(cluster.url()).namespace("count").partitions(8).connect().await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("begun with 16 partitions and is now opened with 8"), "{refused}");
    drop(first);
}
