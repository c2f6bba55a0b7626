//! Several nodes on one Redis, a little load, and a line every second about what it does.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::client;

/// Starts a Redis that ends when its input does.
const REDIS: &str =
    r#"redis-server --port "$1" --bind 127.0.0.1 --save "" --appendonly no >/dev/null 2>&1 & cat >/dev/null; kill $!"#;

/// How many ask each node at a time.
const READERS: usize = 4;
/// The sessions that are read and written, all of one teacher.
const SESSIONS: [i64; 3] = [19, 20, 21];
const TEACHER: &str = "teacher-7";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    nodes: usize,
    /// For ever, unless said otherwise.
    seconds: Option<u64>,
}

impl Options {
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let usage = "`fleet` takes --nodes N (1 to 16) and --seconds N";
        let mut options = Self { nodes: 3, seconds: None };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(usage.to_owned()) };
            let number: u64 = value.parse().map_err(|_| format!("{name} {value:?} is not a number: {usage}"))?;
            match (name.as_str(), number) {
                ("--nodes", 1..=16) => options.nodes = usize::try_from(number).unwrap_or(3),
                ("--seconds", 1..) => options.seconds = Some(number),
                _ => return Err(format!("{name} {value} is not accepted: {usage}")),
            }
        }
        Ok(options)
    }
}

/// Ends this process when whoever started it goes away.
pub(crate) fn end_with_input() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

/// What has been seen.
#[derive(Debug, Default)]
struct Seen {
    l1: AtomicU64,
    l2: AtomicU64,
    handler: AtomicU64,
    writes: AtomicU64,
    stale: AtomicU64,
    failed: AtomicU64,
    /// For each session: when which version was acknowledged, the newest last.
    acknowledged: Mutex<[Vec<(Instant, u64)>; SESSIONS.len()]>,
}

pub(crate) async fn run(options: Options) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("demo-fleet-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made ({error})", folder.display()))?;
    let (redis_url, _redis) = match std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty()) {
        Some(url) => (url, None),
        None => redis().await.map(|(url, redis)| (url, Some(redis)))?,
    };
    let database = format!("sqlite://{}", folder.join("demo.sqlite").display());
    let mut nodes = Vec::new();
    for _ in 0..options.nodes {
        nodes.push(node(&redis_url, &database).await?);
    }
    let addresses: Vec<SocketAddr> = nodes.iter().map(|(_, address)| *address).collect();
    for address in &addresses {
        println!("a node listens on http://{address}");
    }
    let seen = Arc::new(Seen::default());
    for (index, address) in addresses.iter().enumerate() {
        for reader in 0..READERS {
            actix_web::rt::spawn(read_for_ever(seen.clone(), *address, index + reader));
        }
    }
    actix_web::rt::spawn(write_for_ever(seen.clone(), addresses.clone()));
    let began = Instant::now();
    let mut before = [0; 3];
    loop {
        actix_web::rt::time::sleep(Duration::from_secs(1)).await;
        before = tell(&seen, &addresses, before).await;
        if options.seconds.is_some_and(|seconds| began.elapsed().as_secs() >= seconds) {
            break;
        }
    }
    drop(nodes);
    let _ = std::fs::remove_dir_all(folder);
    let (stale, failed) = (seen.stale.load(Ordering::Relaxed), seen.failed.load(Ordering::Relaxed));
    if stale + failed > 0 { Err(format!("{stale} answers were stale, {failed} requests failed")) } else { Ok(()) }
}

/// A Redis of its own on a free port.
async fn redis() -> Result<(String, Child), String> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("there is no free port ({error})"))?
        .port();
    let child = Command::new("sh")
        .args(["-c", REDIS, "redis", &port.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("no shell ({error})"))?;
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok((format!("redis://127.0.0.1:{port}"), child));
        }
        actix_web::rt::time::sleep(Duration::from_millis(50)).await;
    }
    Err("redis-server does not start: install it, or set REDIS_URL".to_owned())
}

