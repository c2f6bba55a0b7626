//! The service that is measured: each route beside its floor, which answers the same without the cache.

use std::net::SocketAddr;
use std::sync::OnceLock;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Compress;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, get, web};
use bytes::Bytes;
use cache_middleware::{CacheManager, cached};
use redis::aio::MultiplexedConnection;

/// The bodies of most rows.
pub(crate) const BODY_BYTES: usize = 2_048;

/// What a handler answers with, made once.
pub(crate) fn json(bytes: usize) -> Bytes {
    const HEAD: &str = r#"{"teacher":7,"sessions":["#;
    const SESSION: &str = r#"{"id":4711,"title":"Fractions, part two","starts":"2026-11-28T09:00:00Z","room":"B 12"},"#;
    let mut text = HEAD.to_owned();
    while text.len() + SESSION.len() + 8 < bytes {
        text.push_str(SESSION);
    }
    text.push_str(&format!(r#""{}"]}}"#, "x".repeat(bytes.saturating_sub(text.len() + 4))));
    text.into()
}

/// The bodies of the growth curves.
pub(crate) const SIZES: [usize; 5] = [200, BODY_BYTES, 20 << 10, 200 << 10, 1 << 20];

/// The body of so many bytes, or of as many as most have.
fn body_of(bytes: usize) -> Bytes {
    static BODIES: OnceLock<[Bytes; SIZES.len()]> = OnceLock::new();
    let bodies = BODIES.get_or_init(|| SIZES.map(json));
    bodies[SIZES.iter().position(|size| *size == bytes).unwrap_or(1)].clone()
}

fn body() -> Bytes {
    body_of(BODY_BYTES)
}

/// What handlers answer with.
fn fresh_of(bytes: usize) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(body_of(bytes))
}

fn fresh() -> HttpResponse {
    fresh_of(BODY_BYTES)
}

#[get("/sessions/{id}")]
#[cached(ttl = "1h", tags = ["session:{id}", "sessions"])]
async fn cached_sessions(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    fresh()
}

#[get("/compressed/{id}")]
#[cached(ttl = "1h", tags = ["session:{id}"], compress = ["br"])]
async fn compressed_sessions(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    fresh()
}

#[get("/tags0/{id}")]
#[cached(ttl = "1h", tags = [])]
async fn without_tags(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    fresh()
}

#[get("/tags3/{id}")]
#[cached(ttl = "1h", tags = ["a:{id}", "b", "c"])]
async fn with_three_tags(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    fresh()
}

#[get("/tags10/{id}")]
#[cached(ttl = "1h", tags = ["a:{id}", "b:{id}", "c:{id}", "d:{id}", "e", "f", "g", "h", "i", "j"])]
async fn with_ten_tags(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    fresh()
}

/// A body of so many bytes, and its number.
#[get("/sized/{bytes}/{id}")]
#[cached(ttl = "1h", tags = ["sized"])]
async fn sized(path: web::Path<(usize, u64)>) -> HttpResponse {
    fresh_of(path.0)
}

/// The headers of a hit, which the floors answer with as well.
pub(crate) static HEADERS: OnceLock<Vec<(HeaderName, HeaderValue)>> = OnceLock::new();

pub(crate) fn with_headers(mut response: HttpResponse) -> HttpResponse {
    for (name, value) in HEADERS.get().into_iter().flatten() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

/// The same bytes with the same headers, without a cache.
async fn bare(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    with_headers(HttpResponse::Ok().body(body()))
}

/// The same of so many bytes.
async fn bare_sized(path: web::Path<(usize, u64)>) -> HttpResponse {
    with_headers(HttpResponse::Ok().body(body_of(path.0)))
}

/// A handler that knows its entity tag, and answers 304 by hand.
async fn bare_condition(request: HttpRequest, id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    let own = HEADERS.get().and_then(|headers| headers.iter().find(|(name, _)| name == "etag"));
    let own = own.map(|(_, value)| value);
    if request.headers().get("if-none-match") != own {
        return with_headers(HttpResponse::Ok().body(body()));
    }
    let mut response = with_headers(HttpResponse::NotModified().finish());
    response.headers_mut().remove("content-type");
    response
}

/// One `GET` over the connection of all.
async fn bare_get(path: web::Path<(usize, u64)>, redis: web::Data<MultiplexedConnection>) -> HttpResponse {
    let mut connection = redis.get_ref().clone();
    let key = format!("floor:{}", path.0);
    let found: Bytes = redis::cmd("GET").arg(key).query_async(&mut connection).await.expect("bytes");
    with_headers(HttpResponse::Ok().body(found))
}

/// `GET`, which finds nothing, and `SET` with a lifetime.
async fn bare_miss(path: web::Path<(usize, u64)>, redis: web::Data<MultiplexedConnection>) -> HttpResponse {
    let (mut connection, key) = (redis.get_ref().clone(), format!("missed:{}:{}", path.0, path.1));
    let found: Option<Vec<u8>> = redis::cmd("GET").arg(&key).query_async(&mut connection).await.expect("an answer");
    assert!(found.is_none(), "it is new");
    let made = body_of(path.0);
    let mut set = redis::cmd("SET");
    set.arg(&key).arg(&made[..]).arg("PX").arg(3_600_000);
    set.exec_async(&mut connection).await.expect("it is set");
    with_headers(HttpResponse::Ok().body(made))
}

/// What the service runs on.
#[derive(Clone)]
pub(crate) struct Parts {
    /// A node with an L1.
    pub(crate) near: CacheManager,
    pub(crate) far: Node,
}

/// A node without an L1, and the floor's connection to its Redis.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) cache: CacheManager,
    pub(crate) redis: MultiplexedConnection,
}

/// What a hit is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    Nothing,
    /// `If-None-Match`, and the entity tag that there is.
    Tag,
    /// `Accept-Encoding: br`
    Brotli,
}

