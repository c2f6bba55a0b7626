//! The five races of a clear against a late fill, a late read, a flight under way, another clear, and lost marks.
//!
//! Two managers on one store stand for two nodes: they share nothing but the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::{MemoryStore, Store};
use cache_middleware::{CacheManager, ValuePolicy};
use cache_suite::{Kind, RedisServer, TestStore, node, redis_at};
use tokio::sync::oneshot;

fn policy(node: &CacheManager) -> ValuePolicy {
    node.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy")
}

async fn value(node: &CacheManager, fetched: &str) -> String {
    let fetch = async || Ok::<_, std::convert::Infallible>(fetched.to_owned());
    node.get_or_set("key", &policy(node), fetch).await.expect("no error")
}

/// A request whose handler has read `old` and is held before it answers.
struct SlowFill {
    release: oneshot::Sender<()>,
    answer: tokio::task::JoinHandle<String>,
}

async fn slow_fill(node: &CacheManager) -> SlowFill {
    let (started, has_started) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let node = node.clone();
    let answer = tokio::spawn(async move {
        let fetch = async || {
            started.send(()).expect("the test waits");
            released.await.expect("the test releases");
            Ok::<_, std::convert::Infallible>("old".to_owned())
        };
        node.get_or_set("key", &policy(&node), fetch).await.expect("no error")
    });
    has_started.await.expect("the handler runs");
    SlowFill { release, answer }
}

impl SlowFill {
    async fn finish(self) -> String {
        self.release.send(()).expect("the handler waits");
        self.answer.await.expect("no panic")
    }
}

/// Fails when `fill` compares no marks (`fill.lua`, `memory/state.rs`): the old value is then stored after the clear.
#[tokio::test]
async fn p1_a_late_fill_is_not_stored() {
    for kind in Kind::ALL {
        for clear in ["tag", "key", "pattern", "all"] {
            let test = TestStore::open(kind).await;
            let (a, b) = (node(&test.store).await, node(&test.store).await);
            let slow = slow_fill(&a).await;
            match clear {
                "tag" => b.clear_tag("t").await,
                "key" => b.clear_key("key").await,
                "pattern" => b.clear_pattern("k*").await,
                _ => b.clear_all().await,
            }
            .expect("an acknowledged clear");
            assert_eq!(
                slow.finish().await,
                "old",
                "who asked before the clear may be answered with what was true then"
            );
            assert_eq!(b.get::<String>("key").await, None, "{kind:?}, {clear}");
            assert_eq!(value(&a, "new").await, "new", "{kind:?}, {clear}");
        }
    }
}

/// Fails when a request is answered with another's look-up: each looks for itself, after it has arrived.
#[tokio::test]
async fn p1_a_late_read_answers_only_who_asked_before_the_clear() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let chaos = ChaosStore::before_shared(test.store.clone());
        let store: Arc<dyn Store> = chaos.clone();
        let (a, b) = (node(&store).await, node(&test.store).await);
        value(&a, "old").await;
        chaos.inject(Operation::Read, Fault::Held);
        let early = tokio::spawn({
            let a = a.clone();
            async move { value(&a, "unused").await }
        });
        chaos.until_held(Operation::Read).await;
        b.clear_tag("t").await.expect("an acknowledged clear");
        let late = tokio::spawn({
            let a = a.clone();
            async move { value(&a, "new").await }
        });
        chaos.heal();
        assert_eq!(early.await.expect("no panic"), "old", "{kind:?}");
        assert_eq!(late.await.expect("no panic"), "new", "{kind:?}");
        assert_eq!(value(&b, "unused").await, "new", "{kind:?}");
    }
}

/// Fails when followers take whatever their leader brings (`Stamp::covers` always true).
#[tokio::test]
async fn p1_who_arrives_after_a_clear_does_not_get_an_older_flights_response() {
    for kind in Kind::ALL {
        for clears_elsewhere in [false, true] {
            let test = TestStore::open(kind).await;
            let (a, b) = (node(&test.store).await, node(&test.store).await);
            let slow = slow_fill(&a).await;
            let clearing = if clears_elsewhere { &b } else { &a };
            clearing.clear_tag("t").await.expect("an acknowledged clear");
            let follower = tokio::spawn({
                let a = a.clone();
                async move { value(&a, "new").await }
            });
            // The follower is on its way into the flight or will find it ended: both must end well.
            tokio::task::yield_now().await;
            slow.finish().await;
            assert_eq!(follower.await.expect("no panic"), "new", "{kind:?}, {clears_elsewhere}");
        }
    }
}

/// The flight has stored its entry, a clear has removed it, and only then does the flight learn that it was stored.
/// Fails when a stored entry is shared whatever clock it was stored at (`valid_at` of the lease's successors ignored).
#[tokio::test]
async fn p1_a_flight_that_was_stored_before_a_clear_is_not_shared_after_it() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let chaos = ChaosStore::before_shared(test.store.clone());
        let store: Arc<dyn Store> = chaos.clone();
        let a = node(&store).await;
        chaos.inject(Operation::Fill, Fault::Held);
        let leader = tokio::spawn({
            let a = a.clone();
            async move { value(&a, "old").await }
        });
        chaos.until_held(Operation::Fill).await;
        a.clear_tag("t").await.expect("an acknowledged clear");
        let follower = tokio::spawn({
            let a = a.clone();
            async move { value(&a, "new").await }
        });
        // Give the follower every chance to join the flight that still waits for its reply.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        chaos.heal();
        assert_eq!(leader.await.expect("no panic"), "old");
        assert_eq!(follower.await.expect("no panic"), "new", "{kind:?}");
    }
}

