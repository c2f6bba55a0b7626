//! Layers of caching in layers of caching.

use std::time::{Duration, Instant};

use actix_web::dev::ServiceRequest;
use actix_web::http::header;
use actix_web::{App, HttpResponse, test, web};
use cache_middleware::CacheManager;
use cache_suite::{Kind, TestStore};

async fn fresh() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "max-age=60")).body("fresh")
}

/// With an L1 where the store has use for one.
async fn manager(test: &TestStore) -> CacheManager {
    let builder = CacheManager::builder().shared_store(test.store.clone()).without_annotation_checks();
    builder.ttl("pages", "5m").build().await.expect("a manager")
}

/// The outer one does not know what would clear the inner one's entry, and stores nothing, wherever that is answered from.
#[actix_web::test]
async fn p1_layers_in_layers_neither_wait_for_each_other_nor_store_twice() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let app = test::init_service(
            App::new()
                .wrap(cache.response("pages"))
                .service(web::resource("/").wrap(cache.response("pages")).route(web::get().to(fresh))),
        )
        .await;
        let ask = async || {
            let response = test::call_service(&app, test::TestRequest::get().to_request()).await;
            let lines = response.headers().get_all("cache-status").filter_map(|line| line.to_str().ok());
            let [inner, outer] = lines.map(str::to_owned).collect::<Vec<_>>().try_into().expect("two lines");
            assert!(outer.ends_with("fwd=uri-miss; detail=cached-inside"), "{kind:?}: {outer}");
            inner
        };
        assert!(ask().await.ends_with("fwd=uri-miss; stored"), "{kind:?}");
        // In Redis until it is proven that nothing was missed, and then in memory.
        let held = if kind == Kind::Memory { "detail=l2" } else { "detail=l1" };
        let limit = Instant::now() + Duration::from_secs(10);
        while !ask().await.ends_with(held) {
            assert!(Instant::now() < limit, "{kind:?}: it is never answered from {held}");
        }
    }
}

/// An outer layer whose condition lets a request pass finds nothing under its key that the inner one has filled meanwhile: it would
/// lack the outer one's tags.
#[actix_web::test]
async fn p1_what_passes_an_outer_layer_does_not_fill_its_entries() {
    for http in [false, true] {
        let test = TestStore::open(Kind::Memory).await;
        let cache = manager(&test).await;
        let previewed = |request: &ServiceRequest| !request.headers().contains_key("x-preview");
        macro_rules! ask {
            ($outer:expr, $inner:expr, $($preview:expr),*) => {{
                let app = App::new()
                    .wrap($outer)
                    .service(web::resource("/").wrap($inner).route(web::get().to(fresh)));
                let app = test::init_service(app).await;
                [$({
                    let request = test::TestRequest::get();
                    let request = if $preview { request.insert_header(("x-preview", "1")) } else { request };
                    let response = test::call_service(&app, request.to_request()).await;
                    response.headers().get_all("cache-status").count()
                }),*]
            }};
        }
        // Two lines: both layers were asked, so the outer one has not answered by itself.
        let lines = if http {
            let outer = cache.response_http().condition(previewed);
            ask!(outer, cache.response_http(), true, false)
        } else {
            let outer = cache.response("pages").condition(previewed).tags(|_| vec!["a".to_owned()]);
            ask!(outer, cache.response("pages"), true, false)
        };
        assert_eq!(lines, [2, 2], "http: {http}");
    }
}
