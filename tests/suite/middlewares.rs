//! The middlewares: mounted everywhere, and composed with actix-web's own in several orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::header;
use actix_web::middleware::{Compress, ErrorHandlerResponse, ErrorHandlers, Logger, NormalizePath};
use actix_web::test::TestRequest;
use actix_web::{App, Error, HttpResponse, test, web};
use cache_middleware::{CacheError, CacheManager, CacheTags, Preset, StoreError};
use cache_suite::{Kind, TestStore};

static RUNS: AtomicUsize = AtomicUsize::new(0);

async fn page() -> HttpResponse {
    RUNS.fetch_add(1, Ordering::SeqCst);
    HttpResponse::Ok()
        .append_header(("link", "</a>; rel=prev"))
        .append_header(("link", "</b>; rel=next"))
        .insert_header(("x-kept", "yes"))
        .content_type("text/plain")
        .body("a text that is long enough to be worth compressing ".repeat(20))
}

async fn manager(test: &TestStore) -> CacheManager {
    CacheManager::builder()
        .shared_store(test.store.clone())
        .without_annotation_checks()
        .ttl("pages", "5m")
        .on("page.updated", ["page:{id}"])
        .preset(
            "pages",
            Preset::new("pages")
                .tags(|request| vec![format!("page:{}", request.match_info().query("id"))])
                .vary(["Accept-Language"]),
        )
        .build()
        .await
        .expect("a manager")
}

fn status_of<B>(response: &ServiceResponse<B>) -> String {
    let lines: Vec<_> = response.headers().get_all("cache-status").collect();
    assert!(lines.len() <= 1, "one layer writes one line: {lines:?}");
    let line = lines.first().and_then(|line| line.to_str().ok()).unwrap_or_default();
    line.strip_prefix("cache-middleware; ").unwrap_or(line).split("; ttl").next().unwrap_or_default().to_owned()
}

/// Two requests for the same; the second must be a hit with the same headers and bytes.
async fn fills_and_hits<S, B>(app: &S, path: &str, accept_encoding: Option<&str>, what: &str)
where
    S: actix_web::dev::Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let mut seen = Vec::new();
    for expected in ["fwd=uri-miss; stored", "hit"] {
        let mut request = test::TestRequest::get().uri(path);
        if let Some(coding) = accept_encoding {
            request = request.insert_header((header::ACCEPT_ENCODING, coding));
        }
        let response = test::call_service(app, request.to_request()).await;
        assert_eq!(status_of(&response), expected, "{what}");
        let mut headers: Vec<String> = response
            .headers()
            .iter()
            .filter(|(name, _)| !["age", "cache-status", "date"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
            .collect();
        headers.sort();
        let etag = response.headers().get(header::ETAG).cloned();
        assert!(etag.is_some(), "{what}");
        seen.push((response.status(), headers, test::read_body(response).await));
    }
    assert_eq!(seen[0], seen[1], "{what}");
    assert_eq!(seen[0].1.iter().filter(|line| line.starts_with("link: ")).count(), 2, "{what}: {:?}", seen[0].1);
    let compressed = seen[0].1.iter().any(|line| line == "content-encoding: gzip");
    assert_eq!(compressed, accept_encoding.is_some(), "{what}");
    assert_eq!(seen[0].2.starts_with(b"\x1f\x8b"), compressed, "{what}: compressed once or not at all");
}

#[actix_web::test]
async fn a_response_is_cached_wherever_the_middleware_is_mounted() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let layer = || cache.response("pages").tags(|_| vec!["all".to_owned()]);
        let on_app = test::init_service(App::new().wrap(layer()).route("/app", web::get().to(page))).await;
        fills_and_hits(&on_app, "/app", None, "app").await;
        let inside = test::init_service(
            App::new()
                .service(web::scope("/scope").wrap(layer()).route("/page", web::get().to(page)))
                .service(web::resource("/resource").wrap(layer()).route(web::get().to(page)))
                .service(web::resource("/route").route(web::get().to(page).wrap(layer()))),
        )
        .await;
        for path in ["/scope/page", "/resource", "/route"] {
            fills_and_hits(&inside, path, None, path).await;
        }
        assert_eq!(cache.entries("all", 10).await.expect("a listing").len(), 4, "{kind:?}");
        assert_eq!(cache.clear_route("/scope/page").await.expect("a clear").covered, 1);
    }
}