/// A request looks and misses, the flight of another ends, and only then does the first learn that it missed. Fails when
/// it does not look again before it leads (`must_look_again`).
#[tokio::test]
async fn p6_who_looked_before_a_flight_ended_looks_again() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let chaos = ChaosStore::before_shared(test.store.clone());
        let a = node(&(chaos.clone() as Arc<dyn Store>)).await;
        let slow = slow_fill(&a).await;
        chaos.inject(Operation::Read, Fault::Held);
        let late = tokio::spawn({
            let a = a.clone();
            async move { value(&a, "run a second time").await }
        });
        chaos.until_held(Operation::Read).await;
        assert_eq!(slow.finish().await, "old");
        chaos.heal();
        assert_eq!(late.await.expect("no panic"), "old", "{kind:?}");
    }
}

/// Fails when a clear takes the index away from a second one that runs at the same time, or when marks can go back.
#[tokio::test]
async fn p1_two_clears_at_once_lose_nothing() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let (a, b) = (node(&test.store).await, node(&test.store).await);
        let version = Arc::new(AtomicU64::new(0));
        for round in 0..200 {
            let read = |node: CacheManager| {
                let version = version.clone();
                async move {
                    let fetch = async || {
                        let read = version.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, std::convert::Infallible>(read)
                    };
                    node.get_or_set("versioned", &policy(&node), fetch).await.expect("no error")
                }
            };
            let fills = [tokio::spawn(read(a.clone())), tokio::spawn(read(b.clone()))];
            let written = version.fetch_add(1, Ordering::SeqCst) + 1;
            let (first, second) = tokio::join!(a.clear_tag("t"), b.clear_tags(&["t", "u"]));
            first.and(second).expect("acknowledged clears");
            for answer in [read(a.clone()).await, read(b.clone()).await] {
                assert_eq!(answer, written, "{kind:?}, round {round}");
            }
            for fill in fills {
                fill.await.expect("no panic");
            }
        }
    }
}

/// Marks are kept for a while, not for ever; a fill that is older than those kept cannot be judged, and is refused. Fails
/// when the floor does not rise (`save_and_forget` in `parts/clears.lua`, `forget_marks` in `memory/state.rs`).
#[tokio::test]
async fn p2_a_fill_older_than_the_kept_marks_is_refused() {
    let server = RedisServer::start();
    let redis = redis_at(server.url()).keep_marks(Duration::ZERO).connect().await.expect("a store");
    let memory = MemoryStore::builder().keep_marks(Duration::ZERO).build();
    for store in [Arc::new(redis) as Arc<dyn Store>, Arc::new(memory)] {
        let (a, b) = (node(&store).await, node(&store).await);
        let slow = slow_fill(&a).await;
        b.clear_tag("t").await.expect("an acknowledged clear");
        for other in 0..10 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            b.clear_tag(&format!("other:{other}")).await.expect("an acknowledged clear");
        }
        slow.finish().await;
        assert_eq!(b.get::<String>("key").await, None, "{}", store.describe());
    }
}

/// Fails when `set` does not clear its key first.
#[tokio::test]
async fn a_fetch_that_began_before_a_set_does_not_put_back_what_it_read() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let (a, b) = (node(&test.store).await, node(&test.store).await);
        let slow = slow_fill(&a).await;
        assert!(b.set("key", &policy(&b), &"new").await.expect("a set"));
        slow.finish().await;
        assert_eq!(b.get::<String>("key").await.as_deref(), Some("new"), "{kind:?}");
    }
}

/// A snapshot holds entries without the marks that cleared them. Fails when a new run id changes nothing
/// (`identity.lua`).
#[tokio::test]
async fn p1_what_a_restart_brings_back_is_void() {
    let server = RedisServer::start();
    let store = redis_at(server.url()).connect().await.expect("a store");
    let a = node(&(Arc::new(store) as Arc<dyn Store>)).await;
    assert_eq!(value(&a, "old").await, "old");
    redis::cmd("SAVE").query::<()>(&mut server.connection()).expect("a snapshot");
    a.clear_tag("t").await.expect("an acknowledged clear");
    let server = server.kill().restart();
    let entries: Vec<String> = redis::cmd("KEYS").arg("*:e:*").query(&mut server.connection()).expect("a listing");
    assert_eq!(entries.len(), 1, "the snapshot brought it back");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let now = value(&a, "new").await;
        assert_eq!(now, "new");
        if a.get::<String>("key").await.is_some() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "Redis is used again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails when a fence that is gone is made anew without a new incarnation (`start` in `parts/base.lua`).
#[tokio::test]
async fn p1_marks_that_are_lost_void_every_lease_and_entry_before_the_loss() {
    for loss in ["fence", "all keys", "clock and marks"] {
        let test = TestStore::open(Kind::Redis).await;
        let server = test.server.as_ref().expect("a server");
        let (a, b) = (node(&test.store).await, node(&test.store).await);
        let other = b.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy");
        b.set("survivor", &other, &"old").await.expect("a set");
        let slow = slow_fill(&a).await;
        b.clear_tag("t").await.expect("an acknowledged clear");
        let mut raw = server.connection();
        let command = match loss {
            "fence" => redis::cmd("DEL").arg("{cache:v3:0}:f").clone(),
            "all keys" => redis::cmd("FLUSHALL"),
            _ => redis::cmd("DEL").arg("{cache:v3:0}:f").arg("{cache:v3:0}:m").clone(),
        };
        command.query::<()>(&mut raw).expect("the loss");
        // Somebody begins to count anew before the slow fill arrives.
        assert!(b.set("key", &policy(&b), &"newer").await.expect("a set"), "{loss}");
        slow.finish().await;
        assert_eq!(value(&b, "unused").await, "newer", "{loss}");
        assert_eq!(b.get::<String>("survivor").await, None, "{loss}");
    }
}
