//! Writes whose clears survive the process that was to do them, and clears that settle (promise P5).

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, post, test, web};
use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::Store;
use cache_middleware::{CacheManager, InvalidateCache, cached, invalidates};
use cache_suite::{Kind, RedisServer, TestStore, redis_at};
use tokio::io::{AsyncBufReadExt, BufReader};

async fn over(store: Arc<dyn Store>) -> CacheManager {
    let builder = CacheManager::builder().shared_store(store).without_annotation_checks();
    builder.on("room.updated", ["room:{id}"]).settle("room.updated", "1s").build().await.expect("a manager")
}

async fn ask(cache: &CacheManager, key: &str, tag: &str, fresh: u64) -> u64 {
    let policy = cache.policy("5m").expect("a TTL").tag(tag).expect("a tag");
    cache.get_or_set(key, &policy, async || Ok::<_, std::io::Error>(fresh)).await.expect("an answer")
}

/// How many intents are recorded.
fn recorded(server: &RedisServer) -> u64 {
    redis::cmd("ZCARD").arg("{cache:v3:0}:a").query(&mut server.connection()).expect("a number")
}

async fn until_recorded(server: &RedisServer, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while recorded(server) != count {
        assert!(Instant::now() < deadline, "{} intents instead of {count}", recorded(server));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[post("/rooms/{id}/{status}")]
#[invalidates(tags = ["room:{path.0}"], durable)]
async fn update(path: web::Path<(u64, u16)>) -> HttpResponse {
    match path.1 {
        // Its database has committed; whoever waits for this line kills the process.
        0 => {
            println!("committed");
            std::future::pending().await
        }
        status => HttpResponse::build(actix_web::http::StatusCode::from_u16(status).expect("a status")).finish(),
    }
}

#[post("/must/{id}")]
#[invalidates(tags = ["room:{id}"], durable, on_clear_failure = "error")]
async fn must(id: web::Path<u64>) -> HttpResponse {
    HttpResponse::Ok().body(id.to_string())
}

/// A process is killed between the commit of its database and its clear; another node clears for it. Fails when the intent
/// is not recorded before the handler runs, or when nobody looks for what is overdue.
#[tokio::test]
async fn p5_the_clear_of_a_process_that_is_killed_happens() {
    let server = RedisServer::start();
    let other = over(Arc::new(redis_at(server.url()).connect().await.expect("a store"))).await;
    assert_eq!((ask(&other, "a", "room:7", 1).await, ask(&other, "a", "room:7", 2).await), (1, 1));
    let mut command = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "durable::writes_and_waits_to_be_killed", "--include-ignored", "--nocapture"]);
    command.env("DURABLE_REDIS", server.url()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("a process");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    while !lines.next_line().await.expect("a line").expect("it says that it has committed").contains("committed") {}
    child.kill().await.expect("it is killed");
    let began = Instant::now();
    assert_eq!(ask(&other, "a", "room:7", 3).await, 1, "nobody has cleared it yet");
    while ask(&other, "a", "room:7", 4).await == 1 {
        assert!(began.elapsed() < Duration::from_secs(8), "5 s, and what it takes to notice");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(2), "it is not carried out while its writer may live");
    // It may only have been slow: it is cleared again, later.
    assert_eq!(recorded(&server), 1);
}

/// Not a test: the process of the one above.
#[actix_web::test]
#[ignore = "it is started by another test"]
async fn writes_and_waits_to_be_killed() {
    let Ok(url) = std::env::var("DURABLE_REDIS") else { return };
    let cache = over(Arc::new(redis_at(url).connect().await.expect("a store"))).await;
    let app = test::init_service(App::new().app_data(cache).service(update)).await;
    test::call_service(&app, test::TestRequest::post().uri("/rooms/7/0").to_request()).await;
}

/// What was recorded is forgotten once it is done or there is nothing to do, and carried out where nobody knows.
#[actix_web::test]
async fn p5_an_intent_ends_with_its_write() {
    let server = RedisServer::start();
    let cache = over(Arc::new(redis_at(server.url()).connect().await.expect("a store"))).await;
    let app = test::init_service(App::new().app_data(cache.clone()).service(update)).await;
    let send = async |path: &str| {
        let request = test::TestRequest::post().uri(path).to_request();
        test::call_service(&app, request).await.status().as_u16()
    };
    assert_eq!(ask(&cache, "a", "room:1", 1).await, 1);
    for (status, left) in [(200, 0), (404, 0)] {
        assert_eq!(send(&format!("/rooms/1/{status}")).await, status);
        until_recorded(&server, left).await;
    }
    assert_eq!(ask(&cache, "a", "room:1", 2).await, 2, "the success has cleared it");
    // A failure may have written or not: it clears at once.
    assert_eq!(send("/rooms/1/500").await, 500);
    assert_eq!(ask(&cache, "a", "room:1", 3).await, 3);
    until_recorded(&server, 0).await;
}

/// Redis is away: the write goes on, unless the service says that it must not.
#[actix_web::test]
async fn p8_a_write_that_cannot_be_recorded_goes_on_unless_it_must_not() {
    let test = TestStore::open(Kind::Redis).await;
    let store = ChaosStore::before_shared(test.store.clone());
    let cache = over(store.clone()).await;
    let app = test::init_service(App::new().app_data(cache).service(update).service(must)).await;
    let send = async |path: &str| {
        let request = test::TestRequest::post().uri(path).to_request();
        let response = test::call_service(&app, request).await;
        let status = response.status().as_u16();
        (status, String::from_utf8_lossy(&test::read_body(response).await).into_owned())
    };
    assert_eq!(send("/must/1").await, (200, "1".to_owned()));
    store.inject(Operation::Intend, Fault::Error);
    assert_eq!(send("/rooms/1/200").await.0, 200);
    let (status, body) = send("/must/1").await;
    assert_eq!(status, 503);
    assert!(body.starts_with("nothing was written"), "{body}");
}

/// A handler that takes longer than an intent is due is heard of all the while. Fails when nobody renews it.
#[actix_web::test]
async fn p5_a_slow_writer_is_heard_of() {
    let server = RedisServer::start();
    let cache = over(Arc::new(redis_at(server.url()).connect().await.expect("a store"))).await;
    let app = test::init_service(App::new().app_data(cache.clone()).service(update)).await;
    ask(&cache, "a", "room:7", 1).await;
    let request = test::TestRequest::post().uri("/rooms/7/0").to_request();
    // Dropping the call leaves the handler running, as for a client that hangs up.
    let _ = tokio::time::timeout(Duration::from_millis(7_500), test::call_service(&app, request)).await;
    assert_eq!(recorded(&server), 1);
    assert_eq!(ask(&cache, "a", "room:7", 2).await, 1, "it is not carried out");
}

#[post("/settled/{id}")]
#[invalidates(tags = ["room:{id}"], settle = "1s")]
async fn settled(id: web::Path<u64>) -> HttpResponse {
    HttpResponse::Ok().body(id.to_string())
}

#[actix_web::get("/read/{id}")]
#[cached(ttl = "5m", tags = ["room:{id}"])]
async fn read(id: web::Path<u64>) -> String {
    id.to_string()
}

/// What is read from a replica right after a write may be what was before: it is given, and not stored.
#[actix_web::test]
async fn p1_while_a_clear_settles_answers_are_given_but_not_stored() {
    for kind in Kind::ALL {
        let opened = TestStore::open(kind).await;
        let cache = over(opened.store.clone()).await;
        let wrapped = |middleware: InvalidateCache| {
            web::resource("/wrapped").wrap(middleware).route(web::post().to(HttpResponse::Ok))
        };
        let middleware = cache.invalidates("room.updated").payload(|_, _| vec![("id", "2".to_owned())]).settle("1s");
        let app = App::new().app_data(cache.clone()).service(settled).service(read).service(wrapped(middleware));
        let app = test::init_service(app).await;
        let send = async |method: actix_web::http::Method, path: &str| {
            let request = test::TestRequest::default().method(method).uri(path).to_request();
            let response = test::call_service(&app, request).await;
            let status = response.headers().get("cache-status").map(|line| line.to_str().expect("a text").to_owned());
            status.unwrap_or_default().trim_start_matches("cache-middleware; ").to_owned()
        };
        let (get, post) = (actix_web::http::Method::GET, actix_web::http::Method::POST);
        let ways = [(1, "attribute"), (2, "middleware"), (3, "event"), (4, "handle")];
        for (room, how) in ways {
            match how {
                "attribute" => drop(send(post.clone(), "/settled/1").await),
                "middleware" => drop(send(post.clone(), "/wrapped").await),
                "event" => {
                    let event = cache_middleware::Event::new("room.updated").with("id", room);
                    cache.events().publish(event).await.expect("a clear");
                }
                _ => drop(cache.settling(Duration::from_secs(1)).clear_tag("room:4").await.expect("a clear")),
            }
            let path = format!("/read/{room}");
            assert_eq!(send(get.clone(), &path).await, "fwd=uri-miss; detail=settling", "{kind:?}, {how}");
            let other = send(get.clone(), "/read/9").await;
            assert!(other.ends_with("stored") || other.starts_with("hit"), "{kind:?}, {how}: {other}");
        }
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        for (room, how) in ways {
            let path = format!("/read/{room}");
            assert_eq!(send(get.clone(), &path).await, "fwd=uri-miss; stored", "{kind:?}, {how}");
            assert!(send(get.clone(), &path).await.starts_with("hit"), "{kind:?}, {how}");
        }
    }
}
