//! What a service sees of each fault of Redis, measured beside the same handler without a cache, and the table of it in
//! `docs/failure-modes.md` (promise P8). `UPDATE_DOCS=1 cargo test -p cache-suite --test alone failure_modes` writes it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::{App, Error, HttpResponse, get, post, test, web};
use cache_middleware::store::RedisStore;
use cache_middleware::{CacheManager, cached, invalidates};
use cache_suite::{Killed, Proxy, RedisServer, Weather, workspace};

/// So many ask at a time.
const CLIENTS: u64 = 4;
/// How long the breaker may take: five commands in a row, each at its limit, and a little.
const AT_FIRST: Duration = Duration::from_millis(400);
/// How long one round after that takes. What else a machine does can only lengthen a round, and not many of them alike, so
/// the middle one of `ROUNDS` is what the cache adds: a request that waits for Redis would be in every one.
const ROUND: Duration = Duration::from_millis(200);
const ROUNDS: u64 = 9;
const BEGIN: &str = "<!-- measured by tests/alone/failure_modes.rs -->\n";
const END: &str = "<!-- end -->\n";

#[get("/cached/{number}")]
#[cached(ttl = "5m", tags = ["t:{number}"])]
async fn read(number: web::Path<u64>) -> String {
    number.to_string()
}

#[get("/bare/{number}")]
async fn bare(number: web::Path<u64>) -> String {
    number.to_string()
}

#[post("/cached/{number}")]
#[invalidates(tags = ["t:{number}"])]
async fn write(number: web::Path<u64>) -> HttpResponse {
    HttpResponse::Ok().body(number.to_string())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Hung,
    Down,
    NeverThere,
    Full,
    ReadOnly,
    Garbage,
    Slow,
    HalfOpen,
}

impl Fault {
    const ALL: [Self; 9] = [
        Self::None,
        Self::Hung,
        Self::Down,
        Self::NeverThere,
        Self::Full,
        Self::ReadOnly,
        Self::Garbage,
        Self::Slow,
        Self::HalfOpen,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hung => "it hangs (`SIGSTOP`)",
            Self::Down => "it is killed",
            Self::NeverThere => "it was never there",
            Self::Full => "it is full (`maxmemory`)",
            Self::ReadOnly => "it takes no writes (`min-replicas-to-write`)",
            Self::Garbage => "it answers garbage",
            Self::Slow => "every answer comes 200 ms late",
            Self::HalfOpen => "the connection is half open",
        }
    }
}

/// Redis, and what can be done to it.
struct Stage {
    server: Option<RedisServer>,
    killed: Option<Killed>,
    proxy: Option<Proxy>,
    url: String,
}

impl Stage {
    async fn new(fault: Fault) -> Self {
        if fault == Fault::NeverThere {
            let killed = Killed::nowhere();
            return Self { url: killed.url(), server: None, killed: Some(killed), proxy: None };
        }
        let server = RedisServer::start();
        let proxy = Proxy::before(server.port()).await;
        Self { url: proxy.url(), server: Some(server), killed: None, proxy: Some(proxy) }
    }

    fn strike(&mut self, fault: Fault) {
        let weather = |weather| {
            if let Some(proxy) = &self.proxy {
                proxy.weather_back(weather);
            }
        };
        let set = |name: &str, value: &str| {
            if let Some(server) = &self.server {
                let mut connection = server.connection();
                redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut connection).expect("it is set");
            }
        };
        match fault {
            Fault::None | Fault::NeverThere => {}
            Fault::Hung => assert!(self.server.as_ref().is_some_and(|server| server.signal("-STOP"))),
            Fault::Down => self.killed = self.server.take().map(RedisServer::kill),
            Fault::Full => set("maxmemory", "1"),
            Fault::ReadOnly => set("min-replicas-to-write", "9"),
            Fault::Garbage => weather(Weather::Garbage),
            Fault::Slow => weather(Weather::Slow(Duration::from_millis(200))),
            Fault::HalfOpen => weather(Weather::Frozen),
        }
    }

    fn end(&self) {
        if let Some(server) = &self.server {
            server.signal("-CONT");
        }
    }
}

/// What was measured of one kind of request in one stretch.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    outcomes: BTreeMap<String, usize>,
}

