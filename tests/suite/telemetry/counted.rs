//! Every metric is raised by what it is about.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, get, test, web};
use cache_middleware::telemetry::{METRICS, SampleValue, Traffic};
use cache_middleware::{
    Batch, CacheHealthMonitor, CacheManager, CacheWarmer, Sink, SinkError, Warm, Warming, WriteBehind, cached,
};
use cache_suite::{RedisServer, redis_at};

use super::{Number, node_of, sum, until};
use crate::hybrid::{Authority, costs, follows, publisher};

#[get("/numbers/{id}")]
#[cached(ttl = "5m", tags = ["number:{id}"])]
async fn show(id: web::Path<u64>, number: web::Data<Number>) -> HttpResponse {
    match *id {
        404 => HttpResponse::NotFound().finish(),
        _ => HttpResponse::Ok().body(number.get().to_string()),
    }
}

async fn ask(
    app: &impl actix_web::dev::Service<
        actix_http::Request,
        Response = actix_web::dev::ServiceResponse,
        Error = actix_web::Error,
    >,
    path: &str,
) -> StatusCode {
    test::call_service(app, test::TestRequest::get().uri(path).to_request()).await.status()
}

#[actix_web::test]
async fn p11_requests_are_counted_by_route_outcome_tier_and_reason() {
    let server = RedisServer::start();
    let (one, two) = (node_of(&server.url(), |builder| builder).await, node_of(&server.url(), |builder| builder).await);
    let app = |cache: CacheManager| {
        test::init_service(App::new().app_data(cache).app_data(web::Data::new(Number::default())).service(show))
    };
    let (first, second) = (app(one.clone()).await, app(two.clone()).await);
    for _ in 0..3 {
        ask(&first, "/numbers/1").await;
    }
    ask(&second, "/numbers/1").await;
    ask(&first, "/numbers/404").await;
    let odd = test::TestRequest::get().uri("/numbers/1").insert_header(("expect", "x")).to_request();
    test::call_service(&first, odd).await;
    let of = |cache: &CacheManager, outcome, tier, reason| {
        let labels =
            [("route", "/numbers/{id}"), ("tenant", "none"), ("outcome", outcome), ("tier", tier), ("reason", reason)];
        sum(cache, "cache_requests_total", &labels)
    };
    assert_eq!(of(&one, "hit", "l1", "fresh"), 2.0);
    assert_eq!(of(&one, "miss", "none", "uri-miss"), 2.0);
    assert_eq!(of(&one, "bypass", "none", "expect"), 1.0);
    assert_eq!(of(&two, "hit", "l2", "fresh"), 1.0);
    assert_eq!(sum(&one, "cache_fills_total", &[]), 1.0);
    assert_eq!(sum(&one, "cache_fills_refused_total", &[("reason", "status")]), 1.0);
    assert_eq!(sum(&one, "cache_handler_seconds", &[("route", "/numbers/{id}")]), 2.0);
}

/// Values that are set are cleared before, which nobody means by a clear.
#[actix_web::test]
async fn clears_are_counted_by_what_they_were_for_and_how_they_ended() {
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| builder).await;
    let policy = cache.policy("5m").expect("a policy");
    for key in ["a", "b"] {
        assert!(cache.set(key, &policy, &1_u8).await.expect("it is stored"));
    }
    cache.clear_key("a").await.expect("a receipt");
    cache.expire_tags(&["x"]).await.expect("a receipt");
    let killed = server.kill();
    assert!(cache.clear_key("b").await.expect("a receipt").journaled);
    assert!(cache.expire_tags(&["x"]).await.is_err());
    let counted = |kind, state| sum(&cache, "cache_clears_total", &[("kind", kind), ("state", state)]);
    assert_eq!((counted("replace", "acknowledged"), counted("clear", "acknowledged")), (2.0, 1.0));
    assert_eq!((counted("clear", "journaled"), counted("expire", "acknowledged")), (1.0, 1.0));
    assert_eq!(counted("expire", "failed"), 1.0);
    assert_eq!(Traffic::of(&cache.samples()).clears, [2, 2]);
    let last = cache.recent_clears(0);
    let told: Vec<String> =
        last.iter().map(|clear| format!("{} {}", clear.targets.join(","), clear.state.token())).collect();
    assert_eq!(told, ["key \"a\" acknowledged", "tag x acknowledged", "key \"b\" journaled", "tag x failed"]);
    assert_eq!(sum(&cache, "cache_journal_length", &[]), 1.0);
    // And once more when it is retried.
    let _server = killed.restart();
    until("it is acknowledged", async || counted("clear", "acknowledged") > 1.0).await;
    assert_eq!(counted("clear", "journaled"), 1.0);
    let last = cache.recent_clears(0);
    assert_eq!(last.last().map(|clear| clear.state.token()), Some("acknowledged"), "{last:?}");
}

