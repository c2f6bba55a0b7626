//! What a read of a critical cache costs, beside one of a bare map.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use cache_middleware::store::MemoryStore;
use cache_middleware::{ChangeConsumer, CriticalCache, Record, SourceError, SourceOfTruth};
use cache_suite::node;

const ROUNDS: usize = 30;

struct Many(Vec<String>);

impl SourceOfTruth<String, f64> for Many {
    async fn one(&self, key: &String) -> Result<Option<Record<String, f64>>, SourceError> {
        Ok(Some(Record { key: key.clone(), version: 1, value: 2.5 }))
    }

    async fn all(&self) -> Result<Vec<Record<String, f64>>, SourceError> {
        Ok(self.0.iter().map(|key| Record { key: key.clone(), version: 1, value: 2.5 }).collect())
    }
}

/// Nanoseconds of a read, the best of the rounds.
fn time(keys: &[String], read: impl Fn(&String) -> f64) -> f64 {
    let round = || {
        let began = Instant::now();
        let sum: f64 = keys.iter().map(|key| read(black_box(key))).sum();
        black_box(sum);
        began.elapsed().as_secs_f64() * 1e9 / keys.len() as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}

pub(super) async fn measure() {
    println!("## A read of a critical cache, one thread\n");
    println!("| records | `held` | `get`, within its limit | a bare `HashMap` |\n| --- | --- | --- | --- |");
    let cache = node(&(std::sync::Arc::new(MemoryStore::default()) as _)).await;
    let changes = ChangeConsumer::builder("crm").start(&cache).await.expect("a consumer");
    for count in [500, 10_000] {
        let keys: Vec<String> = (0..count).map(|number| format!("crm.operation.{number}")).collect();
        let builder = CriticalCache::<String, f64>::builder(format!("costs-{count}"));
        let costs = builder.start(&changes, Many(keys.clone())).await.expect("a cache");
        let bare: HashMap<String, f64> = keys.iter().map(|key| (key.clone(), 2.5)).collect();
        let held = time(&keys, |key| costs.held(key).unwrap_or(0.0));
        let get = time(&keys, |key| {
            // Nothing is waited for.
            let got = futures_util::FutureExt::now_or_never(costs.get(key));
            got.and_then(Result::ok).flatten().unwrap_or(0.0)
        });
        let floor = time(&keys, |key| bare.get(key).copied().unwrap_or(0.0));
        println!("| {count} | {held:.0} ns | {get:.0} ns | {floor:.0} ns |");
    }
    println!("\nGoal: `held` under 100 ns.\n");
}
