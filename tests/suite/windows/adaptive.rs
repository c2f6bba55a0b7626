//! TTLs that follow what is learned of a key.

use std::cell::Cell;
use std::time::Duration;

use actix_web::{App, test, web};
use cache_middleware::store::MemoryStore;
use cache_middleware::time::ManualTime;
use cache_middleware::{CacheManager, cached};

const SECOND: Duration = Duration::from_secs(1);

async fn at_hand(penalty: Duration) -> (ManualTime, CacheManager) {
    let time = ManualTime::default();
    let store = MemoryStore::builder().time(time.clone()).build();
    let cache = CacheManager::builder()
        .store(store)
        .adaptive_penalty(penalty)
        .without_annotation_checks()
        .build()
        .await
        .expect("a manager");
    (time, cache)
}

/// Asks once a second for an hour; gives how often the source was asked.
async fn an_hour(time: &ManualTime, cache: &CacheManager, key: &str, adapts: bool, body: impl Fn(u64) -> u64) -> u64 {
    let policy = cache.policy("1m").expect("a policy");
    let policy = if adapts { policy.adaptive_ttl(SECOND * 5, SECOND * 600).expect("bounds") } else { policy };
    let runs = Cell::new(0_u64);
    for _ in 0..3_600 {
        time.advance(SECOND);
        let fetch = async || {
            runs.set(runs.get() + 1);
            time.advance(SECOND / 10);
            Ok::<_, std::io::Error>(body(runs.get()))
        };
        cache.get_or_set(key, &policy, fetch).await.expect("an answer");
    }
    runs.get()
}

#[tokio::test]
async fn a_ttl_follows_how_often_a_value_changes() {
    let (time, cache) = at_hand(SECOND / 100).await;
    let fixed = an_hour(&time, &cache, "fixed", false, |_| 7).await;
    assert_eq!(cache.adapted_ttls(10), [], "it is off unless it is asked for");
    let stays = an_hour(&time, &cache, "stays", true, |_| 7).await;
    let changes = an_hour(&time, &cache, "changes", true, |run| run).await;
    assert!(stays * 2 < fixed && changes > fixed * 4, "{stays}, {fixed}, {changes}");
    let adapted = cache.adapted_ttls(10);
    let of = |name: &str| adapted.iter().find(|adapted| adapted.key.ends_with(name)).expect("it is known");
    assert!(of("stays").ttl > SECOND * 120 && of("stays").ttl <= SECOND * 600, "{adapted:?}");
    assert!(of("changes").ttl < SECOND * 15 && of("changes").ttl >= SECOND * 5, "{adapted:?}");
    assert!((0.5..2.0).contains(&of("stays").asked_per_second), "{adapted:?}");
}

#[cached(ttl = "1m", adaptive_ttl = "5s..10m", negative_ttl = "2s")]
#[actix_web::get("/adaptive/{what}")]
async fn handler(what: web::Path<String>, runs: web::Data<std::sync::atomic::AtomicU64>) -> actix_web::HttpResponse {
    let run = runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    match what.as_str() {
        "nothing" => actix_web::HttpResponse::NotFound().finish(),
        "changes" => actix_web::HttpResponse::Ok().body(run.to_string()),
        _ => actix_web::HttpResponse::Ok().body("the same"),
    }
}

/// Of a handler and of a middleware; an answer that says that there is nothing has a TTL of its own.
#[actix_web::test]
async fn responses_adapt_too() {
    // These handlers take no time, so that being wrong must weigh little.
    let (time, cache) = at_hand(SECOND / 1_000).await;
    let runs = web::Data::new(std::sync::atomic::AtomicU64::new(0));
    let resource = web::resource("/middleware/{what}")
        .wrap(cache.response("1m").adaptive_ttl("5s..10m"))
        .route(web::get().to(async |what: web::Path<String>| what.into_inner()));
    let app = App::new().app_data(cache.clone()).app_data(runs).service(handler).service(resource);
    let app = test::init_service(app).await;
    let ttl = async |path: &str| {
        let response = test::call_service(&app, test::TestRequest::with_uri(path).to_request()).await;
        let status = response.headers().get("cache-status").expect("a status").to_str().expect("a text").to_owned();
        status.split("ttl=").nth(1).and_then(|rest| rest.split(';').next()?.parse::<u64>().ok())
    };
    for path in ["/adaptive/stays", "/middleware/stays", "/adaptive/changes"] {
        for _ in 0..3_000 {
            ttl(path).await;
            time.advance(SECOND);
        }
        ttl(path).await;
    }
    let known: Vec<Duration> = cache.adapted_ttls(3).iter().map(|adapted| adapted.ttl).collect();
    assert_eq!(known.iter().filter(|ttl| **ttl > SECOND * 60).count(), 2, "{known:?}");
    assert_eq!(known.iter().filter(|ttl| **ttl < SECOND * 15).count(), 1, "{known:?}");
    assert_eq!(ttl("/adaptive/nothing").await, None);
    assert!(ttl("/adaptive/nothing").await.is_some_and(|ttl| ttl <= 2));
}
