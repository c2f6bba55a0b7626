//! Attributes on odd functions, beside odd names: what they write means the same everywhere.

// What an attribute alone uses is used.
#![deny(unused_variables, unused_braces)]

use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::http::StatusCode;
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{App, HttpResponse, ResponseError, get, post, test};
use cache_middleware::{CacheManager, KeyWriter, cached, invalidates};
use cache_suite::{Kind, TestStore};

/// A trait in scope that has methods of every name, for every type: what attributes write must not call them.
#[expect(dead_code, reason = "nobody may call it")]
trait Everything {
    fn concat(&self) -> String {
        "caught".to_owned()
    }
    fn success(&self) -> Option<&()> {
        None
    }
    fn identity(&self) -> bool {
        true
    }
    fn nested(self, _: impl FnOnce(&mut KeyWriter))
    where
        Self: Sized,
    {
    }
    fn finish(&self) -> String {
        "caught".to_owned()
    }
    fn extend<T>(&mut self, _: T) {}
    fn push<T>(&self, _: T) {}
    fn split<T>(&self, _: T) {}
    fn join<T>(&self, _: T) {}
}

impl<T> Everything for T {}

/// What no two runs of a handler say alike.
fn run() -> u32 {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    RUNS.fetch_add(1, Ordering::SeqCst)
}

/// A redirect that is an error.
#[derive(Debug, thiserror::Error)]
#[error("elsewhere")]
struct Elsewhere;

impl ResponseError for Elsewhere {
    fn status_code(&self) -> StatusCode {
        StatusCode::SEE_OTHER
    }
}

#[get("/named/{id}")]
#[cached(ttl = "5m", key = "named:{id}", tags = ["odd:{id}"])]
async fn named(id: Path<String>) -> String {
    format!("{id} {}", run())
}

#[get("/parts/{a}/{b}")]
#[cached(ttl = "5m", tags = ["odd:{path.0}"])]
async fn parts(path: Path<(String, String)>) -> String {
    format!("{} {} {}", path.0, path.1, run())
}

#[get("/move/{type}")]
#[cached(ttl = "5m", tags = ["odd:{type}"])]
async fn r#move(r#type: Path<String>) -> String {
    format!("{type} {}", run())
}

#[post("/plain/{id}")]
#[invalidates(tags = ["odd:{id}"])]
async fn plain(id: Path<String>) -> &'static str {
    "done"
}

#[post("/redirects/{id}")]
#[invalidates(tags = ["odd:{id}"])]
async fn redirects(id: Path<String>) -> Result<HttpResponse, Elsewhere> {
    Err(Elsewhere)
}

/// What `out` would name cannot be known then; what the argument names can.
#[post("/redirects-beside-out/{id}")]
#[invalidates(event = "item.renamed", id = format!("{out}"), by = id)]
async fn redirects_beside_out(id: Path<String>) -> Result<String, Elsewhere> {
    Err(Elsewhere)
}

#[cached(ttl = "5m")]
async fn doubled(cache: &CacheManager, id: u64) -> u64 {
    id * 2
}

async fn manager() -> CacheManager {
    let store = TestStore::open(Kind::Memory).await;
    let builder =
        CacheManager::builder().shared_store(store.store.clone()).on("item.renamed", ["item:{id}", "odd:{by}"]);
    builder.without_annotation_checks().build().await.expect("a manager")
}

macro_rules! ask {
    ($app:expr, $method:ident $path:expr) => {{
        let response = test::call_service($app, test::TestRequest::$method().uri($path).to_request()).await;
        let status = response.status().as_u16();
        (status, String::from_utf8(test::read_body(response).await.to_vec()).expect("a text"))
    }};
}

