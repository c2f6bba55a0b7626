//! `#[cached]` and `#[invalidates]` from end to end: every shape of handler, on both stores.

use std::cell::Cell;

use actix_web::dev::ServiceResponse;
use actix_web::http::header;
use actix_web::web::Json;
use actix_web::{App, FromRequest, HttpRequest, HttpResponse, Responder, get, post, put, test, web};
use cache_middleware::{CacheEvent, CacheKey, CacheManager, CacheTags, cached, invalidates};
use cache_suite::{Kind, TestStore};
use serde::{Deserialize, Serialize};

thread_local! {
    static RUNS: Cell<u32> = const { Cell::new(0) };
}

fn run() -> u32 {
    RUNS.set(RUNS.get() + 1);
    RUNS.get()
}

/// Who asks, from the `user` header.
#[derive(Debug, Clone, CacheKey)]
#[cache_key(identity)]
struct User {
    id: String,
}

impl FromRequest for User {
    type Error = actix_web::Error;
    type Future = std::future::Ready<Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let id = request.headers().get("user").and_then(|user| user.to_str().ok());
        std::future::ready(id.map(|id| Self { id: id.to_owned() }).ok_or(actix_web::error::ErrorUnauthorized("who?")))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Item {
    id: u64,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    page: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

impl actix_web::ResponseError for No {}

#[get("/below/{id}")]
#[cached(ttl = "5m", tags = ["item:{id}", "user:{user.id}"])]
async fn below_get(user: User, id: web::Path<u64>) -> Result<Json<Item>, No> {
    if *id == 0 { Err(No) } else { Ok(Json(Item { id: *id, text: format!("{} run {}", user.id, run()) })) }
}

#[cached(ttl = "items", tags = ["items"])]
#[get("/above")]
async fn above_get(page: web::Query<Page>, _tags: CacheTags) -> impl Responder {
    format!("page {:?} run {}", page.page, run())
}

#[get("/pair/{a}/{b}")]
#[cached(ttl = "5m", tags = ["pair:{pair.0}:{pair.1}"])]
async fn pair(pair: web::Path<(String, String)>) -> HttpResponse {
    HttpResponse::Ok().body(format!("{pair:?} run {}", run()))
}

#[get("/optional")]
#[cached(ttl = "5m", public)]
async fn optional(user: Option<User>, both: (web::Query<Page>, CacheTags)) -> String {
    both.1.add("dynamic:1");
    format!("{:?} run {}", user.map(|user| user.id), run())
}

#[get("/conditions")]
#[cached(ttl = "5m", when = page.page != Some(1), unless = out.contains("run 3"), vary = ["Accept-Language"])]
async fn conditions(page: web::Query<Page>) -> String {
    let _ = page;
    format!("run {}", run())
}

#[get("/result-tags/{id}")]
#[cached(ttl = "5m", tags = ["owner:{out.text}", "item:{id}"], statuses = [200, 404], max_body = "1KiB")]
async fn result_tags(id: web::Path<u64>) -> Json<Item> {
    run();
    Json(Item { id: *id, text: format!("owner of {}", *id % 2) })
}

#[get("/menu/{org}")]
#[cached(ttl = "5m", key = "menu:{org}")]
async fn menu(org: web::Path<String>, request: HttpRequest) -> String {
    format!("{} {} run {}", org, request.query_string(), run())
}

#[get("/skip")]
#[cached(ttl = "5m", skip(request))]
async fn skipped(request: HttpRequest) -> String {
    format!("{} run {}", request.method(), run())
}

#[derive(CacheEvent)]
#[cache_event("item.renamed")]
struct ItemRenamed {
    id: u64,
    by: String,
}

#[put("/items/{id}")]
#[invalidates(event = "item.updated", id = id)]
async fn update(id: web::Path<u64>, body: String) -> Result<HttpResponse, No> {
    let _ = id;
    if body == "fail" { Err(No) } else { Ok(HttpResponse::NoContent().finish()) }
}

#[invalidates(event = ItemRenamed { id: out.id, by: user.id }, tags = ["items"], keys = ["menu:{user.id}"])]
#[invalidates(tags = ["conflict"], when = response.status() == 409)]
#[post("/items")]
async fn rename(user: User, item: Json<Item>) -> Result<Json<Item>, actix_web::Error> {
    let _ = user;
    if item.id == 409 { Err(actix_web::error::ErrorConflict("taken")) } else { Ok(item) }
}

async fn manager(test: &TestStore) -> CacheManager {
    CacheManager::builder()
        .shared_store(test.store.clone())
        .ttl("items", "5m")
        .on("item.updated", ["item:{id}"])
        .on("item.renamed", ["item:{id}", "user:{by}"])
        .tenant_of(|head| head.headers.get("tenant").and_then(|tenant| tenant.to_str().ok()).map(str::to_owned))
        .build()
        .await
        .expect("a manager that knows all annotations of this binary")
}

/// Calls the service and gives (`Cache-Status` without the name, body).
macro_rules! call {
    ($app:expr, $method:ident $path:expr $(, $name:literal = $value:expr)* $(; $body:expr)?) => {{
        let request = test::TestRequest::$method().uri($path)$(.insert_header(($name, $value)))*$(.set_payload($body))?;
        answered(test::call_service($app, request.to_request()).await).await
    }};
}

async fn answered(response: ServiceResponse) -> (String, String) {
    let status = response.headers().get("cache-status").and_then(|line| line.to_str().ok()).unwrap_or_default();
    let status = status
        .strip_prefix("cache-middleware; ")
        .unwrap_or(status)
        .split("; ttl")
        .next()
        .unwrap_or_default()
        .to_owned();
    (status, String::from_utf8_lossy(&test::read_body(response).await).into_owned())
}

macro_rules! app {
    ($cache:expr) => {
        test::init_service(
            App::new().app_data($cache.clone()).service(
                web::scope("/api")
                    .service(below_get)
                    .service(above_get)
                    .service(pair)
                    .service(optional)
                    .service(conditions)
                    .service(result_tags)
                    .service(menu)
                    .service(skipped)
                    .service(update)
                    .service(rename),
            ),
        )
        .await
    };
}

const STORED: &str = "fwd=uri-miss; stored";
const HIT: &str = "hit";

#[actix_web::test]
async fn a_handler_is_cached_whatever_its_shape() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let app = app!(cache);
        for path in ["/api/above?page=2", "/api/pair/a/b", "/api/result-tags/1", "/api/skip", "/api/conditions"] {
            let first = call!(&app, get path);
            assert_eq!(first.0, STORED, "{path}");
            assert_eq!(call!(&app, get path), (HIT.to_owned(), first.1), "{path}");
        }
    }
}

