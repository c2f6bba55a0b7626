//! What others wrote into Redis is a miss, and harms nothing (promise P10).

use cache_middleware::CacheManager;
use cache_suite::{Kind, Rng, TestStore};
use redis::Commands;

const ENTRY: &str = "{cache:v3:0}:e:-/v/key";

async fn read(cache: &CacheManager, fresh: &str) -> String {
    let policy = cache.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy");
    cache
        .get_or_set("key", &policy, async || Ok::<_, std::convert::Infallible>(fresh.to_owned()))
        .await
        .expect("no error")
}

/// A store, what goes behind its back, and a node.
async fn beside_a_node() -> (TestStore, redis::Connection, CacheManager) {
    let test = TestStore::open(Kind::Redis).await;
    let raw = test.server.as_ref().expect("a server").connection();
    let cache = test.node().await;
    (test, raw, cache)
}

#[tokio::test]
async fn p10_foreign_bytes_are_a_miss_and_are_replaced() {
    let (_test, mut raw, cache) = beside_a_node().await;
    read(&cache, "good").await;
    let good: Vec<u8> = raw.get(ENTRY).expect("the entry under the name that docs/redis.md gives");
    let mut rng = Rng::from_env();
    let mut forgeries: Vec<Vec<u8>> = vec![Vec::new(), b"CMW".to_vec(), vec![0xff; 4_096], b"{\"json\":true}".to_vec()];
    for _ in 0..300 {
        let mut bytes = good.clone();
        match rng.below(3) {
            0 => bytes.truncate(usize::try_from(rng.below(bytes.len() as u64)).unwrap_or(0)),
            1 => {
                let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap_or(0);
                bytes[at] ^= 1 << rng.below(8);
            }
            _ => bytes.iter_mut().for_each(|byte| *byte = u8::try_from(rng.below(256)).unwrap_or(0)),
        }
        forgeries.push(bytes);
    }
    for (number, forgery) in forgeries.iter().enumerate() {
        let () = raw.set(ENTRY, forgery).expect("a forgery");
        let fresh = format!("fresh {number}");
        assert_eq!(read(&cache, &fresh).await, fresh, "{forgery:?}");
        assert_eq!(read(&cache, "unused").await, fresh, "it was replaced");
    }
    // Forged heads stop neither a clear nor a sweep: a marks block that ends nowhere, and another type of key.
    let mut endless = good.clone();
    endless[48..52].copy_from_slice(&[0xff; 4]);
    let () = raw.set(ENTRY, endless).expect("a forgery");
    cache.clear_tag("t").await.expect("a clear");
    let () = raw.del(ENTRY).expect("a deletion");
    let () = raw.lpush(ENTRY, 1).expect("another type");
    assert_eq!(read(&cache, "answered").await, "answered");
    let () = raw.del(ENTRY).expect("a deletion");
    assert_eq!(read(&cache, "again").await, "again");
    assert_eq!(read(&cache, "unused").await, "again");
}

/// Who waits for a flight is a set. What else is in its place loses neither the entry nor the end of the flight: the fill lands it.
#[tokio::test]
async fn p10_a_queue_that_is_none_does_not_stop_a_fill() {
    let (_test, mut raw, cache) = beside_a_node().await;
    read(&cache, "warm").await;
    cache.clear_tag("t").await.expect("a clear");
    let () = raw.set("{cache:v3:0}:q:-/v/key", "no set").expect("another type");
    assert_eq!(read(&cache, "good").await, "good");
    let left: Vec<String> = raw.keys("{cache:v3:0}:[lq]:*").expect("keys");
    assert_eq!(left, Vec::<String>::new(), "the flight has landed");
    assert_eq!(read(&cache, "unused").await, "good");
}

/// A flight is a text that ends. What else is in its place is nobody's, and keeps nobody waiting.
#[tokio::test]
async fn p10_a_flight_that_is_none_gives_way() {
    let (_test, mut raw, cache) = beside_a_node().await;
    const FLIGHT: &str = "{cache:v3:0}:l:-/v/key";
    for (number, is_text) in [(0, true), (1, false)] {
        cache.clear_tag("t").await.expect("a clear");
        if is_text {
            let () = raw.set(FLIGHT, "for ever").expect("a text that stays");
        } else {
            let () = raw.lpush(FLIGHT, 1).expect("another type");
        }
        let (began, fresh) = (std::time::Instant::now(), format!("fresh {number}"));
        assert_eq!(read(&cache, &fresh).await, fresh);
        assert!(began.elapsed() < std::time::Duration::from_secs(2), "nobody waits for it");
        assert_eq!(read(&cache, "unused").await, fresh, "it was stored");
        assert!(!raw.exists::<_, bool>(FLIGHT).expect("an answer"));
    }
}

/// The whole name is verified: an entry under another's name is a miss.
#[tokio::test]
async fn p7_an_entry_moved_to_another_key_is_a_miss() {
    let (_test, mut raw, cache) = beside_a_node().await;
    read(&cache, "secret").await;
    let entry: Vec<u8> = raw.get(ENTRY).expect("the entry");
    let () = raw.set("{cache:v3:0}:e:-/v/other", entry).expect("a copy");
    assert_eq!(cache.get::<String>("other").await, None);
    assert_eq!(cache.get::<String>("key").await.as_deref(), Some("secret"));
}

/// Scripts come back by themselves.
#[tokio::test]
async fn scripts_survive_a_script_flush() {
    let (_test, mut raw, cache) = beside_a_node().await;
    for round in 0..3 {
        redis::cmd("SCRIPT").arg("FLUSH").query::<()>(&mut raw).expect("a flush");
        let fresh = format!("round {round}");
        assert_eq!(read(&cache, &fresh).await, fresh);
        redis::cmd("SCRIPT").arg("FLUSH").query::<()>(&mut raw).expect("a flush");
        cache.clear_tag("t").await.expect("a clear");
    }
}