impl Seen {
    fn p99(&mut self) -> Duration {
        self.took.sort();
        self.took.get((self.took.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// What more than one of ten reads of some rounds were told.
fn words(rounds: &[Stretch]) -> String {
    let mut outcomes: BTreeMap<&String, usize> = BTreeMap::new();
    for (outcome, count) in rounds.iter().flat_map(|round| &round.read.outcomes) {
        *outcomes.entry(outcome).or_default() += count;
    }
    let all: usize = outcomes.values().sum();
    let often = outcomes.into_iter().filter(|(_, count)| count * 10 > all);
    often.map(|(outcome, _)| format!("`{outcome}`")).collect::<Vec<_>>().join(", ")
}

#[derive(Default)]
struct Stretch {
    bare: Seen,
    read: Seen,
    write: Seen,
    failed: usize,
}

impl Stretch {
    fn added(&mut self, of: fn(&mut Self) -> &mut Seen) -> Duration {
        let floor = self.bare.p99();
        of(self).p99().saturating_sub(floor)
    }
}

/// What the middle one of some rounds added.
fn middle(rounds: &mut [Stretch], of: fn(&mut Stretch) -> &mut Seen) -> Duration {
    let mut added: Vec<Duration> = rounds.iter_mut().map(|round| round.added(of)).collect();
    added.sort();
    added[added.len() / 2]
}

async fn send<S, B>(app: &S, method: Method, path: &str, seen: &mut Seen) -> bool
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let request = test::TestRequest::default().method(method.clone()).uri(path).to_request();
    let began = Instant::now();
    let response = test::call_service(app, request).await;
    seen.took.push(began.elapsed());
    let status = response.headers().get("cache-status").and_then(|line| line.to_str().ok()).unwrap_or_default();
    // Seconds of freshness differ from run to run.
    let words = status.trim_start_matches("cache-middleware; ").split("; ").filter(|word| !word.starts_with("ttl="));
    *seen.outcomes.entry(words.collect::<Vec<_>>().join("; ")).or_default() += 1;
    response.status() == 200
}

/// Several clients at once, each with a bare request beside every other.
async fn ask<S, B>(app: &S, round: u64, lasts: Duration) -> Stretch
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let until = Instant::now() + lasts;
    let clients = (0..CLIENTS).map(|client| async move {
        let mut stretch = Stretch::default();
        let mut number = 0;
        while Instant::now() < until {
            number += 1;
            // Every other is a key of its own, and a miss.
            let own = (round * CLIENTS + client + 1) * 1_000_000;
            let key = if number % 2 == 0 { number % 20 } else { own + number };
            let mut good = send(app, Method::GET, &format!("/bare/{key}"), &mut stretch.bare).await;
            good &= send(app, Method::GET, &format!("/cached/{key}"), &mut stretch.read).await;
            if number % 20 == 0 {
                good &= send(app, Method::POST, &format!("/cached/{key}"), &mut stretch.write).await;
            }
            stretch.failed += usize::from(!good);
            // The others have a turn.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stretch
    });
    let mut all = Stretch::default();
    for stretch in futures_util::future::join_all(clients).await {
        for (sum, of) in [(&mut all.bare, stretch.bare), (&mut all.read, stretch.read), (&mut all.write, stretch.write)]
        {
            sum.took.extend(of.took);
            for (outcome, count) in of.outcomes {
                *sum.outcomes.entry(outcome).or_default() += count;
            }
        }
        all.failed += stretch.failed;
    }
    all
}

/// One row: the words, which are the same in every run, and the numbers.
async fn row(fault: Fault) -> (String, String) {
    let mut stage = Stage::new(fault).await;
    // Without L1, so that every read asks Redis: the worst that can happen.
    let store = RedisStore::builder(&stage.url).connect().await.expect("a store");
    let cache = CacheManager::builder().store(store).l1_bytes(0).without_annotation_checks().build().await;
    let cache = cache.expect("a manager");
    let app = App::new().app_data(cache.clone()).service(read).service(bare).service(write);
    let app = test::init_service(app).await;
    ask(&app, 0, Duration::from_millis(300)).await;
    stage.strike(fault);
    let mut first = ask(&app, 1, AT_FIRST).await;
    let mut then = Vec::new();
    for round in 0..ROUNDS {
        then.push(ask(&app, 2 + round, ROUND).await);
    }
    let receipt = cache.clear_tag("t:1").await.expect("a receipt");
    stage.end();

    let failed = first.failed + then.iter().map(|round| round.failed).sum::<usize>();
    assert_eq!(failed, 0, "{fault:?}: no request fails because of Redis");
    let (read_first, write_first) = (first.added(|all| &mut all.read), first.added(|all| &mut all.write));
    let (read_then, write_then) = (middle(&mut then, |all| &mut all.read), middle(&mut then, |all| &mut all.write));
    for added in [read_first, write_first] {
        assert!(added <= Duration::from_millis(60), "{fault:?}: {added:?} before the breaker opens");
    }
    let asked = matches!(fault, Fault::None | Fault::Full | Fault::ReadOnly);
    for added in [read_then, write_then].into_iter().filter(|_| !asked) {
        assert!(added <= Duration::from_millis(1), "{fault:?}: {added:?} after the breaker has opened");
    }
    let clears = if receipt.journaled { "journaled" } else { "acknowledged" };
    let words = format!("| {} | {} | {clears} |", fault.name(), words(&then));
    let ms = |added: Duration| format!("{:.1}", added.as_secs_f64() * 1_000.0);
    (words, format!(" {} / {} | {} / {} |", ms(read_first), ms(write_first), ms(read_then), ms(write_then)))
}

#[actix_web::test]
async fn p8_no_fault_of_redis_fails_a_request_or_holds_it_up() {
    let _alone = crate::TURN.lock().await;
    let mut rows = Vec::new();
    for fault in Fault::ALL {
        let (words, numbers) = row(fault).await;
        println!("{words}{numbers}");
        rows.push((words, numbers));
    }
    let path = workspace().join("docs/failure-modes.md");
    let page = cache_suite::read(&path);
    let (before, rest) = page.split_once(BEGIN).expect("the beginning of the table");
    let (table, after) = rest.split_once(END).expect("the end of the table");
    if std::env::var("UPDATE_DOCS").is_ok() {
        let head =
            "| Redis | reads are told | clears are | at first, ms | then, ms |\n| --- | --- | --- | --- | --- |\n";
        let rows: String = rows.iter().map(|(words, numbers)| format!("{words}{numbers}\n")).collect();
        std::fs::write(&path, format!("{before}{BEGIN}{head}{rows}{END}{after}")).expect("the page is written");
        return;
    }
    for (words, _) in rows {
        assert!(table.contains(&words), "not in docs/failure-modes.md, write it with UPDATE_DOCS=1:\n{words}");
    }
}