#[actix_web::test]
async fn p7_no_trait_in_scope_is_asked_for_keys() {
    let app = test::init_service(App::new().app_data(manager().await).service(named).service(parts).service(r#move));
    let app = app.await;
    for path in ["/named/", "/move/", "/parts/x/"] {
        let (a, b) = (ask!(&app, get & format!("{path}a")), ask!(&app, get & format!("{path}b")));
        assert_ne!(a.1, b.1, "{path}");
        assert_eq!(ask!(&app, get & format!("{path}a")), a, "{path}");
    }
}

/// Fails when a write that answers by an error clears nothing although it redirects.
#[actix_web::test]
async fn p5_writes_that_redirect_by_an_error_clear_what_is_known() {
    let app = App::new().app_data(manager().await).service(named).service(plain);
    let app = test::init_service(app.service(redirects).service(redirects_beside_out)).await;
    for (write, status) in [("/plain/a", 200), ("/redirects/a", 303), ("/redirects-beside-out/a", 303)] {
        let before = ask!(&app, get "/named/a");
        assert_eq!(ask!(&app, get "/named/a"), before, "cached");
        assert_eq!(ask!(&app, post write).0, status);
        assert_ne!(ask!(&app, get "/named/a"), before, "{write}");
    }
}

fn secret(config: &mut ServiceConfig) {
    let routes = |config: &mut ServiceConfig| {
        #[cached(ttl = "5m", key = "menu:{id}")]
        async fn menu(id: Path<String>) -> String {
            format!("the secret menu of {id}")
        }
        config.route("/secret/{id}", web::get().to(menu));
    };
    let others = |config: &mut ServiceConfig| {
        #[cached(ttl = "5m", key = "menu:{id}")]
        async fn menu(id: Path<String>) -> String {
            format!("the menu of {id}")
        }
        config.route("/public/{id}", web::get().to(menu));
    };
    routes(config);
    others(config);
}

/// Functions of one name in blocks of one function have one path. Fails when only that tells them apart.
#[actix_web::test]
async fn p7_functions_of_one_name_in_one_function_share_nothing() {
    let app = test::init_service(App::new().app_data(manager().await).configure(secret)).await;
    assert_eq!(ask!(&app, get "/secret/a").1, "the secret menu of a");
    assert_eq!(ask!(&app, get "/public/a").1, "the menu of a");
    assert_eq!(ask!(&app, get "/secret/a").1, "the secret menu of a");

    macro_rules! loader {
        ($name:ident, $text:expr) => {
            let $name = {
                #[cached(ttl = "5m")]
                async fn load(cache: &CacheManager, id: u64) -> String {
                    format!("{} {id}", $text)
                }
                load
            };
        };
    }
    loader!(user, "user");
    loader!(order, "order");
    let cache = manager().await;
    assert_eq!((user(&cache, 7).await.as_str(), order(&cache, 7).await.as_str()), ("user 7", "order 7"));
    assert_eq!(doubled(&cache, 7).await, 14);
}

trait Medium {
    const NAME: &'static str;
}

struct Book;
struct Song;

impl Medium for Book {
    const NAME: &'static str = "book";
}

impl Medium for Song {
    const NAME: &'static str = "song";
}

/// Of a type that no argument names.
#[cached(ttl = "5m", key = "medium:{id}")]
async fn of_a_medium<M: Medium + 'static, const N: usize>(id: Path<u64>) -> String {
    format!("{} {id} {N} {}", M::NAME, run())
}

macro_rules! by_macro {
    ($ttl:literal, $tag:literal) => {
        #[cached(ttl = $ttl, tags = [$tag])]
        async fn by_macro() -> String {
            format!("by macro {}", run())
        }
    };
}

by_macro!("5m", "odd:macro");

#[actix_web::test]
async fn p7_instances_of_one_handler_share_nothing() {
    let app = App::new().app_data(manager().await).route("/macro", web::get().to(by_macro));
    let app = app.route("/books/{id}", web::get().to(of_a_medium::<Book, 1>));
    let app = app.route("/bound/{id}", web::get().to(of_a_medium::<Book, 2>));
    let app = test::init_service(app.route("/songs/{id}", web::get().to(of_a_medium::<Song, 1>))).await;
    for (path, begins) in
        [("/books/1", "book 1 1 "), ("/bound/1", "book 1 2 "), ("/songs/1", "song 1 1 "), ("/macro", "by macro ")]
    {
        let first = ask!(&app, get path);
        assert!(first.1.starts_with(begins), "{path}: {first:?}");
        assert_eq!(ask!(&app, get path), first);
    }
}

#[cached(ttl = "5m")]
async fn large(id: Path<u64>) -> String {
    let held = [u8::try_from(*id).unwrap_or(0); 100_000];
    tokio::task::yield_now().await;
    format!("{} {}", held[held.len() - 1], run())
}

/// The bytes of a handler's future.
fn size_of_future<F: actix_web::Handler<Args>, Args>(_: F) -> usize {
    std::mem::size_of::<F::Future>()
}

/// A future that each request moves several times. Fails when that of the handler is part of it.
#[actix_web::test]
async fn a_large_handler_takes_its_room_when_it_runs() {
    assert!(size_of_future(large) < 10_000, "{} bytes", size_of_future(large));
    let app = App::new().app_data(manager().await).route("/large/{id}", web::get().to(large));
    let app = test::init_service(app).await;
    let first = ask!(&app, get "/large/7");
    assert_eq!(ask!(&app, get "/large/7"), first);
}