/// One who waits for replicas is told by the same metric. Fails when only commands that wait for none are counted.
#[actix_web::test]
async fn clears_that_find_no_server_are_counted_where_replicas_are_waited_for() {
    let server = RedisServer::start();
    let builder = redis_at(server.url()).wait_for_replicas(1, Duration::from_millis(50));
    let store = builder.connect().await.expect("a store");
    let cache = CacheManager::builder().store(store).without_annotation_checks().build().await.expect("a manager");
    let _killed = server.kill();
    until("it is known", async || cache.set("x", &cache.policy("5m").expect("a policy"), &1_u8).await.is_err()).await;
    let unavailable = || sum(&cache, "cache_store_commands_total", &[("result", "unavailable")]);
    let before = unavailable();
    for _ in 0..50 {
        assert!(cache.clear_tag("x").await.expect("a receipt").journaled);
    }
    assert!(unavailable() >= before + 50.0, "{before}, and then {}", unavailable());
}

#[actix_web::test]
async fn tenants_are_counted_by_their_class_and_never_by_name() {
    let cache = CacheManager::builder()
        .tenant_of(|head| head.headers().get("x-tenant").and_then(|value| value.to_str().ok()).map(str::to_owned))
        .tenant_classes(&["gold"], |tenant| if tenant.starts_with("big") { "gold" } else { "none of them" })
        .without_annotation_checks()
        .build()
        .await
        .expect("a manager");
    let app = test::init_service(
        App::new().app_data(cache.clone()).app_data(web::Data::new(Number::default())).service(show),
    )
    .await;
    for tenant in ["big-1", "big-2", "small-1"] {
        let request = test::TestRequest::get().uri("/numbers/1").insert_header(("x-tenant", tenant));
        test::call_service(&app, request.to_request()).await;
    }
    assert_eq!(sum(&cache, "cache_requests_total", &[("tenant", "gold")]), 2.0);
    assert_eq!(sum(&cache, "cache_requests_total", &[("tenant", "tenant")]), 1.0);
    let named = cache.samples().iter().flat_map(|sample| sample.labels.clone()).any(|label| label.contains("big"));
    assert!(!named);
    let refused = CacheManager::builder().tenant_classes(&["none"], |_| "none").build().await;
    assert!(refused.is_err_and(|error| error.to_string().contains("tenant_classes")));
}

#[actix_web::test]
async fn p9_more_routes_than_have_names_are_counted_together() {
    let cache = CacheManager::builder().metric_routes(2).without_annotation_checks().build().await.expect("a manager");
    let app = App::new().app_data(cache.clone()).wrap(cache.response("5m"));
    let app = (0..5).fold(app, |app, route| app.route(&format!("/r{route}"), web::get().to(async || "x")));
    let app = test::init_service(app).await;
    for route in 0..5 {
        test::call_service(&app, test::TestRequest::get().uri(&format!("/r{route}")).to_request()).await;
    }
    assert_eq!(sum(&cache, "cache_requests_total", &[("route", "other")]), 3.0);
    assert_eq!(sum(&cache, "cache_requests_total", &[]), 5.0);
}

#[actix_web::test]
async fn hooks_are_told_what_became_of_requests() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let note = |told: &Arc<Mutex<Vec<String>>>| {
        let told = told.clone();
        move |seen: &cache_middleware::telemetry::Seen<'_>| {
            let line = format!("{} {} {}", seen.route, seen.verdict.outcome, seen.verdict.reason);
            told.lock().expect("a lock").push(line);
        }
    };
    let builder = CacheManager::builder().on_hit(note(&told)).on_miss(note(&told)).on_bypass(note(&told));
    let cache = builder.on_stale(note(&told)).without_annotation_checks().build().await.expect("a manager");
    let app =
        test::init_service(App::new().app_data(cache).app_data(web::Data::new(Number::default())).service(show)).await;
    ask(&app, "/numbers/1").await;
    ask(&app, "/numbers/1").await;
    let expect = test::TestRequest::get().uri("/numbers/1").insert_header(("expect", "x")).to_request();
    test::call_service(&app, expect).await;
    assert_eq!(
        *told.lock().expect("a lock"),
        ["/numbers/{id} miss uri-miss", "/numbers/{id} hit fresh", "/numbers/{id} bypass expect"]
    );
}

/// Is away the first time, and takes everything but what it must not.
#[derive(Debug, Clone, Default)]
struct Sunk(Arc<AtomicBool>);

impl Sink for Sunk {
    async fn write(&self, _: &Batch) -> Result<(), SinkError> {
        if self.0.swap(true, Ordering::SeqCst) {
            Ok(())
        } else {
            Err(SinkError::Unavailable("the first time".to_owned()))
        }
    }
}