/// A route that is hit, beside its floor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HitRoute {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) floor: &'static str,
    pub(crate) with: With,
    /// The least that its requests in a second must be of the floor's.
    pub(crate) least: f64,
}

impl HitRoute {
    /// The headers of a request.
    pub(crate) fn headers<'a>(&self, tag: &'a str) -> Vec<(&'static str, &'a str)> {
        match self.with {
            With::Nothing => Vec::new(),
            With::Tag => vec![("if-none-match", tag)],
            With::Brotli => vec![("accept-encoding", "br")],
        }
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        if self.with == With::Tag { 304 } else { 200 }
    }
}

/// The hit routes.
pub(crate) const HITS: [HitRoute; 5] = [
    HitRoute {
        name: "L1 hit through #[cached]",
        path: "/l1/sessions/7",
        floor: "/floor/sessions/7",
        with: With::Nothing,
        least: 0.95,
    },
    HitRoute {
        name: "L1 hit through cache.response(..)",
        path: "/l1/wrapped/7",
        floor: "/floor/sessions/7",
        with: With::Nothing,
        least: 0.97,
    },
    HitRoute {
        name: "304 from L1 (with if-none-match)",
        path: "/l1/sessions/7",
        floor: "/floor/conditions/7",
        with: With::Tag,
        least: 0.95,
    },
    HitRoute {
        name: "L2 hit",
        path: "/l2/sessions/7",
        floor: "/floor/stored/2048/7",
        with: With::Nothing,
        least: 0.90,
    },
    HitRoute {
        name: "brotli from L1 (with accept-encoding: br)",
        path: "/l1/compressed/7",
        floor: "/floor/compressed/7",
        with: With::Brotli,
        least: 5.0,
    },
];

pub(crate) fn configure(parts: &Parts) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let parts = parts.clone();
    move |config| {
        let near = web::scope("/l1")
            .app_data(parts.near.clone())
            .service(cached_sessions)
            .service(compressed_sessions)
            .service(sized)
            .service(web::resource("/wrapped/{id}").wrap(parts.near.response("1h")).get(
                |id: web::Path<u64>| async move {
                    let _ = id;
                    fresh()
                },
            ))
            .service(
                web::resource("/wrapped-sized/{bytes}/{id}")
                    .wrap(parts.near.response("1h"))
                    .get(|path: web::Path<(usize, u64)>| async move { fresh_of(path.0) }),
            );
        let far = web::scope("/l2")
            .app_data(parts.far.cache.clone())
            .service(cached_sessions)
            .service(sized)
            .service(without_tags)
            .service(with_three_tags)
            .service(with_ten_tags);
        // In a scope as well: the router has as much to do for a floor.
        let floor = web::scope("/floor")
            .route("/sessions/{id}", web::get().to(bare))
            .route("/conditions/{id}", web::get().to(bare_condition))
            .route("/sized/{bytes}/{id}", web::get().to(bare_sized))
            .route("/stored/{bytes}/{id}", web::get().to(bare_get))
            .route("/missed/{bytes}/{id}", web::get().to(bare_miss))
            .service(web::resource("/compressed/{id}").wrap(Compress::default()).get(bare));
        config.app_data(web::Data::new(parts.far.redis.clone())).service(near).service(floor).service(far);
    }
}

/// The service on a port of its own, until it is dropped.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    handle: actix_web::dev::ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Serving {
    /// Starts it with so many workers; several may listen at once.
    pub(crate) fn start(address: &str, workers: usize, parts: &Parts) -> Result<Self, String> {
        let (parts, address) = (parts.clone(), address.to_owned());
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || App::new().configure(configure(&parts)))
                    .workers(workers)
                    .disable_signals()
                    .bind(&address);
                match server {
                    Ok(server) => {
                        let address = server.addrs()[0];
                        let server = server.run();
                        let _ = tell.send(Ok((address, server.handle())));
                        let _ = server.await;
                    }
                    Err(error) => drop(tell.send(Err(format!("{address}: {error}")))),
                }
            });
        });
        let (address, handle) = told.recv().map_err(|error| error.to_string())??;
        Ok(Self { address, handle, thread: Some(thread) })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
