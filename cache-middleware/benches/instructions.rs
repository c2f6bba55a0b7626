//! Counts the instructions of the ways through the cache, in process, with valgrind: unlike times, they are the same each time.
//!
//! ```sh
//! cargo bench -p cache-middleware --bench instructions             # the table
//! cargo bench -p cache-middleware --bench instructions -- --check  # fails if one is slower than benches/instructions.txt says
//! cargo bench -p cache-middleware --bench instructions -- --write  # says so anew
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::{Child, Command, ExitCode, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::{App, Error, HttpResponse, get, test, web};
use bytes::Bytes;
use cache_middleware::key::{Key, KeySpace, KeyWriter};
use cache_middleware::store::{MemoryStore, RedisStore};
use cache_middleware::{CacheManager, Coherence, cached};

/// How much more than the committed count another processor or compiler may explain: the C library copies memory in other ways.
const TOLERANCE: f64 = 0.10;

/// Where the hits in L1 have their store.
const REDIS: &str = "INSTRUCTIONS_REDIS";

/// What is counted, and what of it is its floor.
const PATHS: [(&str, &str); 7] = [
    ("an L1 hit through #[cached]", "bare"),
    ("an L1 hit through cache.response(..)", "bare"),
    ("a 304 from L1", "bare"),
    ("a hit in the embedded store", "bare"),
    ("a hit in Redis", "bare"),
    ("a miss and its fill, three tags", "bare"),
    ("building a key", ""),
];

const BODY: Bytes = Bytes::from_static(&[b'x'; 2_048]);

#[get("/sessions/{id}")]
#[cached(ttl = "1h", tags = ["session:{id}", "sessions", "school:7"])]
async fn sessions(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    HttpResponse::Ok().content_type("application/json").body(BODY)
}

/// The same, without a cache, and with as many headers.
async fn bare(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    for line in
        [("age", "0"), ("cache-control", "no-cache"), ("etag", "\"x\""), ("cache-status", "cache-middleware; hit")]
    {
        response.insert_header(line);
    }
    response.body(BODY)
}

async fn ask<B>(
    app: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    path: &str,
    headers: &[(&str, &str)],
) -> ServiceResponse<B> {
    let mut request = test::TestRequest::get().uri(path).insert_header(("host", "localhost:8080"));
    for header in headers {
        request = request.insert_header(*header);
    }
    app.call(request.to_request()).await.expect("a response")
}

fn is_near<B>(response: &ServiceResponse<B>) -> bool {
    response.headers().get("cache-status").is_some_and(|said| said.as_bytes().ends_with(b"detail=l1"))
}

/// Goes a way so many times.
async fn go(path: &str, times: u64) {
    let builder = CacheManager::builder().without_annotation_checks();
    let builder = match std::env::var(REDIS) {
        Ok(url) if path.contains("L1") => {
            let store = RedisStore::builder(url).connect().await.expect("a store");
            // Nothing else runs meanwhile, the proofs that nothing was missed included: this is the longest without one.
            builder.store(store).coherence(Coherence::Bounded(Duration::from_secs(10)))
        }
        Ok(url) if path.contains("Redis") => {
            builder.store(RedisStore::builder(url).connect().await.expect("a store")).l1_bytes(0)
        }
        _ => builder.store(MemoryStore::default()),
    };
    let cache = builder.build().await.expect("a manager");
    let wrapped = web::resource("/wrapped/{id}")
        .wrap(cache.response("1h"))
        .get(async || HttpResponse::Ok().content_type("application/json").body(BODY));
    let app = App::new().app_data(cache).service(sessions).service(wrapped).route("/bare/{id}", web::get().to(bare));
    let app = test::init_service(app).await;
    let first = ask(&app, "/sessions/7", &[]).await;
    let tag = first.headers().get("etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
    for warmed in ["/sessions/7", "/wrapped/7"] {
        ask(&app, warmed, &[]).await;
        // The first look finds it in the store, and holds it, once it is proven that nothing is missed.
        for _ in 0..2_000 {
            if is_near(&ask(&app, warmed, &[]).await) == path.contains("L1") {
                break;
            }
            actix_web::rt::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(is_near(&ask(&app, warmed, &[]).await), path.contains("L1"), "where {path} is answered from");
    }
    let mut walk = pin!(async {
        for number in 0..times {
            match path {
                "an L1 hit through cache.response(..)" => drop(ask(&app, "/wrapped/7", &[]).await),
                "a 304 from L1" => {
                    assert_eq!(ask(&app, "/sessions/7", &[("if-none-match", &tag)]).await.status(), 304);
                }
                "a miss and its fill, three tags" => {
                    drop(ask(&app, &format!("/sessions/{}", number + 1_000), &[]).await);
                }
                "building a key" => {
                    let mut text = KeyWriter::new();
                    for field in ["demo::sessions", "http", "localhost", "/api/v1/sessions?page=2", "7"] {
                        text.field(field);
                    }
                    std::hint::black_box(Key::new(None, KeySpace::Request, None, &text.finish()));
                }
                "bare" => drop(ask(&app, "/bare/7", &[]).await),
                _ => drop(ask(&app, "/sessions/7", &[]).await),
            }
        }
    });
    poll_fn(|cx| poll_counted(walk.as_mut(), cx)).await;
}

/// What valgrind counts: what happens in here, and nothing that a node does by itself.
#[inline(never)]
fn poll_counted(walk: Pin<&mut dyn Future<Output = ()>>, cx: &mut Context<'_>) -> Poll<()> {
    walk.poll(cx)
}

/// A Redis for as long as this is counted.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Result<Self, String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server: {error}. ./tests/run installs it"))?;
        let server = Self { child, url: format!("redis://{address}") };
        for _ in 0..200 {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("redis-server does not listen".to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Instructions of going a way once.
fn count(path: &str, redis: &str) -> Result<u64, String> {
    const TIMES: u64 = 1_000;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let out = std::env::temp_dir().join(format!("callgrind-{}", std::process::id()));
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--toggle-collect=*poll_counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["--go", path, &TIMES.to_string()])
        .env(REDIS, redis)
        .output()
        .map_err(|error| format!("valgrind: {error}. ./tests/run installs it"))?;
    let text = std::fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let _ = std::fs::remove_file(&out);
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
    }
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total = line.and_then(|total| total.trim().parse::<u64>().ok()).filter(|total| *total > TIMES);
    Ok(total.ok_or_else(|| "valgrind has counted nothing".to_owned())? / TIMES)
}

fn baseline() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

/// What was committed.
fn committed() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(baseline()).unwrap_or_default();
    let line = |line: &str| {
        let (count, path) = line.trim().split_once(' ')?;
        Some((path.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What is done with the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Show,
    Check,
    Write,
}

/// Whether none is slower than was committed, if that is asked for.
fn table(then: Then) -> Result<bool, String> {
    let checks = then == Then::Check;
    let (committed, mut written, mut is_kept) = (committed(), String::new(), true);
    let server = Server::start()?;
    let bare = count("bare", &server.url)?;
    println!("| way | instructions | more than the bare handler | committed |");
    println!("| --- | ---: | ---: | ---: |");
    println!("| the bare handler | {bare} | 0 | |");
    for (path, floor) in PATHS {
        let count = count(path, &server.url)?;
        let more = if floor.is_empty() { count } else { count.saturating_sub(bare) };
        let before = committed.get(path).copied();
        println!("| {path} | {count} | {more} | {} |", before.map(|before| before.to_string()).unwrap_or_default());
        let _ = writeln!(written, "{more} {path}");
        #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
        let is_more = before.is_none_or(|before| more as f64 > before as f64 * (1.0 + TOLERANCE));
        if is_more && checks {
            is_kept = false;
            let before = before.map_or("none".to_owned(), |before| before.to_string());
            eprintln!("{path}: {more} instructions, and {before} are committed in benches/instructions.txt");
        }
    }
    if then == Then::Write {
        std::fs::write(baseline(), written).map_err(|error| error.to_string())?;
    }
    Ok(is_kept)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    let told = match words[..] {
        ["--go", path, times] => {
            let times = times.parse().expect("a number");
            actix_web::rt::System::new().block_on(go(path, times));
            return ExitCode::SUCCESS;
        }
        ["--write"] => table(Then::Write),
        ["--check"] => table(Then::Check),
        [] => table(Then::Show),
        _ => Err("it takes --check or --write, or nothing".to_owned()),
    };
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("slower than before by more than {:.0} %; if that is worth it: --write", 100.0 * TOLERANCE);
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
