//! One run of a handler per key on a node, whatever becomes of the leader (promise P6), over real sockets and workers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, get, web};
use cache_middleware::store::Store;
use cache_middleware::{CacheManager, cached};
use cache_suite::{Kind, TestStore};
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// What a leader does when its turn comes; who comes after it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leader {
    Answers,
    Fails,
    Panics,
    Hangs,
    AnswersPrivately,
    AnswersBusy,
}

#[derive(Debug)]
struct State {
    leader: Leader,
    runs: AtomicUsize,
    /// Handlers wait here until the test has seen all requests arrive.
    gate: Semaphore,
}

#[get("/slow")]
#[cached(ttl = "5m", tags = ["slow"])]
async fn slow(state: web::Data<State>) -> Result<HttpResponse, actix_web::Error> {
    let run = state.runs.fetch_add(1, Ordering::SeqCst) + 1;
    let first = run == 1;
    if !(first && state.leader == Leader::Hangs) {
        state.gate.acquire().await.expect("the gate").forget();
    }
    match state.leader {
        Leader::Fails if first => Err(actix_web::error::ErrorServiceUnavailable("not now")),
        Leader::AnswersBusy if first => Ok(HttpResponse::ServiceUnavailable().finish()),
        Leader::Panics if first => panic!("as the test wants it"),
        Leader::Hangs if first => std::future::pending().await,
        Leader::AnswersPrivately => {
            Ok(HttpResponse::Ok().insert_header(("cache-control", "private")).body(format!("run {run}")))
        }
        _ => Ok(HttpResponse::Ok().body(format!("run {run}"))),
    }
}

struct Service {
    address: SocketAddr,
    state: web::Data<State>,
    handle: actix_web::dev::ServerHandle,
    _store: TestStore,
}

async fn serve(kind: Kind, leader: Leader) -> Service {
    let test = TestStore::open(kind).await;
    let store: Arc<dyn Store> = test.store.clone();
    let cache = CacheManager::builder()
        .shared_store(store)
        .flight_patience(Duration::from_secs(2))
        .without_annotation_checks()
        .build()
        .await
        .expect("a manager");
    let state = web::Data::new(State { leader, runs: AtomicUsize::new(0), gate: Semaphore::new(0) });
    let data = state.clone();
    let server = HttpServer::new(move || App::new().app_data(cache.clone()).app_data(data.clone()).service(slow))
        .workers(4)
        .backlog(4096)
        .bind("127.0.0.1:0")
        .expect("a port");
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Service { address, state, handle, _store: test }
}