/// What a metric's samples were at most, at any of the moments they were read.
#[derive(Default)]
struct Highest(BTreeMap<&'static str, f64>);

impl Highest {
    fn read(&mut self, cache: &CacheManager) {
        for sample in cache.samples() {
            let value = if let SampleValue::Histogram(times) = &sample.value {
                times.count() as f64
            } else {
                sample.number_of()
            };
            let highest = self.0.entry(sample.metric.name).or_default();
            *highest = highest.max(value);
        }
    }
}

/// One life of a node in which everything happens that there is a metric for.
#[actix_web::test]
async fn every_metric_is_raised() {
    let mut highest = Highest::default();
    let server = RedisServer::start();
    let cache = node_of(&server.url(), |builder| {
        builder.on("number.changed", ["number:{id}"]).probe(1.0, "1s").l1_bytes(1 << 20)
    })
    .await;
    let monitor = CacheHealthMonitor::builder().start(&cache).expect("a monitor");
    let app = test::init_service(
        App::new().app_data(cache.clone()).app_data(web::Data::new(Number::default())).service(show),
    )
    .await;
    // Requests, hits, fills, refusals, ages, handlers, probes.
    for _ in 0..20 {
        ask(&app, "/numbers/1").await;
    }
    ask(&app, "/numbers/404").await;
    until("a hit was compared", async || sum(&cache, "cache_probes_total", &[]) > 0.0).await;
    // Flights that are joined.
    let policy = cache.policy("5m").expect("a policy");
    let slow = async || {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok::<_, String>(1_u8)
    };
    let (a, b) = tokio::join!(cache.get_or_set("slow", &policy, slow), cache.get_or_set("slow", &policy, slow));
    assert_eq!((a, b), (Ok(1), Ok(1)));
    // Many clears, some of which are swept later; evictions.
    cache_suite::fill(&cache, 600, "5m", "many").await;
    cache.clear_tag("many").await.expect("a receipt");
    monitor.check().await;
    highest.read(&cache);
    let large = "x".repeat(20_000);
    for place in 0..80 {
        cache.set(&format!("large:{place}"), &policy, &large).await.expect("it is stored");
        let _: Option<String> = cache.get(&format!("large:{place}")).await;
    }
    // What others write into Redis, and onto its channel.
    let mut raw = server.connection();
    redis::cmd("SET").arg("{cache:v3:0}:e:-/v/foreign").arg("junk").exec(&mut raw).expect("it is set");
    assert_eq!(cache.get::<u8>("foreign").await, None);
    redis::cmd("PUBLISH").arg("{cache:v3:0}:c").arg("junk").exec(&mut raw).expect("it is published");
    until("it was heard", async || sum(&cache, "cache_signals_malformed_total", &[]) > 0.0).await;
    // Warmers, queues, types of data, critical data and messages.
    let warm = Warm::new("w", async |_: CacheManager| Ok::<_, String>(()));
    let slow = Warm::new("s", async |_: CacheManager| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok::<_, String>(())
    });
    let warms = Mutex::new(vec![warm, slow]);
    let warming = Warming::new().at_start(move |_| {
        let warms = std::mem::take(&mut *warms.lock().expect("a lock"));
        async move { warms }
    });
    let warmer = CacheWarmer::start(&cache, warming).expect("a warmer");
    until("it warms", async || sum(&cache, "cache_warming", &[]) > 0.0).await;
    highest.read(&cache);
    warmer.ready().await;
    let queue =
        WriteBehind::builder("numbers").interval("100ms").start(&cache, Sunk::default()).await.expect("a queue");
    queue.put("late", &1_u8).await.expect("it waits");
    monitor.check().await;
    highest.read(&cache);
    queue.flush(Duration::from_secs(5)).await.ok();
    until("it was written", async || sum(&cache, "cache_write_behind_changes_total", &[]) > 0.0).await;
    let strategy = cache_middleware::DataStrategy::configuration();
    let config = strategy.of::<u8>(&cache).expect("a set");
    let _ = config.get(&["nothing"]).await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = follows(&cache).await;
    let _costs = costs(&changes, &authority).await;
    let publisher = publisher(&cache, 16).await;
    publisher.publish("credit-configs", authority.set("a", Some(2))).await.expect("it is published");
    until("it was applied", async || sum(&cache, "cache_changes_total", &[("result", "applied")]) > 0.0).await;
    highest.read(&cache);
    // Redis goes away.
    let killed = server.kill();
    until("it is known", async || sum(&cache, "cache_store_connected_ratio", &[]) == 0.0).await;
    cache.clear_tag("number:1").await.expect("it is journaled");
    tokio::spawn({
        let (publisher, message) = (publisher.clone(), authority.set("a", Some(3)));
        async move { publisher.publish("credit-configs", message).await }
    });
    until("it waits", async || sum(&cache, "cache_outbox_length", &[]) > 0.0).await;
    monitor.check().await;
    highest.read(&cache);
    drop(killed);
    // A server that hangs opens the breaker.
    let server = RedisServer::start();
    let other = node_of(&server.url(), |builder| builder).await;
    server.signal("-STOP");
    for number in 0..8 {
        let _: Option<u8> = other.get(&format!("n:{number}")).await;
    }
    highest.read(&other);
    server.signal("-CONT");

    let never: Vec<&str> = METRICS
        .iter()
        .map(|metric| metric.name)
        .filter(|name| highest.0.get(name).is_none_or(|value| *value <= 0.0))
        .collect();
    assert!(never.is_empty(), "these were never raised: {never:?}");
    let unknown = highest.0.keys().find(|name| !METRICS.iter().any(|metric| metric.name == **name));
    assert_eq!(unknown, None);
}
