//! What operations cost Redis, in commands and in bytes.

use std::collections::BTreeMap;

use cache_middleware::{CacheManager, Coherence, ValuePolicy};
use cache_suite::{RedisServer, redis_at};

const TIMES: u64 = 100;
const BODY_BYTES: usize = 1_000;

/// Commands that clients have sent, and bytes received and sent.
struct Cost {
    commands: BTreeMap<String, u64>,
    received: u64,
    sent: u64,
}

/// So far. Commands of scripts count with their script.
fn so_far(server: &RedisServer) -> Cost {
    let sent_by_clients = ["mget", "evalsha", "publish"];
    let commands = server.commands().into_iter().filter(|(name, _)| sent_by_clients.contains(&name.as_str()));
    Cost {
        commands: commands.map(|(name, (calls, _))| (name, calls)).collect(),
        received: server.info_number("stats", "total_net_input_bytes"),
        sent: server.info_number("stats", "total_net_output_bytes"),
    }
}

/// What an operation costs that is done a hundred times.
async fn cost_of(server: &RedisServer, mut operation: impl AsyncFnMut(u64)) -> Cost {
    let before = so_far(server);
    for number in 0..TIMES {
        operation(number).await;
    }
    let after = so_far(server);
    let commands = after.commands.iter();
    let commands = commands.map(|(name, calls)| (name.clone(), calls - before.commands.get(name).unwrap_or(&0)));
    Cost {
        commands: commands.collect(),
        received: (after.received - before.received) / TIMES,
        sent: (after.sent - before.sent) / TIMES,
    }
}

impl Cost {
    /// How often a command was sent for one operation, to the nearest: what nodes do by themselves meanwhile, beats and
    /// sweeps, is less than half a command for each.
    fn each(&self, command: &str) -> u64 {
        (self.commands.get(command).copied().unwrap_or(0) + TIMES / 2) / TIMES
    }
}

async fn node(server: &RedisServer, l1_bytes: usize, partitions: u16) -> CacheManager {
    let store = redis_at(server.url()).partitions(partitions).connect().await.expect("a store");
    let builder = CacheManager::builder().store(store).l1_bytes(l1_bytes).coherence(Coherence::default());
    builder.without_annotation_checks().build().await.expect("a manager")
}

fn policy(cache: &CacheManager) -> ValuePolicy {
    cache.policy("1h").and_then(|policy| policy.tag("a")).and_then(|policy| policy.tag("b")).expect("a policy")
}

async fn value(cache: &CacheManager, policy: &ValuePolicy, key: &str) {
    let made = async || Ok::<_, String>("x".repeat(BODY_BYTES));
    assert_eq!(cache.get_or_set(key, policy, made).await.map(|value: String| value.len()), Ok(BODY_BYTES));
}

/// A read, the take-off, and the fill, which lands the flight.
#[tokio::test]
async fn a_miss_is_three_commands() {
    let server = RedisServer::start();
    let cache = node(&server, 0, 1).await;
    let policy = policy(&cache);
    let cost = cost_of(&server, async |number| value(&cache, &policy, &format!("k:{number}")).await).await;
    assert_eq!((cost.each("mget"), cost.each("evalsha")), (1, 2));
    assert!(cost.received < 1_500 + BODY_BYTES as u64, "{} bytes", cost.received);
    assert!(cost.sent < 500, "{} bytes", cost.sent);
}

#[tokio::test]
async fn a_hit_is_one_command_or_none() {
    let server = RedisServer::start();
    let (far, near) = (node(&server, 0, 1).await, node(&server, 10 << 20, 1).await);
    let policy = policy(&far);
    value(&far, &policy, "k").await;
    let cost = cost_of(&server, async |_| value(&far, &policy, "k").await).await;
    assert_eq!((cost.each("mget"), cost.each("evalsha")), (1, 0));
    assert!(cost.received < 200 && cost.sent < 500 + BODY_BYTES as u64, "{} and {}", cost.received, cost.sent);
    // A hot key loads no server, however many nodes ask for it.
    value(&near, &policy, "k").await;
    let cost = cost_of(&server, async |_| value(&near, &policy, "k").await).await;
    assert_eq!((cost.each("mget"), cost.each("evalsha")), (0, 0));
}

/// And a step of the sweep, if there was something to clear.
#[tokio::test]
async fn a_clear_is_one_script_for_each_partition() {
    let server = RedisServer::start();
    let one = node(&server, 0, 1).await;
    let cost = cost_of(&server, async |number| {
        one.clear_tag(&format!("t:{number}")).await.expect("a receipt");
    });
    let cost = cost.await;
    assert_eq!((cost.each("mget"), cost.each("evalsha")), (0, 1));
    assert!(cost.received < 600 && cost.sent < 300, "{} and {}", cost.received, cost.sent);
    let server = RedisServer::start();
    let four = node(&server, 0, 4).await;
    let packets = || server.info_number("stats", "total_reads_processed");
    let before = packets();
    let cost = cost_of(&server, async |number| {
        four.clear_tag(&format!("t:{number}")).await.expect("a receipt");
    });
    assert_eq!(cost.await.each("evalsha"), 4);
    // None waits for another: the four come together.
    let packets = packets() - before;
    assert!(packets < 2 * TIMES, "{TIMES} clears of four partitions came in {packets} packets");
}

/// Requests that come together share packets: many more of them in a second than there are round trips.
#[tokio::test]
async fn requests_at_once_are_pipelined() {
    let server = RedisServer::start();
    let cache = node(&server, 0, 1).await;
    let policy = policy(&cache);
    for number in 0..64 {
        value(&cache, &policy, &format!("k:{number}")).await;
    }
    let reads = || server.info_number("stats", "total_reads_processed");
    let before = reads();
    let keys: Vec<String> = (0..64).map(|number| format!("k:{number}")).collect();
    futures_util::future::join_all(keys.iter().map(|key| value(&cache, &policy, key))).await;
    let packets = reads() - before;
    assert!(packets <= 32, "64 reads came in {packets} packets");
}