impl Service {
    fn request(&self) -> impl Future<Output = cache_suite::Response> + 'static {
        let address = self.address;
        async move { cache_suite::get(address, "/slow").await }
    }

    fn runs(&self) -> usize {
        self.state.runs.load(Ordering::SeqCst)
    }

    async fn until_runs(&self, runs: usize) {
        while self.runs() < runs {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Fails with 1,000 runs when `join` always leads.
#[actix_web::test]
async fn p6_a_thousand_misses_run_the_handler_once() {
    for kind in [Kind::Memory, Kind::Redis] {
        let service = serve(kind, Leader::Answers).await;
        let requests = join_all((0..1_000).map(|_| service.request()));
        let open = async {
            service.until_runs(1).await;
            // Most of the thousand are on their way while the one handler waits.
            tokio::time::sleep(Duration::from_millis(300)).await;
            // Enough for everyone, so that too many runs fail the test and do not hang it.
            service.state.gate.add_permits(1_000);
        };
        let (responses, ()) = tokio::join!(requests, open);
        assert!(responses.iter().all(|response| response.body == "run 1"), "{kind:?}");
        assert_eq!(service.runs(), 1, "{kind:?}");
        let collapsed = responses.iter().filter(|response| response.cache() == "fwd=uri-miss; collapsed").count();
        assert!(collapsed > 100, "{collapsed} were collapsed");
        service.handle.stop(false).await;
    }
}

async fn hands_on(leader: Leader, most_runs: usize) {
    for kind in [Kind::Memory, Kind::Redis] {
        let service = serve(kind, leader).await;
        // The leader's own client may see an aborted connection.
        let first = actix_web::rt::spawn(service.request());
        service.until_runs(1).await;
        let followers = join_all((0..20).map(|_| service.request()));
        let open = async {
            // All have joined the flight of the next leader, which is only there when they have lost patience with the first.
            let joined = if leader == Leader::Hangs { 2_400 } else { 100 };
            tokio::time::sleep(Duration::from_millis(joined)).await;
            service.state.gate.add_permits(100);
        };
        let began = Instant::now();
        let (responses, ()) = tokio::time::timeout(Duration::from_secs(8), async { tokio::join!(followers, open) })
            .await
            .expect("nobody hangs");
        assert!(responses.iter().all(|response| response.status == 200), "{kind:?}: {responses:?}");
        assert!(service.runs() <= most_runs, "{kind:?}: {} runs", service.runs());
        let patience_ran_out = began.elapsed() > Duration::from_millis(1_500);
        assert_eq!(patience_ran_out, leader == Leader::Hangs, "{kind:?}: {:?}", began.elapsed());
        first.abort();
        service.handle.stop(false).await;
    }
}

/// The next leads, and the others have its response. Each of these hangs, or runs 21 handlers, when `Drop` of the right
/// to lead does not hand on.
#[actix_web::test]
async fn p6_a_leader_that_fails_hands_on() {
    hands_on(Leader::Fails, 2).await;
}

#[actix_web::test]
async fn p6_a_leader_that_answers_5xx_hands_on() {
    hands_on(Leader::AnswersBusy, 2).await;
}

#[actix_web::test]
async fn p6_a_leader_that_panics_hands_on() {
    hands_on(Leader::Panics, 2).await;
}

#[actix_web::test]
async fn p6_a_leader_that_takes_too_long_hands_on() {
    hands_on(Leader::Hangs, 2).await;
}

/// What must not be shared is not: everyone runs the handler, and at once.
#[actix_web::test]
async fn p7_a_response_that_is_not_stored_is_not_shared() {
    for kind in [Kind::Memory, Kind::Redis] {
        let service = serve(kind, Leader::AnswersPrivately).await;
        service.state.gate.add_permits(100);
        let responses = join_all((0..20).map(|_| service.request())).await;
        let bodies: std::collections::HashSet<&str> = responses.iter().map(|response| response.body.as_str()).collect();
        assert_eq!(bodies.len(), 20, "{kind:?}: everyone has a run of their own");
        assert!(responses.iter().all(|response| response.cache() == "fwd=uri-miss; detail=private"), "{responses:?}");
        service.handle.stop(false).await;
    }
}

/// The server drops the future of a client that went away, and with it the right to lead. (A client that only closes
/// its half of an HTTP/1.1 connection may still be reading: for that one the patience of the followers is the bound.)
#[actix_web::test]
async fn p6_a_leader_whose_client_hangs_up_hands_on() {
    for kind in [Kind::Memory, Kind::Redis] {
        let service = serve(kind, Leader::Hangs).await;
        let mut first = TcpStream::connect(service.address).await.expect("a connection");
        first.write_all(b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("a request that is taken");
        service.until_runs(1).await;
        let follower = actix_web::rt::spawn(service.request());
        tokio::time::sleep(Duration::from_millis(50)).await;
        // No linger: the connection is reset.
        first.set_zero_linger().expect("a socket option");
        let began = Instant::now();
        drop(first);
        service.state.gate.add_permits(1);
        let response = follower.await.expect("no panic");
        assert_eq!((response.status, response.body.as_str()), (200, "run 2"), "{kind:?}");
        assert!(began.elapsed() < Duration::from_millis(1_500), "{kind:?}: the follower ran out of patience instead");
        service.handle.stop(false).await;
    }
}

/// A run that hangs, of a request that was answered by its hard timeout long ago, keeps its key from nobody for longer than
/// anybody waits: on the same node, and on another. Fails when the lock across nodes is renewed as long as it runs.
#[actix_web::test]
async fn p8_a_run_that_hangs_does_not_block_its_key() {
    let server = cache_suite::RedisServer::start();
    let runs = Arc::new(AtomicUsize::new(0));
    let mut apps = Vec::new();
    for _ in 0..2 {
        let store = cache_suite::redis_at(server.url()).connect().await.expect("a store");
        let builder = CacheManager::builder().store(store).l1_bytes(0).flight_patience(Duration::from_millis(500));
        let cache = builder.without_annotation_checks().build().await.expect("a manager");
        let runs = runs.clone();
        let handler = move || {
            let hangs = runs.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                HttpResponse::Ok().body("well")
            }
        };
        let resource =
            web::resource("/x").wrap(cache.response("5m").hard_timeout("100ms")).route(web::get().to(handler));
        apps.push(actix_web::test::init_service(App::new().service(resource)).await);
    }
    let get = async |node: usize| {
        let request = actix_web::test::TestRequest::get().uri("/x").to_request();
        actix_web::test::call_service(&apps[node], request).await.status().as_u16()
    };
    assert_eq!(get(0).await, 504);
    let began = Instant::now();
    for node in [1, 0] {
        while get(node).await != 200 {
            assert!(began.elapsed() < Duration::from_secs(5), "node {node} is not answered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
