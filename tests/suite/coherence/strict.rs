//! Mode strict, for a fleet, a clear or a policy: acknowledged means in effect everywhere.

use std::time::{Duration, Instant};

use cache_middleware::Coherence;
use cache_suite::Weather;

use super::{BOUND, Node, STRICT, two};

/// Fails when a strict clear does not wait for acknowledgements (`settle`), or when they are sent before the signal has
/// taken effect.
#[tokio::test]
async fn p1_a_strict_clear_is_in_effect_everywhere_when_it_is_acknowledged() {
    let (_server, a, b) = two(STRICT).await;
    for round in 0..100 {
        let (old, new) = (format!("old {round}"), format!("new {round}"));
        b.cache.clear_tag("t").await.expect("a clear");
        assert_eq!(a.value(&old).await, old);
        a.warm(&old).await;
        // The signal is on its way for longer than the reply of the clear.
        a.proxy.weather_back(Weather::Slow(Duration::from_millis(5)));
        let receipt = b.cache.clear_tag("t").await.expect("a clear");
        assert!(receipt.strict);
        assert_eq!(a.value(&new).await, new, "round {round}");
        a.proxy.weather_back(Weather::Fair);
    }
}

/// Fails when a strict clear does not wait for the lease of a node that does not answer.
#[tokio::test]
async fn p1_a_strict_clear_waits_for_a_node_that_is_cut_off_but_not_longer_than_its_lease() {
    let (_server, a, b) = two(STRICT).await;
    // By now no lease from before the start of the nodes can be left.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        assert_eq!(a.value("old").await, "old");
        a.warm("old").await;
        a.proxy.weather(Weather::Frozen);
        let began = Instant::now();
        b.cache.clear_tag("t").await.expect("a clear");
        let took = began.elapsed();
        assert_eq!(a.cache.get::<String>("key").await, None, "served after {took:?}");
        assert!(took > BOUND / 3 && took < BOUND * 2, "{took:?}");
        // Nobody waits a second time for a node that is not heard of.
        let began = Instant::now();
        b.cache.clear_tag("t").await.expect("a clear");
        assert!(began.elapsed() < BOUND / 2, "{:?}", began.elapsed());
        a.proxy.weather(Weather::Fair);
        a.until("L1 is open again", Node::is_open).await;
    }
}

/// One strict clear, and clears of entries that ask for it, among nodes that are bounded.
#[tokio::test]
async fn p1_strictness_can_be_asked_for_by_a_clear_or_by_a_policy() {
    let (_server, a, b) = two(Coherence::Bounded(Duration::from_secs(2))).await;
    assert!(!b.cache.clear_tag("t").await.expect("a clear").strict);
    for by in ["clear", "policy", "policy and pattern"] {
        let policy = if by == "clear" { a.policy() } else { a.policy().strict() };
        for round in 0..20 {
            let read = async |fetched: String| {
                let fetch = async || Ok::<_, std::convert::Infallible>(fetched);
                a.cache.get_or_set("key", &policy, fetch).await.expect("no error")
            };
            let (old, new) = (format!("old {by} {round}"), format!("new {by} {round}"));
            b.cache.strictly().clear_tag("t").await.expect("a clear");
            assert_eq!(read(old.clone()).await, old);
            a.warm(&old).await;
            a.proxy.weather_back(Weather::Slow(Duration::from_millis(5)));
            let receipt = match by {
                "clear" => b.cache.strictly().clear_tag("t").await,
                "policy" => b.cache.clear_tag("t").await,
                _ => b.cache.clear_pattern("k*").await,
            };
            assert!(receipt.expect("a clear").strict, "{by}");
            assert_eq!(read(new.clone()).await, new);
            a.proxy.weather_back(Weather::Fair);
        }
    }
}

/// A node that leaves is not waited for.
#[tokio::test]
async fn a_node_that_leaves_holds_up_no_clear() {
    let (server, a, b) = two(Coherence::Strict(Duration::from_secs(2))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let Node { cache, store: _store, proxy: _proxy } = a;
    drop(cache);
    let nodes = || redis::cmd("HLEN").arg("{cache:v3:0}:n").query::<u64>(&mut server.connection()).expect("a count");
    let deadline = Instant::now() + Duration::from_secs(5);
    while nodes() > 1 {
        assert!(Instant::now() < deadline, "the node is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    b.cache.clear_tag("t").await.expect("a clear");
    assert!(began.elapsed() < Duration::from_secs(1));
}
