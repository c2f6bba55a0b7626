//! The dashboard: who is let in, and what a real browser shows and does.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::middleware::{NormalizePath, TrailingSlash};
use actix_web::{App, HttpServer, get, test, web};
use cache_middleware::{CacheHealthMonitor, CacheManager, Dashboard, cached};
use cache_suite::{Browser, RedisServer, send};
use fantoccini::Locator;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Number, node_of, until};

const PASSWORD: &str = "correct-horse-battery";

#[get("/lessons/{id}")]
#[cached(ttl = "5m", tags = ["lesson:{id}", "lessons"])]
async fn lesson(id: web::Path<u64>, number: web::Data<Number>) -> String {
    format!("{id} {}", number.get())
}

/// A service with a dashboard.
struct Service {
    address: SocketAddr,
    cache: CacheManager,
    handle: actix_web::dev::ServerHandle,
    _server: RedisServer,
}

impl Service {
    async fn start(clears: bool) -> Self {
        let server = RedisServer::start();
        let cache = node_of(&server.url(), |builder| builder.on("lesson.changed", ["lesson:{lesson_id}"])).await;
        let monitor = CacheHealthMonitor::builder().interval("500ms").start(&cache).expect("a monitor");
        let dashboard = Dashboard::builder(&monitor).password(PASSWORD).clears(clears).build().expect("a dashboard");
        let app_cache = cache.clone();
        let app = move || {
            let app = App::new().app_data(app_cache.clone()).app_data(web::Data::new(Number::default()));
            app.service(lesson).configure(|config| dashboard.mount(config, "/cache"))
        };
        let http = HttpServer::new(app).workers(1).bind("127.0.0.1:0").expect("a port");
        let address = http.addrs()[0];
        let running = http.run();
        let handle = running.handle();
        actix_web::rt::spawn(running);
        Self { address, cache, handle, _server: server }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> cache_suite::Response {
        let host = self.address.to_string();
        let mut all = vec![("host", host.as_str()), ("content-type", "application/json")];
        all.extend(headers);
        send(self.address, method, path, &all, body).await
    }

    async fn lessons(&self, count: u64) {
        for id in 0..count {
            for _ in 0..2 {
                assert_eq!(self.ask("GET", &format!("/lessons/{id}"), &[], "").await.status, 200);
            }
        }
    }
}

#[actix_web::test]
async fn nobody_gets_in_without_the_password_and_nothing_is_cleared_by_accident() {
    let service = Service::start(true).await;
    service.lessons(1).await;
    let bearer = format!("Bearer {PASSWORD}");
    let (right, meant) = (("authorization", bearer.as_str()), ("x-cache-dashboard", "1"));
    for path in [
        "/cache",
        "/cache/",
        "/cache/app.js",
        "/cache/events",
        "/cache/map",
        "/cache/tags",
        "/cache/entries?tag=lessons",
    ] {
        let refused = service.ask("GET", path, &[], "").await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").starts_with("Basic"), "{path}");
        for wrong in ["Bearer wrong-password-wrong", "Basic d3Jvbmc6d3Jvbmc=", "Bearer", "Basic =", "Digest x"] {
            assert_eq!(service.ask("GET", path, &[("authorization", wrong)], "").await.status, 401, "{path} {wrong}");
        }
    }
    let page = service.ask("GET", "/cache", &[right], "").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
    let basic = "Basic YW55Ym9keTpjb3JyZWN0LWhvcnNlLWJhdHRlcnk=";
    assert_eq!(service.ask("GET", "/cache/", &[("authorization", basic)], "").await.status, 200);

    let body = json!({"tag": "lessons"}).to_string();
    for headers in [&[right][..], &[right, meant, ("sec-fetch-site", "cross-site")], &[meant]] {
        let refused = service.ask("POST", "/cache/clear", headers, &body).await;
        assert!([401, 403].contains(&refused.status), "{headers:?}");
    }
    assert_eq!(service.cache.entries("lessons", 9).await.expect("a list").len(), 1);
    let done = service.ask("POST", "/cache/clear", &[right, meant], &body).await;
    assert_eq!(done.status, 200);
    assert_eq!(serde_json::from_str::<Value>(&done.body).expect("json")["covered"], 1);
    let wrong = service.ask("POST", "/cache/clear", &[right, meant], &json!({"tag": "two words"}).to_string()).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("is not a tag"), "{}", wrong.body);
    service.handle.stop(false).await;
}