#[actix_web::test]
async fn p7_the_key_holds_every_argument() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let app = app!(cache);
        for path in [
            "/api/above",
            "/api/above?page=1",
            "/api/above?page=2",
            "/api/pair/a/b",
            "/api/pair/a%2Fb/c",
            "/api/pair/a/b%2Fc",
        ] {
            assert_eq!(call!(&app, get path).0, STORED, "{path}");
        }
        // Callers are told apart, and so are tenants, whatever they call themselves.
        for user in ["ann", "bob", "1:ann", "ann,"] {
            assert_eq!(call!(&app, get "/api/below/1", "user" = user).0, STORED, "{user}");
            assert_eq!(call!(&app, get "/api/below/1", "user" = user, "tenant" = "acme").0, STORED, "{user}");
            assert_eq!(call!(&app, get "/api/below/1", "user" = user, "tenant" = "globex").0, STORED, "{user}");
            assert!(call!(&app, get "/api/below/1", "user" = user).1.contains(&format!("\"{user} run")));
        }
        // Nobody is not somebody.
        let nobody = call!(&app, get "/api/optional");
        let somebody = call!(&app, get "/api/optional", "user" = "ann");
        assert_eq!((nobody.0.as_str(), somebody.0.as_str()), (STORED, STORED));
        // Extractors run on hits too.
        assert_eq!(call!(&app, get "/api/below/1").0, "", "no user: refused before the cache is asked");
    }
}

#[actix_web::test]
async fn p7_hosts_are_told_apart() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = app!(cache);
    for host in ["a.example", "b.example"] {
        assert_eq!(call!(&app, get "/api/above", "host" = host).0, STORED, "{host}");
    }
}

#[actix_web::test]
async fn an_error_is_not_stored() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = app!(cache);
    for _ in 0..2 {
        assert_eq!(call!(&app, get "/api/below/0", "user" = "ann").0, "fwd=uri-miss; detail=handler-error");
    }
}

#[actix_web::test]
async fn p1_a_write_clears_what_its_rules_name_before_its_response_leaves() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let app = app!(cache);
        let one = || test::TestRequest::get().uri("/api/below/1").insert_header(("user", "ann")).to_request();
        let read = async || answered(test::call_service(&app, one()).await).await.0;
        assert_eq!(read().await, STORED);
        call!(&app, get "/api/below/2", "user" = "ann");

        call!(&app, put "/api/items/1"; "fail");
        assert_eq!(read().await, HIT, "a write that failed clears nothing");
        call!(&app, put "/api/items/1"; "ok");
        assert_eq!(read().await, STORED, "{kind:?}");
        assert_eq!(call!(&app, get "/api/below/2", "user" = "ann").0, HIT, "and nothing else");

        // A typed event, tags and keys of its own, and a second attribute with a condition that does not hold.
        assert_eq!(call!(&app, get "/api/menu/ann").0, STORED);
        assert_eq!(call!(&app, get "/api/above").0, STORED);
        let body = serde_json::json!({ "id": 7, "text": "new" }).to_string();
        let conflicts = |n: usize| cache.entries("conflict", n);
        assert!(conflicts(1).await.expect("a listing").is_empty());
        call!(&app, post "/api/items", "user" = "ann", "content-type" = "application/json"; body);
        assert_eq!(read().await, STORED, "user:{{by}}");
        assert_eq!(call!(&app, get "/api/menu/ann").0, STORED, "keys");
        assert_eq!(call!(&app, get "/api/above").0, STORED, "tags");
    }
}

