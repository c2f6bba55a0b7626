//! Windows, refreshes, time limits and back-off, for handlers, middlewares and values, on the injected clock.

mod adaptive;
mod attacks;
mod limits;
mod negative;
mod refreshes;
mod stale;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::{Error, HttpRequest, HttpResponse, test, web};
use cache_middleware::CacheManager;
use cache_middleware::store::MemoryStore;
use cache_middleware::time::ManualTime;
use tokio::sync::Semaphore;

/// What handlers do, and what was seen of them.
#[derive(Debug)]
struct World {
    time: ManualTime,
    cache: CacheManager,
    runs: AtomicUsize,
    /// Handlers that were let out of the gate.
    done: AtomicUsize,
    status: std::sync::Mutex<(u16, &'static str)>,
    /// Handlers wait here.
    gate: Semaphore,
    /// The names of the headers that the last run saw.
    seen: std::sync::Mutex<Vec<String>>,
}

impl World {
    async fn new() -> Arc<Self> {
        let time = ManualTime::default();
        // An entry is never as old as the clock's beginning.
        time.advance(Duration::from_secs(1_000));
        let store = MemoryStore::builder().time(time.clone()).build();
        let cache = CacheManager::builder().store(store).without_annotation_checks().build().await.expect("a manager");
        Arc::new(Self {
            time,
            cache,
            runs: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            status: std::sync::Mutex::new((200, "")),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            seen: std::sync::Mutex::default(),
        })
    }

    fn answers(&self, status: u16, cache_control: &'static str) {
        *self.status.lock().expect("a lock") = (status, cache_control);
    }

    fn close(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS - self.gate.available_permits());
    }

    fn after(&self, seconds: u64) {
        self.time.advance(Duration::from_secs(seconds));
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("a lock").clone()
    }

    /// Waits until so many runs have begun.
    async fn until_runs(&self, runs: usize) {
        until(|| self.runs() >= runs).await;
    }

    /// Waits until so many runs have ended, and what was to be made of them has been.
    async fn until_done(&self, done: usize) {
        until(|| self.done.load(Ordering::SeqCst) >= done).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// What every handler here does: `Ok` tells its number; `Err` is an error with the status.
    async fn run(&self) -> Result<(usize, &'static str), StatusCode> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        let _permit = self.gate.acquire().await.expect("the gate");
        self.done.fetch_add(1, Ordering::SeqCst);
        let (status, cache_control) = *self.status.lock().expect("a lock");
        if status == 200 { Ok((run, cache_control)) } else { Err(StatusCode::from_u16(status).expect("a status")) }
    }
}

/// Waits for what other tasks bring about.
async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it comes about");
}

/// A handler for middlewares.
async fn page(world: web::Data<Arc<World>>, request: HttpRequest) -> Result<HttpResponse, Error> {
    *world.seen.lock().expect("a lock") = request.headers().keys().map(ToString::to_string).collect();
    respond(&world).await
}

async fn respond(world: &World) -> Result<HttpResponse, Error> {
    match world.run().await {
        Ok((run, "")) => Ok(HttpResponse::Ok().body(format!("run {run}"))),
        Ok((run, cache_control)) => {
            Ok(HttpResponse::Ok().insert_header(("cache-control", cache_control)).body(format!("run {run}")))
        }
        Err(status) => Err(actix_web::error::InternalError::new("as the test wants it", status).into()),
    }
}

/// Status, body and what the cache did.
async fn ask<S, B>(app: &S, path: &str, headers: &[(&str, &str)]) -> (u16, String, String)
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let mut request = test::TestRequest::get().uri(path);
    for header in headers {
        request = request.insert_header(*header);
    }
    let response = test::call_service(app, request.to_request()).await;
    let status = response.headers().get("cache-status").and_then(|line| line.to_str().ok()).unwrap_or_default();
    let outcome = status.trim_start_matches("cache-middleware; ").to_owned();
    let code = response.status().as_u16();
    let body = test::read_body(response).await;
    (code, String::from_utf8_lossy(&body).into_owned(), outcome)
}

/// An app on a world, with the handlers and middlewares that a test names.
macro_rules! app {
    ($world:expr, $($service:expr),+) => {
        actix_web::test::init_service(
            actix_web::App::new()
                .app_data(actix_web::web::Data::new($world.clone()))
                .app_data($world.cache.clone())
                $(.service($service))+
        )
        .await
    };
}
pub(crate) use app;
