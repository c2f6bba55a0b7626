//! What entries cost beside their bodies.

use std::time::Duration;

use cache_middleware::{CacheManager, Coherence};
use cache_suite::{RedisServer, redis_at};
use futures_util::future::join_all;

use crate::table::{Goal, Row, Table};

const ENTRIES: usize = 20_000;
const BODY_BYTES: usize = 1_000;

/// Bytes of the process for each entry in L1. On a thread of its own, which alone is counted.
pub(crate) fn of_l1(server: &RedisServer, table: &mut Table) {
    let url = server.url();
    let bytes = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let cache = runtime.block_on(async {
            let builder = CacheManager::builder().store(redis_at(url).connect().await.expect("a store"));
            let builder = builder.coherence(Coherence::Bounded(Duration::from_secs(10)));
            let cache = builder.without_annotation_checks().build().await.expect("a manager");
            // What it allocates once is no entry's.
            entries(&cache, "warm-up", 1_000).await;
            cache
        });
        let held = |cache: &CacheManager| cache.coherence().map_or(0, |report| report.l1_entries);
        let before = held(&cache);
        let counted = allocation_counter::measure(|| runtime.block_on(entries(&cache, "held", ENTRIES)));
        counted.bytes_current as f64 / (held(&cache) - before) as f64
    });
    let pair = (bytes.join().expect("a count"), BODY_BYTES as f64);
    table.add(Row::of("memory of an entry in L1", "B", &[pair], Goal::AboveAtMost(400.0)));
}

/// Holds so many entries of a body each, one after the other.
async fn entries(cache: &CacheManager, name: &str, count: usize) {
    let policy = cache.policy("1h").and_then(|policy| policy.tag("held")).expect("a policy");
    for number in 0..count {
        // Two quotation marks are part of what is stored.
        let made = async || Ok::<_, String>("x".repeat(BODY_BYTES - 2));
        let value: Result<String, String> = cache.get_or_set(&format!("{name}:{number}"), &policy, made).await;
        assert_eq!(value.map(|value| value.len()), Ok(BODY_BYTES - 2));
    }
}

/// Bytes of Redis for each tag of each entry.
pub(crate) async fn of_index(cache: &CacheManager, server: &RedisServer, table: &mut Table) {
    let used = || server.info_number("memory", "used_memory") as f64;
    let mut taken = Vec::new();
    for tags in [1_usize, 5] {
        let mut policy = cache.policy("1h").expect("a policy");
        for tag in 0..tags {
            policy = policy.tag(&format!("tag:{tag}")).expect("a tag");
        }
        let before = used();
        let keys: Vec<String> = (0..ENTRIES).map(|number| format!("tags{tags}:{number:06}")).collect();
        for keys in keys.chunks(64) {
            // Not set by hand, which leaves a mark for each.
            let made = async || Ok::<_, String>(1_u8);
            let filled = join_all(keys.iter().map(|key| cache.get_or_set(key, &policy, made))).await;
            assert!(filled.iter().all(Result::is_ok));
        }
        taken.push((used() - before) / ENTRIES as f64);
        cache.clear_all().await.expect("a receipt");
        crate::until_swept(server).await;
    }
    let of_one = (taken[1] - taken[0]) / 4.0;
    table.add(Row::of("memory of a tag of an entry in Redis", "B", &[(of_one, 0.0)], Goal::AboveAtMost(130.0)));
}
