//! The demo as its users see it: processes, sockets, and what the README promises of them.

mod hybrid;
mod observe;

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cache_suite::{RedisServer, Response, send, temporary_folder};
use serde_json::{Value, json};

/// A running demo, killed at the end.
struct Demo {
    process: Child,
    /// Held open: a process that writes to a closed pipe fails.
    _output: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The whole group, because `faketime` runs the demo as a child.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.process.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-app"));
    for name in [
        "REDIS_URL",
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_PASSWORD",
        "DATABASE_URL",
        "WRAPPER_URL",
        "WRAPPER_DATABASE_URL",
        "DEMO_DELAY_MS",
        "ADMIN_TOKEN",
        "CACHE_HEALTH_CHECK_INTERVAL",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.env("WRAPPER_DELAY_MS", "5-10");
    // The machine may be busy with other tests.
    command.env("BIND", "127.0.0.1:0").env("CACHE_REDIS_TIMEOUT", "500").stdout(Stdio::piped());
    command
}

impl Demo {
    fn start(variables: &[(&str, &str)]) -> Self {
        Self::run(command().envs(variables.iter().copied()).stderr(Stdio::null()))
    }

    fn run(command: &mut Command) -> Self {
        let mut process = command.process_group(0).spawn().expect("the demo starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on http://")?.split(". ").next()?.parse().ok())
            .expect("it says where it listens");
        Self { process, _output: lines, address }
    }

    /// What a client that asks it directly sends as `Host`.
    fn host(&self) -> String {
        self.address.to_string()
    }

    async fn ask(&self, method: &str, path: &str, teacher: &str, body: Option<Value>) -> Response {
        let authorization = format!("Bearer {teacher}");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let headers = [("host", self.host()), ("authorization", authorization)];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        send(self.address, method, path, &headers, &body).await
    }

    async fn get(&self, path: &str) -> (String, Value) {
        let response = self.ask("GET", path, "teacher-7", None).await;
        let outcome = response.cache().split("; ttl").next().unwrap_or_default().to_owned();
        (outcome, serde_json::from_str(&response.body).expect("JSON"))
    }

    async fn runs(&self, handler: &str) -> u64 {
        let (_, counters) = self.get("/debug/counters").await;
        counters["data"][handler].as_u64().unwrap_or(0)
    }
}

const STORED: &str = "fwd=uri-miss; stored";
const HIT: &str = "hit";

fn new_session(title: &str) -> Option<Value> {
    Some(json!({ "title": title, "startsAt": "2026-09-01T10:00:00Z" }))
}

#[actix_web::test]
async fn every_route_does_what_the_readme_says() {
    let demo = Demo::start(&[]);
    for path in [
        "/api/v1/sessions",
        "/api/v1/sessions?page=2",
        "/api/v1/sessions/19",
        "/api/v1/sessions/19/analytics",
        "/api/v1/users/me",
        "/api/v1/schools/2",
        "/api/v1/schools/2/roster",
    ] {
        let first = demo.get(path).await;
        assert_eq!((first.0.as_str(), &first.1["success"]), (STORED, &json!(true)), "{path}");
        assert_eq!(demo.get(path).await, (HIT.to_owned(), first.1), "{path}");
        let head = demo.ask("HEAD", path, "teacher-7", None).await;
        assert_eq!((head.status, head.is_hit(), head.body.as_str()), (200, true, ""), "{path}");
    }

    // Creating a session changes the list and the school's count of sessions, and nothing else.
    let created = demo.ask("POST", "/api/v1/sessions", "teacher-7", new_session("Biology")).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let created: Value = serde_json::from_str(&created.body).expect("JSON");
    let id = created["data"]["id"].as_i64().expect("an id");
    let (outcome, list) = demo.get("/api/v1/sessions").await;
    assert_eq!((outcome.as_str(), list["data"].as_array().map(Vec::len)), (STORED, Some(4)));
    assert_eq!(demo.get("/api/v1/schools/2").await.0, STORED);
    for untouched in ["/api/v1/sessions/19", "/api/v1/users/me", "/api/v1/schools/2/roster"] {
        assert_eq!(demo.get(untouched).await.0, HIT, "{untouched}");
    }

    // Updating and deleting it.
    let path = format!("/api/v1/sessions/{id}");
    assert_eq!(demo.get(&path).await.1["data"]["title"], "Biology");
    assert_eq!(demo.ask("PUT", &path, "teacher-7", new_session("Botany")).await.status, 200);
    let (outcome, session) = demo.get(&path).await;
    assert_eq!((outcome.as_str(), &session["data"]["title"]), (STORED, &json!("Botany")));
    assert_eq!(demo.ask("DELETE", &path, "teacher-7", None).await.status, 200);
    assert_eq!(demo.ask("GET", &path, "teacher-7", None).await.status, 404);
    assert_eq!(demo.get("/api/v1/sessions").await.1["data"].as_array().map(Vec::len), Some(3));

    // The profile.
    let profile = Some(json!({ "name": "Seven", "email": "seven@example.org" }));
    assert_eq!(demo.ask("PUT", "/api/v1/users/me", "teacher-7", profile).await.status, 200);
    let (outcome, me) = demo.get("/api/v1/users/me").await;
    assert_eq!((outcome.as_str(), &me["data"]["name"]), (STORED, &json!("Seven")));
}

