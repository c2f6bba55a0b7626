//! The program as its users see it: its output, its exit codes, and that it tells the truth.

use std::io::BufRead;
use std::process::{Command, Output};
use std::time::Duration;

use cache_middleware::{CacheManager, Coherence};
use cache_suite::{Proxy, RedisServer, Weather, redis_at};
use serde_json::Value;

/// What a run has printed, and how it ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    error: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().expect("it ended by itself");
        Self { code, out: text(&output.stdout), error: text(&output.stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn command(server: Option<&RedisServer>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cachectl"));
    for name in ["REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "CACHE_NAMESPACE", "RUST_LOG"] {
        command.env_remove(name);
    }
    if let Some(server) = server {
        command.env("REDIS_URL", server.url());
    }
    command.env("CACHE_REDIS_TIMEOUT", "2000").args(arguments);
    command
}

async fn run(server: Option<&RedisServer>, arguments: &[&str]) -> Ran {
    let mut command = command(server, arguments);
    // The server is asked by others meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("it ends");
    Ran::of(&output)
}

async fn node(server: &RedisServer) -> CacheManager {
    let store = redis_at(server.url()).connect().await.expect("a store");
    CacheManager::builder().store(store).without_annotation_checks().build().await.expect("a manager")
}

async fn set(cache: &CacheManager, key: &str, tag: &str) {
    let policy = cache.policy("5m").and_then(|policy| policy.tag(tag)).expect("a policy");
    assert!(cache.set(key, &policy, &"soup").await.expect("it is stored"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_what_there_is() {
    let server = RedisServer::start();
    let cache = node(&server).await;
    for number in 0..3 {
        set(&cache, &format!("menu:{number}"), "menu").await;
    }
    set(&cache.tenant("acme").expect("a tenant"), "menu:9", "menu").await;

    let stats = run(Some(&server), &["stats", "--json"]).await;
    let condition = cache.store().condition().await.expect("a condition");
    let told = stats.json();
    assert_eq!(
        (told["keys"].as_u64(), told["indexMembers"].as_u64()),
        (Some(condition.keys), Some(condition.index_members))
    );
    assert_eq!((stats.code, told["nodesWithL1"].as_u64()), (0, Some(1)));
    assert!(run(Some(&server), &["stats"]).await.out.contains("index sets"));

    let tags = run(Some(&server), &["tags"]).await;
    assert_eq!(tags.out, "3  menu\n1  menu  tenant acme\n");
    let tags = run(Some(&server), &["tags", "--tenant", "acme"]).await;
    assert_eq!(tags.out, "1  menu  tenant acme\n");
    let some = run(Some(&server), &["entries", "menu", "--limit", "2"]).await;
    assert!(some.error.contains("the first 2: there may be more"), "{some:?}");
    let of_another = run(Some(&server), &["show", "-/v/menu:1", "--tenant", "acme"]).await;
    assert_eq!(of_another.code, 3, "{of_another:?}");
    set(&cache, "bell\u{7}\u{1b}[2J", "noise").await;
    let noise = run(Some(&server), &["entries", "noise"]).await;
    assert!(!noise.out.contains(['\u{7}', '\u{1b}']) && noise.out.contains("bell"), "{noise:?}");
    let entries = run(Some(&server), &["entries", "menu", "--json"]).await.json();
    assert_eq!(entries.as_array().map(Vec::len), Some(3));
    let of_tenant = run(Some(&server), &["entries", "menu", "--tenant", "acme", "--json"]).await.json();
    assert_eq!(of_tenant[0]["key"], "4:acme/v/menu:9");

    for key in ["menu:1", "-/v/menu:1"] {
        let shown = run(Some(&server), &["show", key, "--json"]).await.json();
        assert_eq!(
            (&shown[0]["payload"]["value"], &shown[0]["tags"][0], &shown[0]["state"]),
            (&"soup".into(), &"menu".into(), &"fresh".into())
        );
    }
    assert!(run(Some(&server), &["show", "menu:1"]).await.out.contains("soup"));
    let nothing = run(Some(&server), &["show", "menu:7"]).await;
    assert_eq!((nothing.code, nothing.out.as_str()), (3, "nothing is stored under \"menu:7\"\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clear_is_a_dry_run_until_it_is_meant_and_is_looked_after() {
    let server = RedisServer::start();
    let cache = node(&server).await;
    set(&cache, "menu:1", "menu").await;
    let dry = run(Some(&server), &["clear", "--tag", "menu"]).await;
    assert_eq!(dry.code, 0);
    assert_eq!(dry.out, "would clear tag menu: 1 entries. Say --yes to do it; `preview` lists them.\n");
    assert!(run(Some(&server), &["preview", "--tag", "menu"]).await.out.contains("-/v/menu:1"));
    assert_eq!(cache.get::<String>("menu:1").await.as_deref(), Some("soup"));

    let cleared = run(Some(&server), &["clear", "--tag", "menu", "--yes", "--verify"]).await;
    assert_eq!(cleared.code, 0, "{cleared:?}");
    assert!(cleared.out.starts_with("cleared tag menu: 1 entries, "), "{cleared:?}");
    assert!(cleared.out.ends_with("verified: nothing older is there\n"), "{cleared:?}");
    // Also from the memory of the node, by its signal.
    for _ in 0..200 {
        if cache.get::<String>("menu:1").await.is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(cache.get::<String>("menu:1").await, None);

    set(&cache, "menu:1", "menu").await;
    // A key as it is listed is the same as the key.
    let listed = run(Some(&server), &["preview", "--key", "-/v/menu:1", "--json"]).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let crossed = run(Some(&server), &["clear", "--tenant", "acme", "--key", "-/v/menu:1", "--yes"]).await;
    assert!(crossed.code == 1 && crossed.error.contains("is not of the tenant acme"), "{crossed:?}");
    let expired = run(Some(&server), &["expire", "--key", "menu:1", "--yes", "--verify", "--json"]).await;
    assert_eq!(expired.code, 0, "{expired:?}");
    let lines: Vec<Value> = expired.out.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!((&lines[0]["done"], &lines[1]["verified"]), (&"expired".into(), &true.into()));
    let acme = cache.tenant("acme").expect("a tenant");
    set(&acme, "a", "x").await;
    set(&cache, "a", "x").await;
    let whole = run(Some(&server), &["clear", "--whole-tenant", "--tenant", "acme", "--yes"]).await;
    assert!(whole.out.starts_with("cleared tenant acme: 1 entries"), "{whole:?}");
    assert_eq!(run(Some(&server), &["entries", "x", "--json"]).await.json().as_array().map(Vec::len), Some(1));
}

/// A node that does not hear of the clear can no longer serve from its memory when the program ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_clear_is_in_effect_everywhere_when_it_is_done() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let store = redis_at(proxy.url()).connect().await.expect("a store");
    let builder = CacheManager::builder().store(store).coherence(Coherence::Bounded(Duration::from_secs(3)));
    let cache = builder.without_annotation_checks().build().await.expect("a manager");
    set(&cache, "menu:1", "menu").await;
    for _ in 0..3 {
        assert_eq!(cache.get::<String>("menu:1").await.as_deref(), Some("soup"));
    }
    assert!(cache.coherence().is_some_and(|report| report.l1_hits > 0), "it is held in L1");
    proxy.weather_back(Weather::Frozen);
    let cleared = run(Some(&server), &["clear", "--tag", "menu", "--yes"]).await;
    assert_eq!(cleared.code, 0, "{cleared:?}");
    assert_eq!(cache.get::<String>("menu:1").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_hears_the_clears_of_others() {
    let server = RedisServer::start();
    let cache = node(&server).await;
    let mut watching = command(Some(&server), &["watch", "--count", "2", "--json"]);
    let watching = tokio::task::spawn_blocking(move || watching.output().expect("it runs"));
    // It hears from some moment on, and ends when it has heard two.
    let acme = cache.tenant("acme").expect("a tenant");
    while !watching.is_finished() {
        cache.clear_tag("menu").await.expect("a receipt");
        acme.clear_tag("x").await.expect("a receipt");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ran = Ran::of(&watching.await.expect("it ends"));
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    let mut heard: Vec<&str> = lines.iter().filter_map(|line| line["cleared"][0].as_str()).collect();
    heard.sort_unstable();
    assert_eq!(heard, ["tag menu", "tag x of tenant acme"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_what_does_not_fit() {
    let server = RedisServer::start();
    let cache = node(&server).await;
    set(&cache, "menu:1", "menu").await;
    set(&cache, "menu:2", "menu").await;
    let well = run(Some(&server), &["doctor"]).await;
    assert_eq!(well.code, 0, "{well:?}");
    assert!(well.out.ends_with("everything fits together\n"), "{well:?}");

    let mut raw = server.connection();
    let mut by_hand = |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(word);
        }
        command.exec(&mut raw).expect("it is done");
    };
    by_hand(&["PERSIST", "{cache:v3:0}:e:-/v/menu:1"]);
    by_hand(&["ZREM", "{cache:v3:0}:t:t/-/menu", "-/v/menu:2"]);
    by_hand(&["ZADD", "{cache:v3:0}:t:t/-/menu", "99999999999999", "-/v/gone"]);
    by_hand(&["SET", "{cache:v3:0}:e:-/v/foreign", "junk", "EX", "100"]);
    by_hand(&["SET", "{cache:v2:0}:e:old", "x"]);
    // Somebody else's, of another type.
    by_hand(&["SET", "{cache:v3:0}:t:evil", "x"]);
    by_hand(&["ZADD", "{cache:v3:0}:r", "1", "evil"]);
    // Another application's.
    by_hand(&["SET", "{other:v3:0}:e:x", "x"]);
    let ill = run(Some(&server), &["doctor", "--json"]).await;
    assert_eq!(ill.code, 3);
    let found = ill.json();
    let problem = |kind: &str| {
        let problems = found["problems"].as_array().expect("problems");
        let problem =
            problems.iter().find(|problem| problem["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {found}"));
        (problem["count"].as_u64().expect("a count"), problem["examples"][0].as_str().expect("an example").to_owned())
    };
    assert_eq!(problem("entry-without-ttl"), (1, "-/v/menu:1".to_owned()));
    assert_eq!(problem("entry-without-index"), (1, "-/v/menu:2 of menu".to_owned()));
    assert_eq!(problem("member-without-entry"), (1, "-/v/gone of menu".to_owned()));
    assert_eq!(problem("unreadable").0, 2);
    for well in ["stats", "tags", "health"] {
        assert_eq!(run(Some(&server), &[well]).await.code, 0, "{well}");
    }
    assert_eq!(problem("other-version"), (1, "{cache:v2:0}:e:old".to_owned()));
    assert!(run(Some(&server), &["doctor"]).await.out.contains("clear its key"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_said_and_ends_with_its_code() {
    let none = run(None, &["stats"]).await;
    assert_eq!(none.code, 1);
    assert!(none.error.contains("--redis redis://host:6379") && none.error.contains("REDIS_URL"), "{none:?}");
    let away = run(None, &["stats", "--redis", "redis://user:hunter2@127.0.0.1:1"]).await;
    assert_eq!(away.code, 1);
    assert!(!away.error.contains("hunter2"), "{away:?}");
    let json = run(None, &["stats", "--json", "--redis", "redis://127.0.0.1:1"]).await;
    assert!(json.json()["error"].is_string(), "{json:?}");
    let server = RedisServer::start();
    for wrong in [
        &["clear"][..],
        &["clear", "--tag", "a", "--key", "b"],
        &["clear", "--whole-tenant"],
        &["expire", "--tag", "a", "--verify"],
        &["nothing"],
    ] {
        assert_eq!(run(Some(&server), wrong).await.code, 2, "{wrong:?}");
    }
    let tag = run(Some(&server), &["clear", "--tag", "two words", "--yes"]).await;
    assert_eq!(tag.code, 1);
    assert!(tag.error.contains("is not a tag"), "{tag:?}");
    assert_eq!(run(Some(&server), &["health"]).await.code, 0);
    let mut raw = server.connection();
    redis::cmd("SET").arg("large").arg("x".repeat(30 << 20)).exec(&mut raw).expect("it is set");
    let info: String = redis::cmd("INFO").arg("memory").query(&mut raw).expect("a text");
    let used =
        info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse::<u64>().ok()).expect("a number");
    // 97 % of it, with room enough for a connection.
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(used * 100 / 97).exec(&mut raw).expect("it is set");
    let full = run(Some(&server), &["health"]).await;
    assert_eq!(full.code, 4, "{full:?}");
    assert!(full.out.starts_with("unhealthy: store-memory: "), "{full:?}");
    let away = run(None, &["health", "--redis", "redis://127.0.0.1:1"]).await;
    assert_eq!(away.code, 4, "{away:?}");
    assert!(away.out.starts_with("unhealthy: store-away: "), "{away:?}");
    assert!(run(None, &["completions", "bash"]).await.out.contains("_cachectl()"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_nothing_is_told_where_to_look() {
    let server = RedisServer::start();
    let cache = node(&server).await;
    set(&cache, "menu", "menu").await;
    let nothing = run(Some(&server), &["clear", "--tag", "men", "--yes"]).await;
    assert_eq!(nothing.code, 0);
    assert!(nothing.error.contains("cachectl tags"), "{nothing:?}");
    assert_eq!(run(Some(&server), &["clear", "--tag", "menu"]).await.error, "");
    let elsewhere = run(Some(&server), &["tags", "--namespace", "casche"]).await;
    assert!(elsewhere.error.contains("CACHE_NAMESPACE"), "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_is_said_once() {
    let server = RedisServer::start();
    let mut watching = command(Some(&server), &["watch", "--count", "1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let lines = std::io::BufReader::new(watching.stdout.take().expect("its output")).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| told.send(line)));
    assert!(tells.recv().await.is_some_and(|line| line.starts_with("watching")));
    let killed = server.kill();
    assert_eq!(tells.recv().await.as_deref(), Some("partition 0: the connection is lost: signals may be missed"));
    // It tries again and again meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let server = killed.restart();
    assert_eq!(tells.recv().await.as_deref(), Some("partition 0: the connection is back"));
    node(&server).await.clear_tag("menu").await.expect("a receipt");
    assert!(tells.recv().await.is_some_and(|line| line.starts_with("tag menu")));
    assert!(watching.wait().expect("it ends").success());
}
