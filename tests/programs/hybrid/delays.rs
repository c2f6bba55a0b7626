//! How long it takes until a change is in effect on three nodes, beside a bare `PUBLISH` to three bare subscribers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cache_middleware::{
    ChangeConsumer, ChangeMessage, ChangePublisher, CriticalCache, Record, SourceError, SourceOfTruth,
};
use cache_suite::{RedisServer, node, redis_at};
use serde_json::json;

use super::{milliseconds, spread};

const CHANGES: u64 = 2_000;
/// How many changes of one way come before as many of the other.
const TURN: u64 = 100;

/// Costs of operations that are all 0.
struct Zeros;

impl SourceOfTruth<u64, u64> for Zeros {
    async fn one(&self, key: &u64) -> Result<Option<Record<u64, u64>>, SourceError> {
        Ok(Some(Record { key: *key, version: 1, value: 0 }))
    }

    async fn all(&self) -> Result<Vec<Record<u64, u64>>, SourceError> {
        Ok((0..500).map(|key| Record { key, version: 1, value: 0 }).collect())
    }
}

pub(super) async fn measure() {
    let server = RedisServer::start();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let cache = node(&(Arc::new(redis_at(server.url()).connect().await.expect("a store")) as _)).await;
        let changes = ChangeConsumer::builder("crm").start(&cache).await.expect("a consumer");
        let costs = CriticalCache::<u64, u64>::builder("costs").key("code").start(&changes, Zeros);
        nodes.push(costs.await.expect("a cache"));
    }
    let cache = node(&(Arc::new(redis_at(server.url()).connect().await.expect("a store")) as _)).await;
    let publisher = ChangePublisher::builder("crm").start(&cache).await.expect("a publisher");

    let client = redis::Client::open(server.url()).expect("an address");
    let heard: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
    for heard in &heard {
        let mut subscriber = client.get_async_pubsub().await.expect("a connection");
        subscriber.subscribe("bare").await.expect("a subscription");
        let heard = heard.clone();
        tokio::spawn(async move {
            let mut messages = subscriber.into_on_message();
            while let Some(message) = futures_util::StreamExt::next(&mut messages).await {
                heard.store(message.get_payload().unwrap_or(0), Ordering::SeqCst);
            }
        });
    }
    let mut bare = client.get_multiplexed_async_connection().await.expect("a connection");

    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for change in 1..=CHANGES {
        if (change / TURN).is_multiple_of(2) {
            let key = change % 500;
            let message = ChangeMessage::new("cost-changed").field("code", key).from_to(json!(0), change);
            let began = Instant::now();
            publisher.publish("costs", message.version(change + 1)).await.expect("it is published");
            until(|| nodes.iter().all(|node| node.held(&key) == Some(change))).await;
            ours.push(began.elapsed());
        } else {
            let began = Instant::now();
            redis::cmd("PUBLISH").arg("bare").arg(change).exec_async(&mut bare).await.expect("it is published");
            until(|| heard.iter().all(|heard| heard.load(Ordering::SeqCst) == change)).await;
            floor.push(began.elapsed());
        }
    }
    let (ours, floor) = (spread(&mut ours), spread(&mut floor));
    println!("## A change in effect on three nodes\n");
    println!("| | median | p99 | longest |\n| --- | --- | --- | --- |");
    for (name, spread) in
        [("critical cache: clear, count, keep, tell, apply", &ours), ("bare PUBLISH, bare subscribers", &floor)]
    {
        let [median, p99, longest] = [spread.median, spread.p99, spread.longest].map(milliseconds);
        println!("| {name} | {median} | {p99} | {longest} |");
    }
    let goal = Duration::from_millis(5);
    println!("\nGoal: p99 within {}: {}\n", milliseconds(goal), if ours.p99 <= goal { "met" } else { "missed" });
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}