#[actix_web::test]
async fn p7_teachers_see_their_own() {
    let demo = Demo::start(&[]);
    assert_eq!(demo.get("/api/v1/sessions/19").await.0, STORED);
    for (method, path) in [
        ("GET", "/api/v1/sessions/19"),
        ("GET", "/api/v1/sessions/19/analytics"),
        ("PUT", "/api/v1/sessions/19"),
        ("DELETE", "/api/v1/sessions/19"),
    ] {
        let body = if method == "PUT" { new_session("stolen") } else { None };
        assert_eq!(demo.ask(method, path, "teacher-8", body).await.status, 404, "{method} {path}");
    }
    assert_eq!(demo.get("/api/v1/sessions/19").await.0, HIT);
    for nobody in ["teacher-0", "teacher-51", "teacher-x", ""] {
        let refused = demo.ask("GET", "/api/v1/sessions/19", nobody, None).await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
        assert!(refused.body.starts_with("{\"success\":false,"), "{}", refused.body);
    }
}

#[actix_web::test]
async fn bad_input_is_refused_by_field() {
    let demo = Demo::start(&[]);
    for (body, field) in [
        (json!({ "startsAt": "2026-09-01T10:00:00Z" }), "title"),
        (json!({ "title": " ", "startsAt": "2026-09-01T10:00:00Z" }), "title"),
        (json!({ "title": 7, "startsAt": "2026-09-01T10:00:00Z" }), "title"),
        (json!({ "title": "a" }), "startsAt"),
        (json!({ "title": "a", "startsAt": "tomorrow" }), "startsAt"),
        (json!([]), "body"),
    ] {
        let refused = demo.ask("POST", "/api/v1/sessions", "teacher-7", Some(body.clone())).await;
        let answer: Value = serde_json::from_str(&refused.body).expect("JSON");
        assert_eq!((refused.status, &answer["error"]["field"]), (400, &json!(field)), "{body}");
    }
    for (path, status) in [
        ("/api/v1/sessions?page=0", 400),
        ("/api/v1/sessions?page=x", 400),
        ("/api/v1/sessions/x", 404),
        ("/nowhere", 404),
    ] {
        let refused = demo.ask("GET", path, "teacher-7", None).await;
        assert_eq!(refused.status, status, "{path}");
        assert!(refused.body.starts_with("{\"success\":false,"), "{path}: {}", refused.body);
    }
}

/// A race by hand: `DEMO_DELAY_MS` holds the read while a write finishes.
#[actix_web::test]
async fn p1_a_read_that_a_write_overtakes_is_not_kept() {
    let demo = Demo::start(&[("DEMO_DELAY_MS", "300")]);
    let slow = demo.get("/api/v1/sessions");
    let write = async {
        while demo.runs("sessions::list").await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        demo.ask("POST", "/api/v1/sessions", "teacher-7", new_session("Late")).await
    };
    let (read, written) = tokio::join!(slow, write);
    assert_eq!(written.status, 201);
    let sessions = read.1["data"].as_array().map_or(0, Vec::len);
    let (_, now) = demo.get("/api/v1/sessions").await;
    assert_eq!(now["data"].as_array().map(Vec::len), Some(4), "the first read had {sessions}");
}

async fn two_instances_share(second: &mut Command, server: &RedisServer, file: &std::path::Path) {
    let url = server.url();
    let database = format!("sqlite://{}", file.display());
    // Strict: what one clears is gone for the other when it is acknowledged, and not a moment later.
    let variables = [("REDIS_URL", url.as_str()), ("DATABASE_URL", database.as_str()), ("CACHE_COHERENCE", "strict")];
    let first = Demo::start(&variables);
    let second = Demo::run(second.envs(variables));

    assert_ne!(first.host(), second.host(), "each is asked by its own address");
    for path in ["/api/v1/sessions", "/api/v1/sessions/19", "/api/v1/users/me", "/api/v1/schools/2"] {
        assert_eq!(first.get(path).await.0, STORED, "{path}");
        assert_eq!(second.get(path).await.0, HIT, "{path}: what one stores the other hits");
    }
    for (writer, other, title) in [(&first, &second, "one"), (&second, &first, "two"), (&first, &second, "three")] {
        assert_eq!(writer.ask("POST", "/api/v1/sessions", "teacher-7", new_session(title)).await.status, 201);
        let (outcome, list) = other.get("/api/v1/sessions").await;
        assert_eq!(outcome, STORED, "what one clears is gone for both");
        assert!(list.to_string().contains(title), "{title}");
        assert_eq!(writer.get("/api/v1/sessions").await.0, HIT);
    }
    let age = first.ask("GET", "/api/v1/sessions", "teacher-7", None).await.header("age").to_owned();
    assert!(age.parse::<u64>().is_ok_and(|age| age < 60), "the age is {age:?}");
}

