//! Sequences that once served stale, leaked or waited too long: each was found by an attack on the promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, test, web};
use cache_middleware::entry::Stamp;
use cache_middleware::key::KeySpace;
use cache_middleware::store::{Listener, Member, Signal, Store, TakeOff};
use cache_middleware::time::Moment;
use cache_middleware::{CacheManager, Coherence, Key, ReadYourWrites, ValuePolicy};
use cache_suite::{Proxy, RedisServer, Sentinels, Weather, node_with_l1, redis_at};

async fn store(url: String) -> Arc<dyn Store> {
    Arc::new(redis_at(url).connect().await.expect("a store"))
}

fn policy(node: &CacheManager) -> ValuePolicy {
    node.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy")
}

async fn value(node: &CacheManager, policy: &ValuePolicy, fetched: &str) -> String {
    let fetch = async || Ok::<_, std::convert::Infallible>(fetched.to_owned());
    node.get_or_set("key", policy, fetch).await.expect("no error")
}

/// Reads until it is answered from memory.
async fn warm(node: &CacheManager, policy: &ValuePolicy, expected: &str) {
    let hits = || node.coherence().expect("an L1").l1_hits;
    let (before, deadline) = (hits(), Instant::now() + Duration::from_secs(10));
    while hits() == before {
        assert_eq!(value(node, policy, expected).await, expected);
        assert!(Instant::now() < deadline, "never held: {:?}", node.coherence());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The old master goes on for seconds after the sentinels have appointed another. Fails when a node goes on proving what it
/// holds at the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_an_old_master_proves_nothing() {
    let master = RedisServer::start();
    let follow = format!("127.0.0.1 {}", master.port());
    let _replica = RedisServer::start_with(&["--replicaof", &follow, "--repl-diskless-sync-delay", "0"]);
    let sentinels = Sentinels::of(&master);
    let bound = Duration::from_millis(300);
    let (one, two) = (store(sentinels.url()).await, store(sentinels.url()).await);
    let (a, b) =
        (node_with_l1(&one, Coherence::Bounded(bound)).await, node_with_l1(&two, Coherence::Bounded(bound)).await);
    let policy = policy(&a);
    warm(&a, &policy, "old").await;
    let before = b.clear_tag("nothing").await.expect("a clear").stamps[0].incarnation;
    let mut sentinel = redis::Client::open(sentinels.urls()[0].clone())
        .and_then(|client| client.get_connection())
        .expect("a connection");
    let deadline = Instant::now() + Duration::from_secs(20);
    while redis::cmd("SENTINEL").arg("FAILOVER").arg("main").exec(&mut sentinel).is_err() {
        assert!(Instant::now() < deadline, "the sentinels know a replica that is fit");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // While no master is known, clears are journaled and have no stamp.
    let incarnation = async || b.clear_tag("nothing").await.expect("a receipt").stamps.first().map(|at| at.incarnation);
    while incarnation().await.is_none_or(|now| now == before) {
        assert!(Instant::now() < deadline, "the failover is followed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!b.strictly().clear_tag("t").await.expect("a clear").journaled);
    tokio::time::sleep(bound).await;
    assert_eq!(value(&a, &policy, "new").await, "new");
}

/// The clock of a store that begins anew may be behind. Fails when acknowledgements of its life before count.
#[tokio::test]
async fn p1_an_acknowledgement_is_of_one_life_of_the_store() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let mode = Coherence::Strict(Duration::from_millis(300));
    let (one, two) = (store(proxy.url()).await, store(server.url()).await);
    let (a, b) = (node_with_l1(&one, mode).await, node_with_l1(&two, mode).await);
    let policy = policy(&a);
    let mut raw = server.connection();
    // A server whose clock is an hour ahead.
    let fence: String = redis::cmd("GET").arg("{cache:v3:0}:f").query(&mut raw).expect("the fence");
    let mut fields: Vec<String> = fence.split(' ').map(str::to_owned).collect();
    fields[1] = (fields[1].parse::<u64>().expect("a clock") + 3_600_000_000).to_string();
    redis::cmd("SET").arg("{cache:v3:0}:f").arg(fields.join(" ")).exec(&mut raw).expect("a fence");
    b.clear_tag("t").await.expect("a clear");
    redis::cmd("FLUSHALL").exec(&mut raw).expect("a flush");
    // By now the leases from before are over, and nobody waits for them.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    warm(&a, &policy, "old").await;
    proxy.weather_back(Weather::Slow(Duration::from_millis(60)));
    warm(&a, &policy, "old").await;
    b.clear_tag("t").await.expect("a clear");
    assert_eq!(value(&a, &policy, "new").await, "new");
}

#[derive(Debug)]
struct Deaf;

impl Listener for Deaf {
    fn signal(&self, _: u16, _: u64, _: &Signal, _: Duration) {}
    fn malformed(&self, _: u16, _: u64) {}
    fn proven(&self, _: u16, _: u64, _: Stamp, _: Moment) {}
    fn closed(&self, _: u16, _: u64) {}
}

/// Clients that hang up while they wait for another node. Fails when their places in the queue stay.
#[tokio::test]
async fn p9_the_queue_for_a_flight_keeps_nobody_who_has_gone() {
    let server = RedisServer::start();
    let store = store(server.url()).await;
    let join = || store.join(Arc::new(Deaf), Duration::ZERO).expect("a fleet");
    let (member, other) = (join(), join());
    member.ready().await;
    other.ready().await;
    let kept = |member: &Arc<dyn Member>| format!("{member:?}").matches("gone:").count();
    for number in 0..300 {
        let key = Key::new(None, KeySpace::Value, None, &format!("gone:{number}"));
        let patience = Duration::from_micros(number % 200);
        if number % 3 == 0 {
            let Ok(TakeOff::Lead { right, .. }) = other.take_off(&key).await else { panic!("nobody else asks") };
            let Ok(TakeOff::Wait(waiting)) = member.take_off(&key).await else { panic!("the other one leads") };
            assert_eq!(kept(&member), 1, "it is seen while it waits");
            let _ = tokio::time::timeout(patience, waiting.0).await;
            // Its node dies.
            std::mem::forget(right);
        } else {
            let _ = tokio::time::timeout(patience, member.take_off(&key)).await;
        }
    }
    assert_eq!(kept(&member), 0);
    // A right that was granted to somebody who had gone is given back, before its lease would be over.
    let key = Key::new(None, KeySpace::Value, None, "gone:1");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(matches!(other.take_off(&key).await, Ok(TakeOff::Lead { .. })));
}

/// More targets than one script takes, of which the first asks for a strict clear. Fails when the nodes are asked for the
/// clock of the last step.
#[tokio::test]
async fn p3_a_strict_clear_of_many_targets_waits_for_nobody_who_has_heard() {
    let server = RedisServer::start();
    let mode = Coherence::Bounded(Duration::from_secs(3));
    let (one, two) = (store(server.url()).await, store(server.url()).await);
    let (a, b) = (node_with_l1(&one, mode).await, node_with_l1(&two, mode).await);
    let policy = policy(&a).strict();
    warm(&a, &policy, "old").await;
    // By now no lease from before the start of the nodes can be left.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    let tags: Vec<String> = (0..150).map(|n| if n == 0 { "t".to_owned() } else { format!("x{n}") }).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let began = Instant::now();
    assert!(b.clear_tags(&tags).await.expect("a clear").strict);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(value(&a, &policy, "new").await, "new");
}

/// A caller that shows the token of a clear does not join a flight that took off before it, on a node that cannot ask.
#[actix_web::test]
async fn p1_who_shows_a_token_joins_no_flight_in_the_dark() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let (one, two) = (store(proxy.url()).await, store(server.url()).await);
    let builder = CacheManager::builder().shared_store(one).read_your_writes(ReadYourWrites::header("x-cache-token"));
    let a = builder.without_annotation_checks().build().await.expect("a manager");
    let b = node_with_l1(&two, Coherence::default()).await;
    let database = Arc::new(AtomicU64::new(1));
    let read = database.clone();
    let handler = move || {
        let read = read.clone();
        async move {
            let version = read.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(800)).await;
            HttpResponse::Ok().body(version.to_string())
        }
    };
    let resource = web::resource("/x").wrap(a.response("5m")).route(web::get().to(handler));
    let app = test::init_service(App::new().service(resource)).await;
    proxy.weather(Weather::Frozen);
    // Until the node knows that it has no way to Redis.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let first = test::call_service(&app, test::TestRequest::get().uri("/x").to_request());
    let second = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        database.store(2, Ordering::SeqCst);
        let token = b.clear_all().await.expect("a clear").token().expect("a token").to_string();
        let request = test::TestRequest::get().uri("/x").insert_header(("x-cache-token", token)).to_request();
        test::read_body(test::call_service(&app, request).await).await
    };
    let (_, answer) = tokio::join!(first, second);
    assert_eq!(answer, "2");
}