#[actix_web::test]
async fn nothing_is_lost_or_doubled_in_any_order() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    // A macro, because each place has a body type of its own.
    macro_rules! errors {
        () => {
            ErrorHandlers::new().handler(actix_web::http::StatusCode::NOT_FOUND, |response| {
                Ok(ErrorHandlerResponse::Response(response.map_into_left_body()))
            })
        };
    }
    let trim = || NormalizePath::trim();
    macro_rules! order {
        ($host:literal, $coding:expr, $($layer:expr),+) => {{
            let app = test::init_service(App::new()$(.wrap($layer))+.route("/order", web::get().to(page))).await;
            fills_and_hits(&app, concat!("/order?", $host), $coding, $host).await;
        }};
    }
    // `wrap` puts the last one outermost.
    order!("plain", None, cache.response("pages"), Compress::default(), Logger::default(), trim(), errors!());
    order!("compress-outside", Some("gzip"), cache.response("pages"), Compress::default(), errors!(), trim());
    order!(
        "all-outside",
        Some("gzip"),
        cache.response("pages"),
        errors!(),
        trim(),
        Logger::default(),
        Compress::default()
    );
    order!(
        "errors-inside",
        Some("gzip"),
        errors!(),
        cache.response("pages"),
        trim(),
        Compress::default(),
        Logger::default()
    );
    order!("trim-inside", None, trim(), cache.response("pages"), Logger::default(), errors!());
}

/// A compressed body has no length before it ends, and is not stored: it passes as it is.
#[actix_web::test]
async fn a_cache_around_compression_passes_it_through() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = test::init_service(
        App::new()
            .wrap(Compress::default())
            .wrap(cache.response("pages").vary(["accept-encoding"]))
            .route("/", web::get().to(page)),
    )
    .await;
    for _ in 0..2 {
        let request = test::TestRequest::get().insert_header((header::ACCEPT_ENCODING, "gzip")).to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(status_of(&response), "fwd=uri-miss; detail=streaming-body");
        assert_eq!(response.headers().get_all("link").count(), 2);
        assert!(test::read_body(response).await.starts_with(b"\x1f\x8b"));
    }
}

#[actix_web::test]
async fn settings_of_the_middleware_are_asked() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = test::init_service(
        App::new()
            .service(
                web::resource("/keyed/{id}")
                    .wrap(cache.response("pages").key(|request| format!("page:{}", request.match_info().query("id"))))
                    .route(web::get().to(page)),
            )
            .service(
                web::resource("/mine")
                    .wrap(cache.response("1m").identity(|request| {
                        Some(request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.to_owned())
                    }))
                    .route(web::get().to(page)),
            )
            .service(
                web::resource("/conditional")
                    .wrap(cache.response("pages").condition(|request| request.query_string() != "no"))
                    .route(web::get().to(page)),
            )
            .service(web::resource("/small").wrap(cache.response("pages").max_body(10)).route(web::get().to(page)))
            .service(
                web::resource("/missing")
                    .wrap(cache.response("pages").statuses([200, 404]))
                    .route(web::get().to(HttpResponse::NotFound)),
            )
            .service(web::resource("/tagged").wrap(cache.response("pages")).route(web::get().to(
                async |tags: CacheTags| {
                    tags.add("from-handler");
                    page().await
                },
            ))),
    )
    .await;
    let ask = async |path: &str, user: Option<&str>| {
        let mut request = test::TestRequest::get().uri(path);
        if let Some(user) = user {
            request = request.insert_header((header::AUTHORIZATION, user));
        }
        status_of(&test::call_service(&app, request.to_request()).await)
    };
    const STORED: &str = "fwd=uri-miss; stored";
    assert_eq!(ask("/keyed/1?a", None).await, STORED);
    assert_eq!(ask("/keyed/1?b", None).await, "hit", "the key says so");
    assert_eq!(ask("/keyed/2", None).await, STORED);
    assert_eq!(cache.clear_key("page:1").await.expect("a clear").covered, 1);
    assert_eq!(ask("/keyed/1", None).await, STORED);

    assert_eq!(ask("/keyed/3", Some("ann")).await, "fwd=uri-miss; detail=credentials");
    assert_eq!(ask("/mine", Some("ann")).await, STORED);
    assert_eq!(ask("/mine", Some("bob")).await, STORED);
    assert_eq!(ask("/mine", Some("ann")).await, "hit");

    assert_eq!(ask("/conditional?no", None).await, "fwd=bypass; detail=condition");
    assert_eq!(ask("/conditional", None).await, STORED);
    assert_eq!(ask("/small", None).await, "fwd=uri-miss; detail=body-too-large");
    assert_eq!(ask("/missing", None).await, STORED);
    assert_eq!(ask("/missing", None).await, "hit");
    assert_eq!(ask("/tagged", None).await, STORED);
    assert_eq!(cache.entries("from-handler", 10).await.expect("a listing").len(), 1);
}

