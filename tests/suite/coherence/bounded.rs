//! Mode bounded: signals, proofs, and what becomes of them in bad weather.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_middleware::Coherence;
use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::entry::Stamp;
use cache_middleware::store::Store;
use cache_suite::{Proxy, RedisServer, Weather, clear_without_a_signal, node_with_l1, redis_at};

use super::{BOUND, BOUNDED, Node, node, two};

/// Without a way to Redis there can be no other place it comes from.
#[tokio::test]
async fn a_hit_in_memory_needs_no_network() {
    let (_server, a, _b) = two(BOUNDED).await;
    assert_eq!(a.value("old").await, "old");
    a.warm("old").await;
    a.until("a fresh proof", Node::is_open).await;
    a.proxy.weather(Weather::Frozen);
    let before = a.hits();
    assert_eq!(a.value("unused").await, "old");
    assert_eq!(a.hits(), before + 1);
}

/// Fails when signals change nothing (`View::signal`): the bound is much longer than the test waits.
#[tokio::test]
async fn p1_a_clear_reaches_other_nodes_by_its_signal() {
    let (_server, a, b) = two(Coherence::Bounded(Duration::from_secs(10))).await;
    for round in 0..50 {
        let (old, new) = (format!("old {round}"), format!("new {round}"));
        a.cache.clear_tag("t").await.expect("a clear");
        assert_eq!(a.value(&old).await, old);
        a.warm(&old).await;
        let told = a.cache.coherence().expect("an L1").signals;
        let receipt = b.cache.clear_tag("t").await.expect("a clear");
        assert_eq!(receipt.nodes_told, 2);
        a.until("the signal", |a| a.cache.coherence().expect("an L1").signals > told).await;
        assert_eq!(a.value(&new).await, new);
    }
}

