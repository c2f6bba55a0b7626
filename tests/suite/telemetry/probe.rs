//! The consistency probe finds writes without a clear, and nothing else.

use std::time::Duration;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::{App, Error, HttpResponse, get, test, web};
use cache_middleware::{CacheHealthMonitor, CacheManager, HealthReason, HealthVerdict, cached};
use cache_suite::{Lasts, Prometheus};

use super::{Number, sum, until};

#[get("/number")]
#[cached(ttl = "5m", tags = ["number"])]
async fn show(number: web::Data<Number>) -> String {
    number.get().to_string()
}

#[get("/clock")]
#[cached(ttl = "5m", tags = ["clock"])]
async fn clock(number: web::Data<Number>) -> String {
    number.set(number.get() + 1);
    number.get().to_string()
}

/// Suspicions are looked into after a time.
async fn manager(after: &str) -> CacheManager {
    CacheManager::builder().probe(1.0, after).without_annotation_checks().build().await.expect("a manager")
}

/// Asks until so many hits were compared, one after the other: none is under way when this returns.
async fn hits<B>(
    app: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    cache: &CacheManager,
    path: &str,
    count: u32,
) {
    for _ in 0..count {
        let before = sum(cache, "cache_probes_total", &[]);
        until("it was compared", async || {
            app.call(test::TestRequest::get().uri(path).to_request()).await.expect("a response");
            // Handlers here wait for nothing, so that what runs in the background has ended by then.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            sum(cache, "cache_probes_total", &[]) > before
        })
        .await;
    }
}

fn found(cache: &CacheManager, result: &str) -> f64 {
    sum(cache, "cache_probes_total", &[("result", result)])
}

/// Fails when the second look is taken out, or the first.
#[actix_web::test]
async fn a_write_without_a_clear_is_found() {
    let (cache, source) = (manager("1ms").await, Number::default());
    let monitor = CacheHealthMonitor::builder().start(&cache).expect("a monitor");
    let app = App::new().app_data(cache.clone()).app_data(web::Data::new(source.clone())).service(show);
    let app = test::init_service(app).await;
    hits(&app, &cache, "/number", 3).await;
    assert_eq!((found(&cache, "different"), cache.differences().len()), (0.0, 0));
    monitor.check().await;
    let prometheus = Prometheus::of(&cache);
    source.set(7);
    hits(&app, &cache, "/number", 3).await;
    assert!(found(&cache, "different") >= 1.0);
    let difference = cache.differences().pop().expect("a difference");
    assert_eq!(
        (difference.route.as_str(), difference.what.as_str()),
        ("/number", "from byte 0 on; it has 1 bytes now, and had 1")
    );
    let health = monitor.check().await;
    assert_eq!(health.verdict, HealthVerdict::Unhealthy);
    assert!(health.reasons.iter().any(|finding| finding.reason == HealthReason::Difference), "{health:?}");
    prometheus.fires(&cache, Lasts::Once, &["CacheDifference"]);
}

#[actix_web::test]
async fn a_write_with_a_clear_is_none() {
    let (cache, source) = (manager("300ms").await, Number::default());
    let app = App::new().app_data(cache.clone()).app_data(web::Data::new(source.clone())).service(show);
    let app = test::init_service(app).await;
    for value in 1..5 {
        hits(&app, &cache, "/number", 2).await;
        source.set(value);
        // Between the write and its clear hits differ, and that is no fault.
        hits(&app, &cache, "/number", 1).await;
        cache.clear_tag("number").await.expect("a receipt");
    }
    hits(&app, &cache, "/number", 3).await;
    assert!(found(&cache, "suspected") >= 1.0 && found(&cache, "same") >= 1.0);
    assert_eq!(found(&cache, "different"), 0.0);
}

#[actix_web::test]
async fn a_handler_that_never_says_the_same_is_excused() {
    let cache = manager("1ms").await;
    let app = App::new().app_data(cache.clone()).app_data(web::Data::new(Number::default())).service(clock);
    let app = test::init_service(app).await;
    hits(&app, &cache, "/clock", 6).await;
    assert!(found(&cache, "excused-varying") >= 2.0);
    assert_eq!(found(&cache, "different"), 0.0);
}

/// What was there and is deleted without a clear is a difference as well.
#[actix_web::test]
async fn a_deletion_without_a_clear_is_found() {
    let (cache, source) = (manager("1ms").await, Number::default());
    let read = |source: web::Data<Number>| async move {
        if source.get() == 0 { HttpResponse::Ok().body("x") } else { HttpResponse::NotFound().finish() }
    };
    let app = App::new().app_data(web::Data::new(source.clone()));
    let app = app.service(web::resource("/plain").wrap(cache.response("5m")).route(web::get().to(read)));
    let app = test::init_service(app).await;
    hits(&app, &cache, "/plain", 1).await;
    source.set(1);
    hits(&app, &cache, "/plain", 2).await;
    assert_eq!(found(&cache, "different"), 1.0);
    assert_eq!(cache.differences()[0].what, "its status is not one that is stored");
}

/// Of a key one handler runs at a time for the probe, however many hits there are.
#[actix_web::test]
async fn p6_a_crowd_is_compared_once() {
    let (cache, runs, held) = (manager("1ms").await, Number::default(), Number::default());
    let (count, hold) = (runs.clone(), held.clone());
    let read = move || {
        let (count, hold) = (count.clone(), hold.clone());
        async move {
            count.set(count.get() + 1);
            while hold.get() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            count.get().to_string()
        }
    };
    let app = App::new().service(web::resource("/plain").wrap(cache.response("5m")).route(web::get().to(read)));
    let app = test::init_service(app).await;
    test::call_service(&app, test::TestRequest::get().uri("/plain").to_request()).await;
    held.set(1);
    for _ in 0..200 {
        test::call_service(&app, test::TestRequest::get().uri("/plain").to_request()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(runs.get(), 2, "one that filled, and one that is compared");
}

/// Through the middleware, and for values that are refreshed in the background.
#[actix_web::test]
async fn it_covers_the_middleware_and_values() {
    let (cache, source) = (manager("1ms").await, Number::default());
    let read = |source: web::Data<Number>| async move { source.get().to_string() };
    let app = App::new().app_data(web::Data::new(source.clone()));
    let app =
        test::init_service(app.service(web::resource("/plain").wrap(cache.response("5m")).route(web::get().to(read))))
            .await;
    hits(&app, &cache, "/plain", 2).await;
    source.set(1);
    hits(&app, &cache, "/plain", 3).await;
    assert!(found(&cache, "different") >= 1.0);

    let policy = cache.policy("5m").expect("a policy");
    let before = found(&cache, "different");
    let ask = async || {
        let own = source.clone();
        cache.get_or_refresh("value", &policy, move || async move { Ok::<_, String>(own.get()) }).await
    };
    assert_eq!(ask().await, Ok(1));
    source.set(2);
    until("it was found", async || {
        assert_eq!(ask().await, Ok(1), "it is compared, and not replaced");
        found(&cache, "different") > before
    })
    .await;
}
