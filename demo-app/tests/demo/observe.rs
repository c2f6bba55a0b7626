//! What operators see of the demo, and that all of it tells the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cache_suite::{RedisServer, Response, send};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Demo, command};

const TOKEN: &str = "0123456789abcdef";

impl Demo {
    async fn plain(&self, path: &str, authorization: &str) -> Response {
        let host = self.host();
        let mut headers = vec![("host", host.as_str())];
        if !authorization.is_empty() {
            headers.push(("authorization", authorization));
        }
        send(self.address, "GET", path, &headers, "").await
    }

    async fn health(&self) -> Value {
        let answer = self.plain("/api/v1/sessions/admin/cache-health", &format!("Bearer {TOKEN}")).await;
        assert_eq!(answer.status, 200);
        serde_json::from_str(&answer.body).expect("json")
    }
}

#[tokio::test]
async fn without_a_token_there_is_no_admin_and_with_one_nobody_else_gets_in() {
    let demo = Demo::start(&[]);
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/api/v1/sessions/admin/cache-health", "/cache"] {
        assert_eq!(demo.plain(path, &bearer).await.status, 404, "{path}");
    }
    let demo = Demo::start(&[("ADMIN_TOKEN", TOKEN)]);
    for path in ["/api/v1/sessions/admin/cache-health", "/cache"] {
        for wrong in ["", "Bearer ", "Bearer 0123456789abcdeF", "bearer", TOKEN] {
            assert_eq!(demo.plain(path, wrong).await.status, 401, "{path} {wrong}");
        }
        assert_eq!(demo.plain(path, &bearer).await.status, 200, "{path}");
    }
    assert_eq!(demo.plain("/livez", "").await.body, "ok\n");
    assert_eq!(demo.plain("/readyz", "").await.body, "ok\n");
    let refused = command().env("ADMIN_TOKEN", "hunter2").output().expect("it runs");
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("ADMIN_TOKEN") && !error.contains("hunter2"), "{error}");
}

/// The form of the design's own example, every number as it was counted.
#[tokio::test]
async fn the_health_endpoint_has_its_form() {
    let demo = Demo::start(&[("ADMIN_TOKEN", TOKEN)]);
    for _ in 0..4 {
        assert_eq!(demo.ask("GET", "/api/v1/sessions", "teacher-7", None).await.status, 200);
    }
    let told = demo.health().await;
    assert_eq!(told["success"], true);
    let (health, metrics) = (&told["data"]["health"], &told["data"]["metrics"]);
    assert!(health["overall"].is_string() && health["redis"]["connected"].is_boolean());
    assert!(health["redis"]["latency"].is_number() && health["redis"]["keyCount"].is_number());
    assert_eq!((&health["cache"]["hitRate"], &health["cache"]["totalOperations"]), (&75.0.into(), &4.into()));
    assert!(health["cache"]["avgResponseTime"].as_f64().is_some_and(|ms| ms > 0.0));
    assert_eq!((&metrics["hits"], &metrics["misses"], &metrics["hitRate"]), (&3.into(), &1.into(), &75.0.into()));
    assert!(metrics["uptime"].as_u64().is_some_and(|ms| ms > 0));
}

/// The sums of the lines of a metric in a text of Prometheus, by the value of a label.
fn by_label(text: &str, name: &str, label: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let of = series.split_once(&format!("{label}=\"")).and_then(|(_, rest)| rest.split('"').next());
        *sums.entry(of.unwrap_or_default().to_owned()).or_default() += value.parse::<f64>().expect("a number");
    }
    sums
}

/// What the dashboard is told within a moment: a stream that does not end by itself.
async fn events(demo: &Demo) -> String {
    let mut stream = TcpStream::connect(demo.address).await.expect("a connection");
    let request =
        format!("GET /cache/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n", demo.host());
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut told = Vec::new();
    let _ = timeout(Duration::from_millis(400), stream.read_to_end(&mut told)).await;
    String::from_utf8_lossy(&told).into_owned()
}

/// The last thing that the dashboard was told, once it knows of so many requests.
async fn frame(demo: &Demo, requests: f64) -> Value {
    for _ in 0..100 {
        let told = events(demo).await;
        let mut lines = told.lines().filter_map(|line| line.strip_prefix("data: {"));
        let last = lines.next_back().map(|rest| serde_json::from_str::<Value>(&format!("{{{rest}")).expect("json"));
        if let Some(last) = last.filter(|last| sum_of(&last["total"]) >= requests) {
            return last;
        }
    }
    panic!("the dashboard never heard of {requests} requests");
}