#[actix_web::test]
async fn one_that_only_shows_clears_nothing() {
    let service = Service::start(false).await;
    let bearer = format!("Bearer {PASSWORD}");
    let headers = [("authorization", bearer.as_str()), ("x-cache-dashboard", "1")];
    assert_eq!(service.ask("POST", "/cache/clear", &headers, &json!({"tag": "x"}).to_string()).await.status, 403);
    service.handle.stop(false).await;

    let monitor = CacheHealthMonitor::builder().start(&service.cache).expect("a monitor");
    assert!(Dashboard::builder(&monitor).unprotected().build().is_ok());
    assert!(Dashboard::builder(&monitor).protected_by(|_| false).build().is_ok());
}

/// A stream of events that is being listened to.
async fn listens(service: &Service) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(service.address).await.expect("a connection");
    let host = service.address;
    let request = format!("GET /cache/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {PASSWORD}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.expect("an answer");
    (stream, String::from_utf8_lossy(&head).into_owned())
}

/// Fails when pages are not counted, or not given back.
#[actix_web::test]
async fn p9_so_many_pages_are_told_and_no_more() {
    let service = Service::start(true).await;
    let mut pages = Vec::new();
    for page in 0..32 {
        let (stream, status) = listens(&service).await;
        assert_eq!(status, "HTTP/1.1 200", "page {page}");
        pages.push(stream);
    }
    assert_eq!(listens(&service).await.1, "HTTP/1.1 503");
    // Requests do not wait for them.
    service.lessons(1).await;
    pages.clear();
    until("a place is free", async || listens(&service).await.1 == "HTTP/1.1 200").await;
    service.handle.stop(false).await;
}

async fn text(browser: &Browser, selector: &str) -> String {
    let element = browser.client.find(Locator::Css(selector)).await.expect("an element");
    element.text().await.expect("its text")
}

