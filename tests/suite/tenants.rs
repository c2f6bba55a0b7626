//! Tenants: bound routes, clears that cannot reach too far by accident, quotas (P7).

use actix_web::test::{self, TestRequest};
use actix_web::{App, HttpResponse, get, post, web};
use cache_middleware::store::MemoryStore;
use cache_middleware::{CacheManager, CacheManagerBuilder, cached, invalidates};

fn builder() -> CacheManagerBuilder {
    CacheManager::builder()
        .store(MemoryStore::default())
        .without_annotation_checks()
        .tenant_of(|head| head.headers.get("tenant").and_then(|tenant| tenant.to_str().ok()).map(str::to_owned))
}

#[get("/bound")]
#[cached(ttl = "5m", tags = ["t"], tenant_bound)]
async fn bound() -> &'static str {
    "bound"
}

#[post("/write")]
#[invalidates(tags = ["t"], tenant_bound)]
async fn write() -> HttpResponse {
    panic!("nothing runs without a tenant")
}

async fn panics() -> HttpResponse {
    panic!("nothing runs without a tenant")
}

#[actix_web::test]
async fn p7_bound_routes_do_not_run_without_a_tenant() {
    let cache = builder().on("x", ["t"]).build().await.expect("a manager");
    let app = App::new()
        .app_data(cache.clone())
        .service(bound)
        .service(write)
        .service(web::resource("/policy").wrap(cache.response("5m").tenant_bound()).to(panics))
        .service(web::resource("/http").wrap(cache.response_http().tenant_bound()).to(panics))
        .service(web::resource("/event").wrap(cache.invalidates("x").tenant_bound()).to(panics));
    let app = test::init_service(app).await;
    for (request, tenant) in [
        (TestRequest::get().uri("/bound"), None),
        (TestRequest::get().uri("/bound"), Some("two words")),
        (TestRequest::post().uri("/write"), None),
        (TestRequest::get().uri("/policy"), None),
        (TestRequest::post().uri("/policy"), None),
        (TestRequest::get().uri("/http"), None),
        (TestRequest::post().uri("/http"), None),
    ] {
        let request = tenant.into_iter().fold(request, |request, tenant| request.insert_header(("tenant", tenant)));
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), 400);
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        assert_eq!(kind, Some("text/plain; charset=utf-8"));
        let body = test::read_body(response).await;
        let says = String::from_utf8_lossy(&body);
        assert!(says.starts_with("this route is for tenants") || says.contains("is not a tenant name"), "{says}");
    }
    let refused = test::try_call_service(&app, TestRequest::post().uri("/event").to_request()).await;
    let Err(refused) = refused else { panic!("it ran") };
    assert_eq!(refused.as_response_error().status_code(), 400);
    let request = TestRequest::get().uri("/bound").insert_header(("tenant", "acme")).to_request();
    assert_eq!(test::call_and_read_body(&app, request).await, "bound");
}

#[actix_web::test]
async fn p7_nothing_clears_across_tenants_by_accident() {
    for cache in [
        builder().build().await.expect("a manager"),
        CacheManager::builder().without_annotation_checks().build().await.expect("a manager"),
    ] {
        let acme = cache.tenant("acme").expect("a tenant");
        let policy = acme.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy");
        acme.set("key", &policy, &1).await.expect("a set");
        cache.set("key", &policy, &2).await.expect("a set");
        let refused = cache.clear_all().await.expect_err("there are tenants").to_string();
        assert!(refused.contains("clear_every_tenant"), "{refused}");
        assert!(acme.clear_every_tenant().await.is_err());
        for clear in [cache.clear_tag("t").await, cache.clear_key("key").await, cache.clear_pattern("*").await] {
            clear.expect("a clear");
        }
        assert_eq!((acme.get("key").await, cache.get::<u8>("key").await), (Some(1), None));
        assert_eq!(acme.usage().await.expect("a usage").entries, 1);
        assert!(cache.usage().await.is_err());
        acme.clear_all().await.expect("a clear");
        assert_eq!(acme.get::<u8>("key").await, None);
        acme.set("key", &policy, &1).await.expect("a set");
        cache.clear_every_tenant().await.expect("a clear");
        assert_eq!(acme.get::<u8>("key").await, None);
    }
}

#[actix_web::test]
async fn p9_a_tenant_has_as_much_as_it_may() {
    let cache = builder().tenant_quota(10_000).build().await.expect("a manager");
    let large = async || HttpResponse::Ok().body("x".repeat(6_000));
    let app = App::new().service(web::resource("/{id}").wrap(cache.response("5m")).route(web::get().to(large)));
    let app = test::init_service(app).await;
    for (tenant, path, expected) in [
        ("acme", "/1", "cache-middleware; fwd=uri-miss; stored"),
        ("acme", "/2", "cache-middleware; fwd=uri-miss; detail=tenant-quota"),
        ("globex", "/2", "cache-middleware; fwd=uri-miss; stored"),
    ] {
        let request = TestRequest::get().uri(path).insert_header(("tenant", tenant)).to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.headers().get("cache-status").expect("a status"), expected, "{tenant} {path}");
    }
}