#[actix_web::test]
async fn p1_an_event_clears_a_preset() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let updated = || {
            cache
                .invalidates("page.updated")
                .payload(|request, _| vec![("id", request.match_info().query("id").to_owned())])
        };
        let app = test::init_service(App::new().service(
            web::resource("/pages/{id}").wrap(cache.preset("pages")).wrap(updated()).route(web::get().to(page)).route(
                web::put().to(async |body: String| match body.as_str() {
                    "bad" => HttpResponse::BadRequest().finish(),
                    _ => HttpResponse::NoContent().finish(),
                }),
            ),
        ))
        .await;
        let get = async || {
            let request = test::TestRequest::get().uri("/pages/7").to_request();
            status_of(&test::call_service(&app, request).await)
        };
        let put = async |body: &'static str| {
            let request = test::TestRequest::put().uri("/pages/7").set_payload(body).to_request();
            test::call_service(&app, request).await.status().as_u16()
        };
        assert_eq!((get().await.as_str(), get().await.as_str()), ("fwd=uri-miss; stored", "hit"));
        assert_eq!((put("bad").await, get().await.as_str()), (400, "hit"), "{kind:?}");
        assert_eq!((put("good").await, get().await.as_str()), (204, "fwd=uri-miss; stored"), "{kind:?}");
    }
}

#[actix_web::test]
async fn an_error_of_the_cache_that_a_handler_passes_on_tells_clients_no_cause() {
    async fn handler(cause: web::Path<String>) -> Result<&'static str, Error> {
        Err(match cause.as_str() {
            "store" => CacheError::Store(StoreError::Unavailable("redis at 10.0.0.1".into())),
            _ => CacheError::Invalid("the tag \"secret one\" is none".into()),
        })?
    }
    let app = test::init_service(App::new().route("/{cause}", web::get().to(handler))).await;
    for (path, status, said) in [("/store", 503, "Service Unavailable"), ("/tag", 500, "Internal Server Error")] {
        let response = test::call_service(&app, TestRequest::get().uri(path).to_request()).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(test::read_body(response).await, said);
    }
}

/// A middleware around the cache that calls it, clears, and only then waits for the answer. Fails when the look-up is done
/// by the call and not by the waiting.
#[actix_web::test]
async fn p1_nothing_is_looked_up_before_the_answer_is_waited_for() {
    let test = TestStore::open(Kind::Redis).await;
    let cache = cache_suite::node_with_l1(&test.store, cache_middleware::Coherence::default()).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let clearing = Arc::new(AtomicBool::new(false));
    let (clears, clearer) = (clearing.clone(), cache.clone());
    let app = App::new().service(
        web::resource("/x")
            .wrap(cache.response("5m").tags(|_| vec!["x".to_owned()]))
            .wrap(actix_web::middleware::from_fn(
                move |request: actix_web::dev::ServiceRequest, next: actix_web::middleware::Next<_>| {
                    let (clears, clearer) = (clears.clone(), clearer.clone());
                    let answering = next.call(request);
                    async move {
                        if clears.load(Ordering::SeqCst) {
                            clearer.clear_tag("x").await.expect("a receipt");
                        }
                        answering.await
                    }
                },
            ))
            .get(move || {
                let count = counted.fetch_add(1, Ordering::SeqCst) + 1;
                async move { count.to_string() }
            }),
    );
    let app = test::init_service(app).await;
    let ask = async || test::call_and_read_body(&app, test::TestRequest::get().uri("/x").to_request()).await;
    for _ in 0..3 {
        assert_eq!(ask().await, "1");
    }
    clearing.store(true, Ordering::SeqCst);
    assert_eq!(ask().await, "2");
}
