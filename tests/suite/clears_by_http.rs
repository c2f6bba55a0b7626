//! Writes through the middlewares whose clears are easily lost: errors that are successes, odd hosts, slow HEADs.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::dev::ServiceResponse;
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::test::{self, TestRequest};
use actix_web::{App, Error, HttpRequest, HttpResponse, web};
use cache_middleware::CacheManager;
use cache_middleware::store::MemoryStore;
use tokio::sync::Semaphore;

async fn manager() -> CacheManager {
    let builder = CacheManager::builder().store(MemoryStore::default()).without_annotation_checks();
    builder.on("e", ["t"]).tenant_of(|_| Some("acme".into())).build().await.expect("a manager")
}

/// A response that a middleware inside returns as an error, once.
fn thrown(status: StatusCode) -> Error {
    let response = HttpResponse::build(status)
        .insert_header(("cache-group-invalidation", "\"t\""))
        .insert_header(("location", "/r"))
        .body("why");
    InternalError::from_response("thrown", response).into()
}

#[actix_web::test]
async fn an_error_that_gives_its_response_once_keeps_it() {
    let cache = manager().await;
    for status in [StatusCode::UNAUTHORIZED, StatusCode::SEE_OTHER] {
        let inner = || {
            web::resource("/x")
                .wrap_fn(move |_, _| async move { Err::<ServiceResponse, _>(thrown(status)) })
                .to(|| async { "" })
        };
        let app = App::new()
            .service(web::scope("/policy").wrap(cache.response("5m")).service(inner()))
            .service(web::scope("/http").wrap(cache.response_http()).service(inner()));
        let app = test::init_service(app).await;
        for path in ["/policy/x", "/http/x"] {
            let Err(error) = test::try_call_service(&app, TestRequest::post().uri(path).to_request()).await else {
                panic!("no error")
            };
            let response = error.error_response();
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.headers().get("location").unwrap(), "/r");
        }
    }
}

#[actix_web::test]
async fn p5_groups_of_a_redirect_that_is_an_error_are_cleared() {
    let cache = manager().await;
    let event = web::resource("/event")
        .wrap_fn(|_, _| async { Err::<ServiceResponse, _>(thrown(StatusCode::SEE_OTHER)) })
        .wrap(cache.invalidates("e"))
        .to(|| async { "" });
    let app = App::new().service(event).service(
        web::scope("")
            .wrap(cache.response("5m").tags(|_| vec!["t".into()]))
            .route("/kept", web::get().to(|| async { "kept" }))
            .service(
                web::resource("/w")
                    .wrap_fn(|_, _| async { Err::<ServiceResponse, _>(thrown(StatusCode::SEE_OTHER)) })
                    .to(|| async { "" }),
            ),
    );
    let app = test::init_service(app).await;
    let status = async || {
        let response = test::call_service(&app, TestRequest::get().uri("/kept").to_request()).await;
        response.headers().get("cache-status").unwrap().to_str().unwrap().to_owned()
    };
    for path in ["/w", "/event"] {
        status().await;
        assert!(status().await.contains("hit"));
        let _ = test::try_call_service(&app, TestRequest::post().uri(path).to_request()).await.map(|_| ());
        assert!(!status().await.contains("hit"), "{path}");
    }
}

#[actix_web::test]
async fn p5_a_client_that_makes_up_a_host_does_not_keep_groups_from_being_cleared() {
    let cache = manager().await;
    let app = App::new().service(
        web::scope("")
            .wrap(cache.response("5m").tags(|_| vec!["t".into()]))
            .route("/kept", web::get().to(|| async { "kept" }))
            .route(
                "/w",
                web::post().to(|| async {
                    HttpResponse::NoContent().insert_header(("cache-group-invalidation", "\"t\"")).finish()
                }),
            ),
    );
    let app = test::init_service(app).await;
    for host in ["a.example", "a!b", "a,b"] {
        test::call_service(&app, TestRequest::get().uri("/kept").to_request()).await;
        test::call_service(&app, TestRequest::post().uri("/w").insert_header(("host", host)).to_request()).await;
        let response = test::call_service(&app, TestRequest::get().uri("/kept").to_request()).await;
        let status = response.headers().get("cache-status").unwrap().to_str().unwrap().to_owned();
        assert!(!status.contains("hit"), "{host}: {status}");
    }
}

#[actix_web::test]
async fn p9_groups_of_confirmations_do_not_pile_up() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    async fn handler(request: HttpRequest) -> HttpResponse {
        let call = CALLS.fetch_add(1, Ordering::SeqCst);
        let groups: Vec<String> = (0..100).map(|number| format!("\"{call}-{number}\"")).collect();
        let known = request.headers().contains_key("if-none-match");
        let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header(("etag", "\"a\""))
            .insert_header(("cache-control", "max-age=0"))
            .insert_header(("cache-groups", groups.join(", ")));
        if known { response.finish() } else { response.body("one") }
    }
    let cache = manager().await;
    let app = test::init_service(App::new().service(web::resource("/x").wrap(cache.response_http()).to(handler))).await;
    let mut sizes = Vec::new();
    for _ in 0..20 {
        test::call_service(&app, TestRequest::get().uri("/x").to_request()).await;
        sizes.push(cache.tenant("acme").expect("a tenant").usage().await.expect("usage").bytes);
    }
    let most = sizes.iter().max().expect("sizes");
    assert!(*most < 4 * sizes[0], "{sizes:?}");
}

#[actix_web::test]
async fn what_a_slow_head_learns_does_not_replace_what_is_newer() {
    let cache = manager().await;
    let (begun, go_on) = (Rc::new(Semaphore::new(0)), Rc::new(Semaphore::new(0)));
    let (calls, gates) = (Rc::new(AtomicUsize::new(0)), (begun.clone(), go_on.clone()));
    let app = App::new().service(web::resource("/x").wrap(cache.response_http()).to(move |request: HttpRequest| {
        let (call, gates) = (calls.fetch_add(1, Ordering::SeqCst), gates.clone());
        async move {
            if request.method() == "HEAD" {
                gates.0.add_permits(1);
                gates.1.acquire().await.expect("the gate").forget();
                return HttpResponse::Ok()
                    .insert_header(("etag", "\"a\""))
                    .insert_header(("cache-control", "max-age=60"))
                    .finish();
            }
            let (tag, age, body) = if call == 0 { ("\"a\"", 0, "one") } else { ("\"b\"", 60, "two") };
            HttpResponse::Ok()
                .insert_header(("etag", tag))
                .insert_header(("cache-control", format!("max-age={age}")))
                .body(body)
        }
    }));
    let app = test::init_service(app).await;
    let body = async || test::call_and_read_body(&app, TestRequest::get().uri("/x").to_request()).await;
    assert_eq!(body().await, "one");
    let head = TestRequest::default().method(actix_web::http::Method::HEAD).uri("/x").to_request();
    let newer = async {
        begun.acquire().await.expect("the gate").forget();
        assert_eq!(body().await, "two");
        go_on.add_permits(1);
    };
    futures_util::future::join(test::call_service(&app, head), newer).await;
    assert_eq!(body().await, "two");
}
