//! A source behind HTTP: limits, retries, the breaker, what is not sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use cache_middleware::{HttpSource, HttpSourceBuilder, Record, SourceError, SourceOfTruth};
use cache_suite::free_port;
use serde::Deserialize;
use serde_json::json;

use super::until;

/// A service that can be away, slow and unwell.
#[derive(Debug, Default)]
struct Service {
    asked: AtomicU64,
    /// So many of the next answers are of this status.
    unwell: AtomicU64,
    status: AtomicU64,
    delay_ms: AtomicU64,
    sent_bytes: AtomicU64,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    seen_key: AtomicU64,
}

async fn serve(service: web::Data<Service>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    service.asked.fetch_add(1, Ordering::SeqCst);
    let under_way = service.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    service.most_under_way.fetch_max(under_way, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(service.delay_ms.load(Ordering::SeqCst))).await;
    service.under_way.fetch_sub(1, Ordering::SeqCst);
    if request.headers().contains_key("idempotency-key") {
        service.seen_key.fetch_add(1, Ordering::SeqCst);
    }
    let unwell = |left: u64| left.checked_sub(1);
    if service.unwell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, unwell).is_ok() {
        let status = u16::try_from(service.status.load(Ordering::SeqCst)).expect("a status");
        return HttpResponse::build(actix_web::http::StatusCode::from_u16(status).expect("a status"))
            .insert_header(("location", "/elsewhere"))
            .finish();
    }
    if !body.is_empty() {
        return HttpResponse::Ok().body(body);
    }
    let json = match request.path() {
        "/api/things" => match request.query_string() {
            "" => json!([{"name": "a", "revision": 1, "count": 10}, {"name": "b", "revision": 2, "count": 20}]),
            query => json!([{"name": query.trim_start_matches("names="), "revision": 1, "count": 1}]),
        },
        "/api/things/a%20%2F%2B%3F" => json!({"name": "a /+?", "revision": 3, "count": 30}),
        "/api/things/other" => json!({"name": "a", "revision": 3, "count": 30}),
        "/api/things/none" => json!("no thing"),
        _ => return HttpResponse::NotFound().finish(),
    };
    let etag = "\"v1\"";
    if request.headers().get("if-none-match").is_some_and(|known| known == etag) {
        return HttpResponse::NotModified().finish();
    }
    let body = json.to_string();
    service.sent_bytes.fetch_add(body.len() as u64, Ordering::SeqCst);
    HttpResponse::Ok().insert_header(("etag", etag)).body(body)
}

/// A running service, and the client's settings for it.
async fn service() -> (web::Data<Service>, HttpSourceBuilder, actix_web::dev::ServerHandle) {
    let service = web::Data::new(Service::default());
    let data = service.clone();
    let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(serve)))
        .workers(1)
        .bind("127.0.0.1:0")
        .expect("a free port");
    let port = server.addrs()[0].port();
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    (service, HttpSource::builder(format!("http://127.0.0.1:{port}/api")), handle)
}

#[derive(Deserialize)]
struct Thing {
    name: String,
    revision: u64,
    count: i64,
}

impl From<Thing> for Record<String, i64> {
    fn from(thing: Thing) -> Self {
        Self { key: thing.name, version: thing.revision, value: thing.count }
    }
}

fn record(key: &str, version: u64, value: i64) -> Record<String, i64> {
    Record { key: key.to_owned(), version, value }
}

#[actix_web::test]
async fn records_are_read_as_the_service_writes_them() {
    let (_, builder, _handle) = service().await;
    let things = builder.build().unwrap().resource::<Thing>();
    let things = things.all_at("/things").one_at("/things/{key}").many_at("/things?names={keys}");
    assert_eq!(things.all().await.unwrap(), [record("a", 1, 10), record("b", 2, 20)]);
    assert_eq!(things.one(&"a /+?".to_owned()).await.unwrap(), Some(record("a /+?", 3, 30)));
    assert_eq!(things.one(&"unknown".to_owned()).await.unwrap(), None);
    // Two keys, of which one has what separates them in it.
    let many: Vec<Record<String, i64>> = things.many(&["a,b".to_owned(), "c".to_owned()]).await.unwrap();
    assert_eq!(many[0].key, "a%2Cb,c");
    let other = things.one(&"other".to_owned()).await.unwrap_err();
    assert!(matches!(other, SourceError::Malformed(_)), "{other}");
    let none = things.one(&"none".to_owned()).await.unwrap_err().to_string();
    assert!(none.contains("column") && !none.contains("no thing"), "{none}");
}

#[actix_web::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (service, builder, _handle) = service().await;
    let things = builder.build().unwrap().resource::<Thing>().all_at("/things");
    let first: Vec<Record<String, i64>> = things.all().await.unwrap();
    let sent = service.sent_bytes.load(Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(things.all().await.unwrap(), first);
    }
    assert_eq!(service.asked.load(Ordering::SeqCst), 4);
    assert_eq!(service.sent_bytes.load(Ordering::SeqCst), sent);
}