async fn shows(browser: &Browser, selector: &str, expected: &str) {
    let mut last = String::new();
    for _ in 0..150 {
        last = text(browser, selector).await;
        if last.contains(expected) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{selector} never showed {expected:?}, but {last:?}");
}

/// As an operator uses it: looks, looks behind a tag, thinks better of a clear, clears, and loses the service.
#[actix_web::test]
async fn a_browser_shows_the_numbers_and_clears() {
    let service = Service::start(true).await;
    service.lessons(3).await;
    let browser = Browser::open((1280, 1600), true).await;
    let address = format!("http://operator:{PASSWORD}@{}/cache", service.address);
    browser.client.goto(&address).await.expect("the page");
    shows(&browser, "#verdict", "healthy").await;
    shows(&browser, "#routes", "/lessons/{id}").await;
    shows(&browser, "#tiers", "3").await;
    shows(&browser, "#tags", "lessons").await;
    shows(&browser, "#nodes", "this one").await;
    shows(&browser, "#graph", "lesson.changed").await;
    shows(&browser, "#clears", "Nothing has been cleared").await;

    // By keyboard alone.
    let tag = browser.client.find(Locator::Css("#tag")).await.expect("the field");
    tag.send_keys("lesson:1\u{e007}").await.expect("keys");
    shows(&browser, "#behind-note", "1 entry behind lesson:1").await;
    shows(&browser, "#entries", "lessons/1").await;
    let clear = browser.client.find(Locator::Css("#clear")).await.expect("the button");
    clear.click().await.expect("a click");
    shows(&browser, "#confirm-title", "Clear lesson:1?").await;
    shows(&browser, "#confirm-text", "1 entry will not be served").await;
    browser
        .client
        .find(Locator::Css("#confirm button[value=no]"))
        .await
        .expect("a button")
        .click()
        .await
        .expect("a click");
    assert_eq!(service.cache.entries("lesson:1", 9).await.expect("a list").len(), 1, "it was left alone");
    let clear = browser.client.find(Locator::Css("#clear")).await.expect("the button");
    clear.click().await.expect("a click");
    shows(&browser, "#confirm-title", "Clear lesson:1?").await;
    browser.client.find(Locator::Css("#confirm-yes")).await.expect("a button").click().await.expect("a click");
    shows(&browser, "#behind-note", "Done: 1 entries").await;
    assert_eq!(service.cache.entries("lesson:1", 9).await.expect("a list"), []);
    shows(&browser, "#clears", "clear tag lesson:1").await;

    // What callers have made of a tag is text and nothing else.
    let tag = browser.client.find(Locator::Css("#tag")).await.expect("the field");
    tag.clear().await.expect("it is empty");
    tag.send_keys("<img/src=x/onerror=alert(1)>\u{e007}").await.expect("keys");
    shows(&browser, "#behind-note", "0 entries behind <img").await;
    let images = browser.client.find_all(Locator::Css("img")).await.expect("a list");
    assert!(images.is_empty());

    assert!(browser.client.screenshot().await.expect("a picture").len() > 10_000);
    service.handle.stop(false).await;
    shows(&browser, "#connection", "does not answer").await;
    shows(&browser, "#verdict", "unknown").await;
    browser.client.clone().close().await.expect("it closes");
}

/// Its parts are found with and without a slash at the end, also where one is taken away on the way.
#[actix_web::test]
async fn its_parts_are_found_whatever_happens_to_slashes() {
    let cache = CacheManager::builder().without_annotation_checks().build().await.expect("a manager");
    let monitor = CacheHealthMonitor::builder().start(&cache).expect("a monitor");
    let dashboard = Dashboard::builder(&monitor).unprotected().build().expect("a dashboard");
    let outside = Dashboard::builder(&monitor).unprotected().public_path("/team/cache").build().expect("a dashboard");
    let trimmed = NormalizePath::new(TrailingSlash::Trim);
    let app = App::new().wrap(trimmed).configure(|config| dashboard.mount(config, "/in/cache"));
    let app = test::init_service(app.configure(|config| outside.mount(config, "/out"))).await;
    for (path, base) in [("/in/cache", "/in/cache/"), ("/in/cache/", "/in/cache/"), ("/out", "/team/cache/")] {
        let request = test::TestRequest::get().uri(path).to_request();
        let page = test::call_and_read_body(&app, request).await;
        let page = String::from_utf8_lossy(&page).into_owned();
        assert!(page.contains(&format!("href=\"{base}style.css\"")), "{path}");
    }
}

/// Nothing is wider than a phone.
#[actix_web::test]
async fn a_phone_shows_it_without_scrolling_sideways() {
    let service = Service::start(true).await;
    service.lessons(2).await;
    let browser = Browser::open((500, 900), false).await;
    browser.client.goto(&format!("http://operator:{PASSWORD}@{}/cache/", service.address)).await.expect("the page");
    shows(&browser, "#routes", "/lessons/{id}").await;
    let script = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth;";
    assert_eq!(browser.client.execute(script, Vec::new()).await.expect("an answer"), json!(true));
    browser.client.clone().close().await.expect("it closes");
    service.handle.stop(false).await;
}

/// A hundred thousand routes and tags are a page of bounded size.
#[actix_web::test]
async fn p9_a_page_of_a_hundred_thousand_tags_is_bounded() {
    let service = Service::start(true).await;
    let policy = service.cache.policy("5m").expect("a policy");
    // Their entries are few: it is the sets that are many.
    for chunk in 0..800 {
        let tags = (0..125).map(|tag| format!("many:{chunk}:{tag}"));
        let policy = tags.fold(policy.clone(), |policy, tag| policy.tag(&tag).expect("a tag"));
        assert!(service.cache.set(&format!("entry:{chunk}"), &policy, &1_u8).await.expect("it is stored"));
    }
    let bearer = format!("Bearer {PASSWORD}");
    let right = [("authorization", bearer.as_str())];
    until("the tags are told", async || service.ask("GET", "/cache/tags", &right, "").await.status == 200).await;
    let tags = service.ask("GET", "/cache/tags", &right, "").await.body;
    let told: Value = serde_json::from_str(&tags).expect("json");
    assert_eq!((told["tags"].as_array().map(Vec::len), told["some"].as_bool()), (Some(50), Some(true)));
    let condition = service.cache.store().condition().await.expect("a condition");
    assert!(condition.index_sets >= 100_000, "{condition:?}");
    assert!(tags.len() < 10_000);
    let metrics: usize = service.cache.samples().iter().map(|sample| format!("{sample:?}").len()).sum();
    assert!(metrics < 50_000, "{metrics}");
    service.handle.stop(false).await;
}