fn sum_of(total: &Value) -> f64 {
    let of = |value: &Value| value.as_f64().unwrap_or_default();
    of(&total["hits"][0]) + of(&total["hits"][1]) + of(&total["stale"]) + of(&total["misses"]) + of(&total["bypasses"])
}

/// After a load of reads and writes by several callers at once, the page, `/metrics`, the health endpoint and `cachectl` say the
/// same, and it is what the callers saw.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_everything_that_tells_tells_the_same() {
    let server = RedisServer::start();
    let url = server.url();
    let demo = Demo::start(&[("ADMIN_TOKEN", TOKEN), ("REDIS_URL", &url)]);
    let callers = (0..4).map(|caller| {
        let demo = &demo;
        async move {
            let (mut hits, mut others, teacher) = (0_u32, 0_u32, format!("teacher-{}", caller + 1));
            for number in 0..60 {
                if number % 15 == 7 {
                    let body = serde_json::json!({"title": "Biology", "startsAt": "2026-12-01T10:00:00Z"});
                    assert_eq!(demo.ask("POST", "/api/v1/sessions", &teacher, Some(body)).await.status, 201);
                }
                let answer = demo.ask("GET", "/api/v1/sessions", &teacher, None).await;
                if answer.is_hit() { hits += 1 } else { others += 1 }
            }
            (hits, others)
        }
    });
    let seen = futures_util::future::join_all(callers).await;
    let (hits, others) = seen.iter().fold((0, 0), |(hits, others), one| (hits + one.0, others + one.1));
    assert_eq!(hits + others, 240);

    let metrics = demo.plain("/metrics", "").await.body;
    let outcomes = by_label(&metrics, "cache_requests_total", "outcome");
    assert_eq!(outcomes.get("hit"), Some(&f64::from(hits)), "{outcomes:?}");
    assert_eq!(outcomes.get("miss"), Some(&f64::from(others)), "{outcomes:?}");
    let clears = by_label(&metrics, "cache_clears_total", "state");
    assert_eq!(clears.get("acknowledged"), Some(&16.0), "{clears:?}");

    let told = demo.health().await;
    let of = &told["data"]["metrics"];
    assert_eq!((of["hits"].as_u64(), of["misses"].as_u64()), (Some(u64::from(hits)), Some(u64::from(others))));
    assert_eq!(of["invalidations"], 16);

    let frame = frame(&demo, 240.0).await;
    let total = &frame["total"];
    assert_eq!(total["hits"][0].as_u64().zip(total["hits"][1].as_u64()).map(|(l1, l2)| l1 + l2), Some(u64::from(hits)));
    assert_eq!((total["misses"].as_u64(), &total["clears"][0]), (Some(u64::from(others)), &16.into()));
    assert_eq!(frame["routes"][0]["requests"], 240);

    // Another program, beside this one.
    let cachectl = Path::new(env!("CARGO_BIN_EXE_demo-app")).with_file_name("cachectl");
    assert!(
        cachectl.exists(),
        "cachectl is not built: `cargo build -p cachectl`, or run the tests of the whole workspace"
    );
    let mut asking = Command::new(cachectl);
    asking.args(["--json", "--redis", &url, "stats"]).env("CACHE_REDIS_TIMEOUT", "2000");
    let stats = asking.output().expect("it runs");
    let stats: Value = serde_json::from_slice(&stats.stdout).expect("json");
    let told = demo.health().await;
    assert_eq!(stats["keys"], told["data"]["health"]["redis"]["keyCount"]);
    let metrics = demo.plain("/metrics", "").await.body;
    let members = by_label(&metrics, "cache_index_members", "none");
    assert_eq!(stats["indexMembers"].as_f64(), members.get("").copied(), "{stats}");
}

#[test]
fn the_map_is_printed_in_all_its_forms() {
    let map = |form: &[&str]| {
        let ran = command().arg("map").args(form).output().expect("it runs");
        (ran.status.success(), String::from_utf8(ran.stdout).expect("text") + &String::from_utf8_lossy(&ran.stderr))
    };
    let (good, text) = map(&[]);
    assert!(good && text.contains("  tag teacher:{teacher.id}\n    <- session.created <- "), "{text}");
    assert!(map(&["mermaid"]).1.starts_with("flowchart LR\n"));
    assert!(map(&["graphviz"]).1.starts_with("digraph cache {\n"));
    let (good, json) = map(&["json"]);
    assert!(good && serde_json::from_str::<Value>(json.split("\n[").next().unwrap_or_default()).is_ok(), "{json}");
    let (good, refused) = map(&["yaml"]);
    assert!(!good && refused.contains("text, json, mermaid or graphviz"), "{refused}");
}