#[actix_web::test]
async fn a_condition_of_its_own_decides_what_clears() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = app!(cache);
    let policy = cache.policy("5m").and_then(|policy| policy.tag("conflict")).expect("a policy");
    cache.set("k", &policy, &1).await.expect("a set");
    let body = |id: u32| serde_json::json!({ "id": id, "text": "" }).to_string();
    call!(&app, post "/api/items", "user" = "ann", "content-type" = "application/json"; body(1));
    assert_eq!(cache.get::<u32>("k").await, Some(1));
    call!(&app, post "/api/items", "user" = "ann", "content-type" = "application/json"; body(409));
    assert_eq!(cache.get::<u32>("k").await, None);
}

#[actix_web::test]
async fn when_unless_and_vary_are_asked() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = app!(cache);
    RUNS.set(0);
    assert_eq!(call!(&app, get "/api/conditions?page=1").0, "fwd=bypass; detail=condition");
    assert_eq!(call!(&app, get "/api/conditions", "accept-language" = "de").0, STORED);
    assert_eq!(call!(&app, get "/api/conditions", "accept-language" = "en").0, "fwd=uri-miss; detail=unless", "run 3");
    assert_eq!(call!(&app, get "/api/conditions", "accept-language" = "en").0, STORED);
    assert_eq!(call!(&app, get "/api/conditions", "accept-language" = "de").0, HIT);
}

#[actix_web::test]
async fn tags_come_from_arguments_results_and_the_handler_itself() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let app = app!(cache);
        call!(&app, get "/api/result-tags/1");
        call!(&app, get "/api/optional");
        for tag in ["owner:owner%20of%201", "item:1", "dynamic:1"] {
            assert_eq!(cache.entries(tag, 10).await.expect("a listing").len(), 1, "{kind:?}, {tag}");
        }
        assert_eq!(cache.preview(&["item:1", "owner:owner%20of%201"], 10).await.expect("a preview").len(), 1);
        assert_eq!(cache.clear_route("/api/result-tags/{id}").await.expect("a clear").covered, 1);
        assert!(cache.entries("item:1", 10).await.expect("a listing").is_empty());
    }
}

#[actix_web::test]
async fn p7_an_explicit_key_holds_what_it_names_and_credentials_keep_others_out() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = app!(cache);
    assert_eq!(call!(&app, get "/api/menu/a?x=1").0, STORED);
    assert_eq!(call!(&app, get "/api/menu/a?x=2").0, HIT, "the key says so");
    assert_eq!(call!(&app, get "/api/menu/a:b").0, STORED);
    let credentials = (header::AUTHORIZATION.as_str(), "Bearer x");
    let request = test::TestRequest::get().uri("/api/menu/secret").insert_header(credentials).to_request();
    assert_eq!(answered(test::call_service(&app, request).await).await.0, "fwd=uri-miss; detail=credentials");
    assert_eq!(cache.clear_key("menu:a").await.expect("a clear").covered, 1);
    assert_eq!(call!(&app, get "/api/menu/a?x=2").0, STORED);
}

#[actix_web::test]
async fn a_forgotten_manager_is_told_and_loses_no_clear() {
    let app = test::init_service(App::new().service(above_get).service(update)).await;
    assert_eq!(call!(&app, get "/above").0, "fwd=bypass; detail=no-manager");
    let request = test::TestRequest::put().uri("/items/1").set_payload("ok").to_request();
    assert_eq!(test::call_service(&app, request).await.status(), 500, "refused before the write");
}

/// A handler may take the manager: it stays one.
#[get("/with-manager/{id}")]
#[cached(ttl = "5m")]
async fn with_manager(id: web::Path<u64>, cache: CacheManager) -> String {
    format!("{id} {}", cache.ttl("items").is_some())
}

#[actix_web::test]
async fn a_handler_that_takes_the_manager_stays_one() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = test::init_service(App::new().app_data(web::Data::new(cache)).service(with_manager)).await;
    assert_eq!(call!(&app, get "/with-manager/1"), (STORED.to_owned(), "1 true".to_owned()));
    assert_eq!(call!(&app, get "/with-manager/2"), (STORED.to_owned(), "2 true".to_owned()));
    assert_eq!(call!(&app, get "/with-manager/2").0, HIT);
}

/// A way back from caching.
#[get("/switched-off")]
#[cached(ttl = "5m", when = false)]
async fn switched_off() -> String {
    format!("run {}", run())
}

#[actix_web::test]
async fn a_route_is_switched_off_by_a_condition() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let app = test::init_service(App::new().app_data(cache).service(switched_off)).await;
    let (first, second) = (call!(&app, get "/switched-off"), call!(&app, get "/switched-off"));
    assert_eq!((first.0.as_str(), second.0.as_str()), ("fwd=bypass; detail=condition", "fwd=bypass; detail=condition"));
    assert_ne!(first.1, second.1);
}