#[actix_web::test]
async fn two_instances_share_what_is_stored_and_what_is_cleared() {
    let (server, folder) = (RedisServer::start(), temporary_folder("shared"));
    two_instances_share(command().stderr(Stdio::null()), &server, &folder.join("demo.sqlite")).await;
}

/// Fails when anything that decides what is newer reads the time of the host.
#[actix_web::test]
async fn p2_a_host_whose_clock_is_15_minutes_off_changes_nothing() {
    for offset in ["-15m", "+15m"] {
        let (server, folder) = (RedisServer::start(), temporary_folder("skewed"));
        let mut skewed = Command::new("faketime");
        skewed.args(["-f", offset, env!("CARGO_BIN_EXE_demo-app")]);
        skewed.env("BIND", "127.0.0.1:0").env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::null());
        two_instances_share(&mut skewed, &server, &folder.join("demo.sqlite")).await;
    }
}

#[actix_web::test]
async fn p8_without_redis_the_handlers_answer_and_the_log_says_so_once() {
    let folder = temporary_folder("demo-log");
    let log = folder.join("log");
    let file = std::fs::File::create(&log).expect("a log file");
    let nowhere = cache_suite::Killed::nowhere();
    let demo = Demo::run(command().env("REDIS_URL", nowhere.url()).stderr(file));
    for _ in 0..3 {
        assert_eq!(demo.get("/api/v1/sessions").await.0, "fwd=bypass; detail=store-unavailable");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let server = nowhere.restart();
    let deadline = Instant::now() + Duration::from_secs(10);
    while demo.get("/api/v1/sessions").await.0 != HIT {
        assert!(Instant::now() < deadline, "Redis is not used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(server);
    let text = std::fs::read_to_string(&log).expect("the log");
    assert_eq!(text.matches("handlers answer until this changes").count(), 1, "{text}");
    assert_eq!(text.matches("responses are cached in Redis").count(), 1, "{text}");
}

#[test]
fn a_wrong_start_says_what_where_and_what_is_accepted() {
    for (name, value, accepted) in [
        ("BIND", "nonsense", "127.0.0.1:8080"),
        ("DATABASE_URL", "postgres://x", "sqlite://file"),
        ("DEMO_DELAY_MS", "soon", "milliseconds"),
        ("REDIS_URL", "http://:hunter2@x", "redis://"),
        ("CACHE_DEFAULT_TTL", "5m", "seconds"),
        ("CACHE_NAMESPACE", "a b", "A-Z a-z 0-9"),
    ] {
        let mut command = command();
        if name == "CACHE_NAMESPACE" {
            command.env("REDIS_URL", "redis://127.0.0.1:1");
        }
        let output = command.env(name, value).output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}");
        assert!(text.contains(accepted), "{name}: {text}");
        assert!(name == "CACHE_NAMESPACE" || text.contains(name), "{name}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// Several nodes in one command, with a Redis of its own: a line a second, and nothing stale.
#[test]
fn a_fleet_runs_and_ends() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-app"));
    let output = command
        .args(["fleet", "--nodes", "3", "--seconds", "3"])
        .env_remove("REDIS_URL")
        .stderr(Stdio::null())
        .output()
        .expect("the demo");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("a node listens on http://")).count(), 3);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("hits in memory")).collect();
    assert!(lines.len() >= 3 && lines.iter().all(|line| line.ends_with("stale 0  failed 0")), "{text}");
    assert!(!lines[2].starts_with("hits in memory     0"), "{text}");
}

/// The cache of a running service is filled before its callers come, and what was done is told.
#[tokio::test]
async fn a_service_is_warmed() {
    let demo = Demo::start(&[]);
    let output = command()
        .args(["warm", "--address", &demo.host(), "--teachers", "8", "--per-second", "200"])
        .output()
        .expect("the demo");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("warmed 16 responses of 8 teachers"), "{text}");
    for path in ["/api/v1/sessions", "/api/v1/users/me"] {
        assert_eq!(demo.get(path).await.0, "hit", "{path}");
    }
}

#[test]
fn wrong_words_are_refused() {
    for (words, expected) in [
        (&["fleat"][..], "there is no \"fleat\""),
        (&["fleet", "--nodes", "0"], "1 to 16"),
        (&["warm", "--address", "127.0.0.1:1"], "no service answers at http://127.0.0.1:1"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_demo-app")).args(words).output().expect("the demo");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(expected), "{text}");
    }
}
