//! Channels in a cluster: every node hears, whatever server it asks, and a new master is a new life.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cache_middleware::store::Store;
use cache_suite::{RedisCluster, node, redis_at};

use super::{Authority, COSTS, all, costs, follows, publisher, until, until_proven};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_whatever_server_dies() {
    let mut cluster = RedisCluster::start(3, true);
    let authority = Authority::of(&[("a", 0)]);
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let store: Arc<dyn Store> = Arc::new(redis_at(cluster.url()).connect().await.unwrap());
        let changes = follows(&node(&store).await).await;
        nodes.push((costs(&changes, &authority).await, changes));
    }
    let store: Arc<dyn Store> = Arc::new(redis_at(cluster.url()).connect().await.unwrap());
    let publisher = publisher(&node(&store).await, 1_000).await;
    for value in 1..50 {
        publisher.publish(COSTS, authority.set("a", Some(value))).await.unwrap();
    }
    for (costs, changes) in &nodes {
        until("every node has it", || all(costs) == authority.records()).await;
        assert!(changes.progress().applied > 0);
    }
    assert_eq!(authority.asked_all.load(Ordering::SeqCst), 3, "nothing had to be loaded again");
    // Whoever had the channel dies, or another: each in turn. What is told meanwhile waits.
    let channel = slot_of_channel(&cluster);
    let owner = cluster.first_owner(channel);
    cluster.kill(owner);
    for value in 50..60 {
        publisher.publish(COSTS, authority.set("a", Some(value))).await.unwrap();
    }
    for (costs, _) in &nodes {
        until("a replica has taken over, and every node has it", || all(costs) == authority.records()).await;
        until_proven(costs).await;
    }
    assert!(publisher.flush(std::time::Duration::from_secs(20)).await);
}

/// The slot of the partition that the channel is in.
fn slot_of_channel(cluster: &RedisCluster) -> u16 {
    let streams = cluster.nodes.iter().flatten().flat_map(|node| {
        redis::cmd("KEYS").arg("*cs:crm:123:*").query::<Vec<String>>(&mut node.connection()).unwrap_or_default()
    });
    cluster.slot(&streams.into_iter().next().expect("the channel keeps messages"))
}
