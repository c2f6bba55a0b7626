//! Writes whose clients go away, over real sockets.

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, post, test, web};
use cache_middleware::{CacheManager, Coherence, ReadYourWrites, invalidates};
use cache_suite::{Kind, Proxy, RedisServer, TestStore, Weather, redis_at};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

#[derive(Debug)]
struct Gates {
    written: Semaphore,
    go_on: Semaphore,
}

async fn write(gates: web::Data<Gates>) -> HttpResponse {
    // The write has happened; its answer has not.
    gates.written.add_permits(1);
    gates.go_on.acquire().await.expect("the gate").forget();
    HttpResponse::NoContent().finish()
}

#[post("/attribute")]
#[invalidates(tags = ["written"])]
async fn by_attribute(gates: web::Data<Gates>) -> HttpResponse {
    write(gates).await
}

/// Fails when the write runs in the future that the server drops with its client (`rt::spawn` in `http/write/invalidate.rs` and
/// `http/invalidate_cache.rs`).
#[actix_web::test]
async fn p5_a_write_whose_client_hangs_up_still_clears() {
    for (kind, path) in Kind::ALL.into_iter().flat_map(|kind| [(kind, "/attribute"), (kind, "/middleware")]) {
        let opened = TestStore::open(kind).await;
        let cache = CacheManager::builder()
            .shared_store(opened.store.clone())
            .on("written", ["written"])
            .without_annotation_checks()
            .build()
            .await
            .expect("a manager");
        let gates = web::Data::new(Gates { written: Semaphore::new(0), go_on: Semaphore::new(0) });
        let policy = cache.policy("5m").and_then(|policy| policy.tag("written")).expect("a policy");
        cache.set("k", &policy, &1).await.expect("a set");

        let (data, manager) = (gates.clone(), cache.clone());
        let server =
            HttpServer::new(move || {
                App::new().app_data(manager.clone()).app_data(data.clone()).service(by_attribute).service(
                    web::resource("/middleware").wrap(manager.invalidates("written")).route(web::post().to(write)),
                )
            })
            .workers(1)
            .bind("127.0.0.1:0")
            .expect("a port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);

        let mut client = TcpStream::connect(address).await.expect("a connection");
        let request = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
        client.write_all(request.as_bytes()).await.expect("a request that is taken");
        gates.written.acquire().await.expect("the write").forget();
        client.set_zero_linger().expect("a socket option");
        drop(client);
        // The server learns of the reset and drops what belongs to the connection.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(cache.get::<u32>("k").await, Some(1));
        gates.go_on.add_permits(1);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while cache.get::<u32>("k").await.is_some() {
            assert!(std::time::Instant::now() < deadline, "{kind:?}, {path}: the clear is lost");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        handle.stop(false).await;
    }
}

#[actix_web::get("/value")]
#[cache_middleware::cached(ttl = "5m", tags = ["written"])]
async fn value(version: web::Data<std::sync::atomic::AtomicU64>) -> String {
    version.load(std::sync::atomic::Ordering::SeqCst).to_string()
}

#[post("/value")]
#[invalidates(tags = ["written"])]
async fn set_value(version: web::Data<std::sync::atomic::AtomicU64>) -> HttpResponse {
    version.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    HttpResponse::NoContent().finish()
}

/// A caller writes on one node and reads on another, whose signals are late. Fails when the token is not written, not read, or
/// not asked for before the memory (`CacheManager::near`); and, with a cookie, when the token counts as a credential.
#[actix_web::test]
async fn p1_callers_read_their_own_writes_on_any_node() {
    for carried in [ReadYourWrites::header("x-cache-token"), ReadYourWrites::cookie("cache_token")] {
        let by_cookie = carried == ReadYourWrites::cookie("cache_token");
        let server = RedisServer::start();
        let version = web::Data::new(std::sync::atomic::AtomicU64::new(1));
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let proxy = Proxy::before(server.port()).await;
            let cache = CacheManager::builder()
                .store(redis_at(proxy.url()).connect().await.expect("a store"))
                .coherence(Coherence::Bounded(Duration::from_secs(5)))
                .read_your_writes(carried.clone())
                .without_annotation_checks()
                .build()
                .await
                .expect("a manager");
            let app = App::new().app_data(cache.clone()).app_data(version.clone()).service(value).service(set_value);
            nodes.push((test::init_service(app).await, cache, proxy));
        }
        let [(writer, ..), (reader, cache, proxy)] = &nodes[..] else { panic!("two nodes") };
        let mut token: Option<(&str, String)> = None;
        for round in 1..10 {
            // The reader holds it.
            let hits = || cache.coherence().expect("an L1").l1_hits;
            let before = hits();
            while hits() == before {
                let response = test::call_service(reader, test::TestRequest::get().uri("/value").to_request()).await;
                assert_eq!(test::read_body(response).await, round.to_string());
            }
            proxy.weather_back(Weather::Slow(Duration::from_millis(30)));
            let mut request = test::TestRequest::post().uri("/value");
            if let Some(token) = &token {
                request = request.insert_header((token.0, token.1.clone()));
            }
            let response = test::call_service(writer, request.to_request()).await;
            let text = |name: &str| response.headers().get(name).expect("a token").to_str().expect("a text").to_owned();
            let shown = if by_cookie {
                let line = text("set-cookie");
                assert!(line.ends_with("Max-Age=7; Path=/; HttpOnly; SameSite=Lax"), "{line}");
                ("cookie", line.split(';').next().expect("a cookie").to_owned())
            } else {
                ("x-cache-token", text("x-cache-token"))
            };
            let request = test::TestRequest::get().uri("/value").insert_header((shown.0, shown.1.clone()));
            let response = test::call_service(reader, request.to_request()).await;
            let status = response.headers().get("cache-status").expect("a status").to_str().expect("a text").to_owned();
            assert!(status.ends_with("stored"), "{status}");
            assert_eq!(test::read_body(response).await, (round + 1).to_string());
            proxy.weather_back(Weather::Fair);
            token = Some(shown);
        }
        // What is no token is as good as none.
        let request = test::TestRequest::get().uri("/value").insert_header(("x-cache-token", "'; DROP TABLE"));
        assert_eq!(test::call_service(reader, request.to_request()).await.status(), 200);
    }
}

/// An event that lacks what its rule names clears everything, and its caller is told the clock of that as of any other clear.
#[actix_web::test]
async fn p1_a_wrong_event_has_a_token_too() {
    let server = RedisServer::start();
    let cache = CacheManager::builder()
        .store(redis_at(server.url()).connect().await.expect("a store"))
        .on("painted", ["colour:{colour}"])
        .read_your_writes(ReadYourWrites::header("x-cache-token"))
        .without_annotation_checks()
        .build()
        .await
        .expect("a manager");
    let resource =
        web::resource("/x").wrap(cache.invalidates("painted")).route(web::post().to(HttpResponse::NoContent));
    let app = test::init_service(App::new().service(resource)).await;
    let response = test::call_service(&app, test::TestRequest::post().uri("/x").to_request()).await;
    assert_eq!(response.status(), 204);
    assert!(response.headers().contains_key("x-cache-token"), "{:?}", response.headers());
    assert_eq!(cache.recent_clears(0).len(), 1);
}