/// Fails when a node trusts itself for longer than the bound after a proof (`View::is_trusted`).
#[tokio::test]
async fn p1_a_node_that_is_cut_off_stops_serving_from_memory() {
    for weather in ["frozen", "no way back", "cut"] {
        let (_server, a, b) = two(BOUNDED).await;
        assert_eq!(a.value("old").await, "old");
        a.warm("old").await;
        match weather {
            "frozen" => a.proxy.weather(Weather::Frozen),
            "no way back" => a.proxy.weather_back(Weather::Frozen),
            _ => a.proxy.cut(),
        }
        b.cache.clear_tag("t").await.expect("a clear");
        let cleared = Instant::now();
        let mut served_after = Duration::ZERO;
        while cleared.elapsed() < BOUND * 3 {
            let asked = cleared.elapsed();
            // Without a store the handler answers.
            if a.cache.get::<String>("key").await.as_deref() == Some("old") {
                served_after = asked;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(served_after < BOUND, "{weather}: served {served_after:?} after the clear");
    }
}

/// Proofs are dated from before the question: when every answer is later than the bound, none is worth anything. Fails
/// when they are dated from the answer.
#[tokio::test]
async fn p1_answers_that_are_late_prove_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let store: Arc<dyn Store> = Arc::new(redis_at(proxy.url()).connect().await.expect("a store"));
    proxy.weather_back(Weather::Slow(Duration::from_millis(100)));
    let a = Node { cache: node_with_l1(&store, Coherence::Bounded(Duration::from_millis(80))).await, store, proxy };
    for _ in 0..20 {
        assert_eq!(a.value("old").await, "old");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(a.cache.coherence().expect("an L1").proofs > 3);
    assert_eq!(a.hits(), 0);
}

/// A clear whose signal never comes. Fails when a proof does not compare the clock with the signals (`View::proven`).
#[tokio::test]
async fn p1_a_lost_signal_is_noticed_by_the_next_proof() {
    let (server, a, _b) = two(BOUNDED).await;
    assert_eq!(a.value("old").await, "old");
    a.warm("old").await;
    clear_without_a_signal(&mut server.connection(), "t/-/t");
    let voided = a.cache.coherence().expect("an L1").voided;
    a.until("the next proof", |a| a.cache.coherence().expect("an L1").voided > voided).await;
    assert_eq!(a.value("new").await, "new");
}

/// Reordered and repeated signals, and what is none. Fails when a gap in the chain of clocks is not noticed
/// (`View::link`), or when what cannot be read is passed over (`View::malformed`).
#[tokio::test]
async fn p1_signals_that_make_no_sense_close_l1() {
    let (server, a, _b) = two(Coherence::Bounded(Duration::from_secs(8))).await;
    let mut raw = server.connection();
    let mut publish = |message: &str| {
        redis::cmd("PUBLISH").arg("{cache:v3:0}:c").arg(message).exec(&mut raw).expect("a message");
    };
    let signal = |at: Stamp, before: i64, clock: i64| {
        let (before, clock) = (at.clock.saturating_add_signed(before), at.clock.saturating_add_signed(clock));
        format!("v2 {:x} {before} {clock} 0 0 m5:t/-/x", at.incarnation)
    };
    type Message<'a> = Box<dyn Fn(Stamp) -> String + 'a>;
    let messages: [(Message<'_>, bool); 8] = [
        (Box::new(|at| signal(at, -7, -6)), false),
        (Box::new(|at| signal(at, -7, 0)), false),
        (Box::new(|at| signal(at, 0, 1)), false),
        (Box::new(|at| signal(at, 5, 6)), true),
        (Box::new(|_| "hello".to_owned()), true),
        (Box::new(|_| "v3 something new".to_owned()), true),
        (Box::new(|at| signal(at, 0, 7).replace("m5:", "x5:")), true),
        (Box::new(|at| signal(Stamp { incarnation: at.incarnation ^ 1, ..at }, 0, 1)), true),
    ];
    for (message, closes) in messages {
        a.until("L1 is open", Node::is_open).await;
        let at = a.cache.clear_tag("t").await.expect("a clear").stamps[0];
        assert_eq!(a.value("old").await, "old");
        a.warm("old").await;
        let before = a.cache.coherence().expect("an L1");
        let message = message(at);
        publish(&message);
        let heard = |a: &Node| {
            let now = a.cache.coherence().expect("an L1");
            now.signals + now.malformed > before.signals + before.malformed
        };
        a.until("it is heard", heard).await;
        let after = a.cache.coherence().expect("an L1");
        assert_eq!(after.voided > before.voided, closes, "{message}");
        assert_eq!(after.open == 0, closes, "{message}");
    }
    assert_eq!(a.cache.coherence().expect("an L1").malformed, 3);
}

/// The store's answer is on its way while a clear passes it. Fails when what comes late is held as if it came at once
/// (`View::admit`).
#[tokio::test]
async fn p1_a_late_read_is_not_held() {
    let server = RedisServer::start();
    let b = node(&server, BOUNDED).await;
    let chaos = ChaosStore::before_shared(b.store.clone());
    let store: Arc<dyn Store> = chaos.clone();
    let proxy = Proxy::before(server.port()).await;
    let a = Node { cache: node_with_l1(&store, Coherence::Bounded(Duration::from_secs(10))).await, store, proxy };
    a.until("L1 is open", Node::is_open).await;
    for clear in ["tag", "key", "pattern", "all"] {
        assert_eq!(b.value("old").await, "old");
        chaos.inject(Operation::Read, Fault::Held);
        let early = tokio::spawn({
            let (cache, policy) = (a.cache.clone(), a.policy());
            async move {
                let fetch = async || Ok::<_, std::convert::Infallible>("unused".to_owned());
                cache.get_or_set("key", &policy, fetch).await.expect("no error")
            }
        });
        chaos.until_held(Operation::Read).await;
        let signals = a.cache.coherence().expect("an L1").signals;
        match clear {
            "tag" => b.cache.clear_tag("t").await,
            "key" => b.cache.clear_key("key").await,
            "pattern" => b.cache.clear_pattern("k*").await,
            _ => b.cache.clear_all().await,
        }
        .expect("a clear");
        a.until("the signal", |a| a.cache.coherence().expect("an L1").signals > signals).await;
        chaos.heal();
        assert_eq!(early.await.expect("no panic"), "old", "who asked before the clear may be answered so");
        assert_eq!(a.value("new").await, "new", "{clear}");
        a.cache.clear_all().await.expect("a clear");
    }
}

/// A fill that was stored before a clear, and whose answer comes after its signal.
#[tokio::test]
async fn p1_a_late_fill_is_not_held() {
    let server = RedisServer::start();
    let b = node(&server, BOUNDED).await;
    let chaos = ChaosStore::before_shared(b.store.clone());
    let store: Arc<dyn Store> = chaos.clone();
    let proxy = Proxy::before(server.port()).await;
    let a = Node { cache: node_with_l1(&store, Coherence::Bounded(Duration::from_secs(10))).await, store, proxy };
    a.until("L1 is open", Node::is_open).await;
    chaos.inject(Operation::Fill, Fault::Held);
    let early = tokio::spawn({
        let (cache, policy) = (a.cache.clone(), a.policy());
        async move {
            let fetch = async || Ok::<_, std::convert::Infallible>("old".to_owned());
            cache.get_or_set("key", &policy, fetch).await.expect("no error")
        }
    });
    chaos.until_held(Operation::Fill).await;
    let signals = a.cache.coherence().expect("an L1").signals;
    b.cache.clear_tag("t").await.expect("a clear");
    a.until("the signal", |a| a.cache.coherence().expect("an L1").signals > signals).await;
    chaos.heal();
    assert_eq!(early.await.expect("no panic"), "old");
    assert_eq!(a.value("new").await, "new");
}

/// On the node that clears, at once. Fails when its own clears reach it only as signals (`Views::own`).
#[tokio::test]
async fn p1_a_nodes_own_clear_is_in_effect_when_it_is_acknowledged() {
    let (_server, a, _b) = two(BOUNDED).await;
    for round in 0..200 {
        let (old, new) = (format!("old {round}"), format!("new {round}"));
        a.cache.clear_tag("t").await.expect("a clear");
        assert_eq!(a.value(&old).await, old);
        // Signals are late; the node's own clears are not.
        a.proxy.weather_back(if round % 2 == 0 { Weather::Fair } else { Weather::Slow(Duration::from_millis(1)) });
        a.cache.expire_tags(&["t"]).await.expect("an expire");
        assert_eq!(a.value(&new).await, new);
    }
}

/// What Redis forgets, or a server that is another now.
#[tokio::test]
async fn p1_a_redis_that_begins_anew_empties_memory() {
    let (server, a, b) = two(BOUNDED).await;
    assert_eq!(a.value("old").await, "old");
    a.warm("old").await;
    redis::cmd("FLUSHALL").exec(&mut server.connection()).expect("a flush");
    b.cache.clear_tag("t").await.expect("a clear");
    tokio::time::sleep(BOUND).await;
    assert_eq!(a.value("new").await, "new");
    a.warm("new").await;

    let killed = server.kill();
    tokio::time::sleep(BOUND).await;
    assert_eq!(a.value("by the handler").await, "by the handler");
    let _server = killed.restart();
    a.until("L1 is open again", Node::is_open).await;
    b.until("L1 is open again", Node::is_open).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while a.cache.get::<String>("key").await.as_deref() != Some("newest") {
        assert_eq!(b.value("newest").await, "newest");
        assert!(Instant::now() < deadline, "Redis is used again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Memory has a lifetime of its own.
#[tokio::test]
async fn entries_are_held_no_longer_than_their_policy_says() {
    let (_server, a, _b) = two(BOUNDED).await;
    let fetch = async || Ok::<_, std::convert::Infallible>(1);
    for (l1_ttl, held) in [(Duration::ZERO, false), (Duration::from_secs(60), true)] {
        let policy = a.policy().l1_ttl(l1_ttl);
        let key = format!("held {held}");
        let before = a.hits();
        for _ in 0..5 {
            a.cache.get_or_set(&key, &policy, fetch).await.expect("no error");
        }
        assert_eq!(a.hits() > before, held, "{l1_ttl:?}");
    }
    let policy = a.policy().l1_ttl(Duration::from_millis(50));
    a.cache.get_or_set("short", &policy, fetch).await.expect("no error");
    tokio::time::sleep(Duration::from_millis(60)).await;
    let before = a.hits();
    a.cache.get_or_set("short", &policy, fetch).await.expect("no error");
    assert_eq!(a.hits(), before);
}

#[tokio::test]
async fn two_namespaces_do_not_hear_each_other() {
    let server = RedisServer::start();
    let open = async |name: &str| {
        let store = redis_at(server.url()).namespace(name).connect().await.expect("a store");
        Arc::new(store) as Arc<dyn Store>
    };
    let (one, other) = (open("one").await, open("other").await);
    let (a, b) = (node_with_l1(&one, BOUNDED).await, node_with_l1(&other, BOUNDED).await);
    let policy = a.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy");
    a.set("key", &policy, &1).await.expect("a set");
    let signals = a.coherence().expect("an L1").signals;
    assert_eq!(b.clear_all().await.expect("a clear").nodes_told, 1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(a.get::<i32>("key").await, Some(1));
    assert_eq!(a.coherence().expect("an L1").signals, signals);
}