#[actix_web::test]
async fn reads_are_retried_and_writes_are_not() {
    let (service, builder, _handle) = service().await;
    // A client that has no bad memories.
    let unwell = |times, status| {
        service.asked.store(0, Ordering::SeqCst);
        service.unwell.store(times, Ordering::SeqCst);
        service.status.store(status, Ordering::SeqCst);
        builder.clone().retries(2).build().unwrap()
    };
    let source = unwell(2, 503);
    assert!(source.get("/things").await.unwrap().is_success());
    assert_eq!(service.asked.load(Ordering::SeqCst), 3);
    let source = unwell(3, 500);
    assert!(matches!(source.get("/things").await, Err(SourceError::Unavailable(_))));
    assert_eq!(service.asked.load(Ordering::SeqCst), 3);
    // What may have happened is not repeated, unless the service knows repetitions.
    let source = unwell(1, 503);
    assert!(matches!(source.send("POST", "/things", &1, None).await, Err(SourceError::Unavailable(_))));
    assert_eq!(service.asked.load(Ordering::SeqCst), 1);
    let source = unwell(1, 503);
    let answer = source.send("POST", "/things", &json!({"count": 1}), Some("key-1")).await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().unwrap(), json!({"count": 1}));
    assert_eq!((service.asked.load(Ordering::SeqCst), service.seen_key.load(Ordering::SeqCst)), (2, 2));
    // An answer that says no is an answer.
    let source = unwell(1, 404);
    assert_eq!(source.get("/things").await.unwrap().status, 404);
    let source = unwell(1, 302);
    assert!(matches!(source.get("/things").await, Err(SourceError::Refused(_))));
    assert_eq!(service.asked.load(Ordering::SeqCst), 1);
}

#[actix_web::test]
async fn p8_a_service_that_hangs_is_waited_for_only_so_long() {
    let (service, builder, _handle) = service().await;
    let source = builder.within(Duration::from_millis(300)).attempt_within(Duration::from_millis(50)).build().unwrap();
    service.delay_ms.store(60_000, Ordering::SeqCst);
    let began = std::time::Instant::now();
    let late = source.get("/things").await.unwrap_err();
    assert!(matches!(late, SourceError::Unavailable(_)), "{late}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(service.asked.load(Ordering::SeqCst) >= 2, "it was asked again");
    // After some more it is not asked any more.
    let _ = source.get("/things").await;
    let asked = service.asked.load(Ordering::SeqCst);
    let broken = source.get("/things").await.unwrap_err().to_string();
    assert!(broken.contains("circuit breaker"), "{broken}");
    assert_eq!(service.asked.load(Ordering::SeqCst), asked);
    service.delay_ms.store(0, Ordering::SeqCst);
    for _ in 0..100 {
        if source.get("/things").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it was never asked again");
}

#[actix_web::test]
async fn p8_a_service_that_is_away_fails_quickly() {
    let source = HttpSource::builder(format!("http://127.0.0.1:{}", free_port())).build().unwrap();
    let began = std::time::Instant::now();
    for _ in 0..200 {
        let away = source.get("/things?token=hunter2").await.unwrap_err().to_string();
        assert!(!away.contains("hunter2"), "{away}");
    }
    // But for the first few, which are retried.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[actix_web::test]
async fn p9_questions_and_answers_are_bounded() {
    let (service, builder, _handle) = service().await;
    service.delay_ms.store(5, Ordering::SeqCst);
    let source = Arc::new(builder.most_at_once(3).build().unwrap());
    let asked: Vec<_> = (0..30)
        .map(|_| {
            let source = source.clone();
            actix_web::rt::spawn(async move { source.get("/things").await.unwrap().status })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), 200);
    }
    assert_eq!(service.most_under_way.load(Ordering::SeqCst), 3);
    until("nothing is under way", || service.under_way.load(Ordering::SeqCst) == 0).await;

    let (_, builder, _handle) = self::service().await;
    let narrow = builder.max_bytes(10).build().unwrap();
    let large = narrow.get("/things").await.unwrap_err().to_string();
    assert!(large.contains("max_bytes"), "{large}");
}

#[test]
fn wrong_settings_are_refused_without_what_is_secret() {
    let refused = |builder: HttpSourceBuilder| builder.build().unwrap_err().to_string();
    for (base, expected) in [
        ("wrapper:8090", "accepted"),
        ("ftp://wrapper", "begins with ftp:"),
        ("http://", "accepted"),
        ("http://wrapper/?token=hunter2", "query"),
    ] {
        let refused = refused(HttpSource::builder(base));
        assert!(refused.contains(expected) && !refused.contains("hunter2"), "{refused}");
    }
    let header = HttpSource::builder("http://wrapper").header("authorization", "hunter2\n");
    let refused_header = refused(header);
    assert!(refused_header.contains("authorization") && !refused_header.contains("hunter2"), "{refused_header}");
    assert!(refused(HttpSource::builder("http://wrapper").most_at_once(0)).contains("zero"));
}

#[tokio::test]
async fn https_is_spoken_with_the_feature() {
    let source = HttpSource::builder(format!("https://127.0.0.1:{}", free_port())).build().unwrap();
    assert!(matches!(source.get("/things").await, Err(SourceError::Unavailable(_))));
}