async fn node(redis: &str, database: &str) -> Result<(Child, SocketAddr), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .env("REDIS_URL", redis)
        .env("DATABASE_URL", database)
        .env("BIND", "127.0.0.1:0")
        .env("DEMO_ENDS_WITH_INPUT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("a node cannot be started ({error})"))?;
    let output = child.stdout.take().ok_or("a node has no output")?;
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let address = line.strip_prefix("Listening on http://").and_then(|rest| rest.split(". ").next()?.parse().ok());
        if let Some(address) = address {
            // Read on, or the node would write into a closed pipe.
            actix_web::rt::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((child, address));
        }
    }
    Err("a node did not start".to_owned())
}

async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<(String, String)> {
    client::ask(address, TEACHER, method, path, body).await
}

async fn read_for_ever(seen: Arc<Seen>, address: SocketAddr, start: usize) {
    for turn in start.. {
        let which = turn % SESSIONS.len();
        let asked = Instant::now();
        match ask(address, "GET", &format!("/api/v1/sessions/{}", SESSIONS[which]), "").await {
            Ok((status, body)) => {
                let tier = match () {
                    () if status.contains("detail=l1") => &seen.l1,
                    () if status.contains("detail=l2") => &seen.l2,
                    () => &seen.handler,
                };
                tier.fetch_add(1, Ordering::Relaxed);
                let body: Value = serde_json::from_str(&body).unwrap_or_default();
                let title = body["data"]["title"].as_str().unwrap_or_default();
                let version = title.strip_prefix("version ").and_then(|v| v.parse().ok()).unwrap_or(0);
                // The default mode: in effect everywhere after a second.
                let rows = seen.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                let due = rows[which].iter().rfind(|(at, _)| *at + Duration::from_secs(1) <= asked);
                seen.stale.fetch_add(u64::from(due.is_some_and(|(_, due)| version < *due)), Ordering::Relaxed);
            }
            Err(_) => {
                seen.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        actix_web::rt::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn write_for_ever(seen: Arc<Seen>, addresses: Vec<SocketAddr>) {
    for version in 1.. {
        let which = usize::try_from(version).unwrap_or(0) % SESSIONS.len();
        let body = format!(r#"{{"title":"version {version}","startsAt":"2026-09-01T10:00:00Z"}}"#);
        let address = addresses[usize::try_from(version).unwrap_or(0) % addresses.len()];
        match ask(address, "PUT", &format!("/api/v1/sessions/{}", SESSIONS[which]), &body).await {
            Ok(_) => {
                seen.writes.fetch_add(1, Ordering::Relaxed);
                let mut rows = seen.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                rows[which].push((Instant::now(), version));
                if rows[which].len() > 200 {
                    rows[which].drain(..100);
                }
            }
            Err(_) => {
                seen.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        actix_web::rt::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One line: what the last second brought.
async fn tell(seen: &Seen, addresses: &[SocketAddr], before: [u64; 3]) -> [u64; 3] {
    let now = [&seen.l1, &seen.l2, &seen.handler].map(|counter| counter.load(Ordering::Relaxed));
    let mut delays = Vec::new();
    for address in addresses {
        let report = ask(*address, "GET", "/debug/coherence", "").await.map(|(_, body)| body).unwrap_or_default();
        let report: Value = serde_json::from_str(&report).unwrap_or_default();
        delays.push(report["data"]["delayMedianMs"].as_f64().unwrap_or(0.0));
    }
    println!(
        "hits in memory {:5}  in Redis {:4}  handler {:3}  writes {}  coherence delay {:.2} ms  stale {}  failed {}",
        now[0] - before[0],
        now[1] - before[1],
        now[2] - before[2],
        seen.writes.load(Ordering::Relaxed),
        delays.into_iter().fold(0.0, f64::max),
        seen.stale.load(Ordering::Relaxed),
        seen.failed.load(Ordering::Relaxed)
    );
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_refused() {
        assert_eq!(parse(&[]), Ok(Options { nodes: 3, seconds: None }));
        assert_eq!(parse(&["--nodes", "5", "--seconds", "2"]), Ok(Options { nodes: 5, seconds: Some(2) }));
        for bad in [&["--nodes"][..], &["--nodes", "0"], &["--nodes", "x"], &["--minutes", "3"]] {
            assert!(parse(bad).unwrap_err().contains("takes --nodes N"), "{bad:?}");
        }
    }
}
