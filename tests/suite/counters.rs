//! Counters that end, and the limits that count with them.

use std::time::Duration;

use actix_web::dev::ServiceRequest;
use actix_web::{App, HttpResponse, test, web};
use cache_middleware::CacheManager;
use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::MemoryStore;
use cache_middleware::time::ManualTime;
use cache_suite::{Kind, TestStore};
use futures_util::future::join_all;

/// Counted by all nodes together, exactly; ends with its window; apart from values and between tenants.
#[tokio::test]
async fn a_counter_is_exact_and_ends() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let (one, two) = (test.node().await, test.node().await);
        let window = Duration::from_millis(700);
        let counts = join_all((0..100).map(|n| (if n % 2 == 0 { &one } else { &two }).count("k", 1, window))).await;
        let mut values: Vec<i64> = counts.into_iter().map(|counted| counted.expect("a count").value).collect();
        values.sort_unstable();
        assert_eq!(values, (1..=100).collect::<Vec<i64>>(), "{kind:?}");
        let read = one.count("k", 0, window).await.expect("a count");
        assert!(read.value == 100 && read.expires_in <= window && !read.expires_in.is_zero(), "{kind:?}: {read:?}");
        assert_eq!(one.count("k", -30, window).await.expect("a count").value, 70, "{kind:?}");
        let acme = one.tenant("acme").expect("a tenant");
        assert_eq!(acme.count("k", 1, window).await.expect("a count").value, 1, "{kind:?}");
        one.clear_every_tenant().await.expect("a clear");
        assert_eq!(one.get::<i64>("k").await, None, "{kind:?}");
        assert_eq!(one.count("k", 0, window).await.expect("a count").value, 70, "{kind:?}: no clear reaches it");
        tokio::time::sleep(window).await;
        assert_eq!(two.count("k", 0, window).await.expect("a count").value, 0, "{kind:?}");
        assert_eq!(two.count("k", 5, window).await.expect("a count").value, 5, "{kind:?}");
    }
}

/// The window is fixed: additions do not lengthen it. Fails when the expiry is set again with each.
#[actix_web::test]
async fn a_limit_lets_so_many_through_in_a_window() {
    let time = ManualTime::default();
    let store = ChaosStore::before(MemoryStore::builder().time(time.clone()).build());
    let cache = CacheManager::builder().shared_store(store.clone()).without_annotation_checks().build().await;
    let cache = cache.expect("a manager");
    let who = |name: &'static str| {
        move |request: &ServiceRequest| {
            request.headers().get(name).map(|value| format!("rate:{}", value.to_str().unwrap_or_default()))
        }
    };
    let resource = web::resource("/x")
        .wrap(cache.rate_limit("api", 3, "10s").by(who("x-who")))
        .wrap(cache.rate_limit("all", 5, "1m").by(|_| Some("rate:all".to_owned())))
        .route(web::get().to(HttpResponse::Ok));
    let app = test::init_service(App::new().service(resource)).await;
    let ask = async |who: Option<&str>| {
        let mut request = test::TestRequest::with_uri("/x");
        if let Some(who) = who {
            request = request.insert_header(("x-who", who));
        }
        let response = test::call_service(&app, request.to_request()).await;
        let lines = |name: &str| {
            let lines = response.headers().get_all(name).map(|line| line.to_str().expect("a text").to_owned());
            lines.collect::<Vec<_>>().join(", ")
        };
        (response.status().as_u16(), lines("ratelimit"), lines("ratelimit-policy"), lines("retry-after"))
    };
    for left in [2, 1, 0] {
        let (status, limit, policy, _) = ask(Some("a")).await;
        assert_eq!(status, 200);
        assert!(limit.contains(&format!("\"api\";r={left};t=")), "{limit}");
        assert_eq!(policy, "\"api\";q=3;w=10, \"all\";q=5;w=60");
        time.advance(Duration::from_secs(2));
    }
    let (status, limit, _, after) = ask(Some("a")).await;
    assert_eq!((status, after.as_str()), (429, "4"), "6 s of the window are over: {limit}");
    // Somebody else, and somebody who is not limited by this one.
    assert_eq!(ask(Some("b")).await.0, 200);
    let (status, limit, ..) = ask(None).await;
    assert_eq!((status, limit.as_str()), (429, "\"all\";r=0;t=54"), "the other limit");
    time.advance(Duration::from_secs(60));
    assert_eq!(ask(Some("a")).await.0, 200);
    // A store that is away limits nobody.
    store.inject(Operation::Count, Fault::Error);
    for _ in 0..20 {
        assert_eq!(ask(Some("a")).await, (200, String::new(), String::new(), String::new()));
    }
}

/// A name that no tenant can have. Fails when whose tenant is none is not counted.
#[actix_web::test]
async fn a_limit_has_no_way_around_it_by_a_tenant_that_is_none() {
    let tenant = |head: &actix_web::dev::RequestHead| {
        head.headers().get("x-tenant").and_then(|name| name.to_str().ok()).map(str::to_owned)
    };
    let builder = CacheManager::builder().tenant_of(tenant).without_annotation_checks();
    let cache = builder.build().await.expect("a manager");
    let limit = cache.rate_limit("api", 2, "1m").by(|_| Some("rate:all".to_owned()));
    let resource = web::resource("/x").wrap(limit).route(web::get().to(HttpResponse::Ok));
    let app = test::init_service(App::new().service(resource)).await;
    for (name, expected) in [("a b", 200), ("c d", 200), ("a b", 429), ("acme", 200)] {
        let request = test::TestRequest::with_uri("/x").insert_header(("x-tenant", name)).to_request();
        assert_eq!(test::call_service(&app, request).await.status().as_u16(), expected, "{name}");
    }
}
