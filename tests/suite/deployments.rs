//! Ways to run Redis: behind sentinels, with TLS, for a user with the least rights, with replicas.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_middleware::store::Store;
use cache_middleware::store::contract::{BEHAVIOURS, Harness};
use cache_middleware::{
    Batch, CacheManager, ChangeConsumer, ChangeMessage, ChangePublisher, Coherence, CriticalCache, Record, Sink,
    SinkError, SourceError, SourceOfTruth, ValuePolicy, WriteBehind,
};
use cache_suite::{RedisServer, Sentinels, TemporaryFolder, node, node_with_l1, read, redis_at, temporary_folder};

const STRICT: Coherence = Coherence::Strict(Duration::from_millis(500));

fn policy(node: &CacheManager) -> ValuePolicy {
    node.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy")
}

async fn value(node: &CacheManager, fetched: &str) -> String {
    let fetch = async || Ok::<_, std::convert::Infallible>(fetched.to_owned());
    node.get_or_set("key", &policy(node), fetch).await.expect("no error")
}

async fn until_stored(node: &CacheManager, fetched: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.get::<String>("key").await.as_deref() != Some(fetched) {
        assert_eq!(value(node, fetched).await, fetched);
        assert!(Instant::now() < deadline, "it is never stored: {:?}", node.coherence());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn replica_of(master: &RedisServer) -> RedisServer {
    let port = master.port().to_string();
    let replica =
        RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {port}"), "--repl-diskless-sync-delay", "0"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if replica.info("replication").contains("master_link_status:up") {
            return replica;
        }
        assert!(Instant::now() < deadline, "the replica is in step");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The sentinels promote a replica that has missed the last clear. Fails when the identity of a server is not asked for
/// at every connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_failover_by_sentinels_is_followed_and_brings_nothing_back() {
    let master = RedisServer::start();
    let replica = replica_of(&master);
    let sentinels = Sentinels::of(&master);
    let open = async || redis_at(sentinels.url()).connect().await.expect("a store");
    let (one, two): (Arc<dyn Store>, Arc<dyn Store>) = (Arc::new(open().await), Arc::new(open().await));
    let (a, b) = (node_with_l1(&one, STRICT).await, node(&two).await);
    until_stored(&a, "old").await;
    // The replica has the entry, and does not hear of the clear.
    redis::cmd("WAIT").arg(1).arg(1_000).exec(&mut master.connection()).expect("a replica in step");
    assert!(replica.signal("-STOP"));
    a.clear_tag("t").await.expect("a clear");
    drop(master);
    assert!(replica.signal("-CONT"));
    let began = Instant::now();
    until_stored(&b, "new").await;
    println!("stored again after {:?}", began.elapsed());
    assert_eq!(value(&a, "new").await, "new");
    assert!(replica.info("replication").contains("role:master"));
    b.clear_tag("t").await.expect("a clear");
    assert_eq!(a.get::<String>("key").await, None);
}

#[tokio::test]
async fn wrong_names_and_replicas_are_refused() {
    let master = RedisServer::start();
    let replica = replica_of(&master);
    let sentinels = Sentinels::of(&master);
    let wrong = sentinels.url().replace("/main", "/mian");
    let refused = redis_at(wrong).connect().await.unwrap_err().to_string();
    assert!(refused.contains("knows no master \"mian\""), "{refused}");
    let refused = redis_at(replica.url()).connect().await.unwrap_err().to_string();
    assert!(refused.contains("it is a replica: name the master"), "{refused}");
}

/// Where nothing is written.
struct Nowhere;

impl Sink for Nowhere {
    async fn write(&self, _: &Batch) -> Result<(), SinkError> {
        Err(SinkError::Unavailable("nowhere".to_owned()))
    }
}

/// Fails when `WAIT` is left out: the clear is then acknowledged although no replica has it.
#[tokio::test]
async fn p5_a_clear_may_wait_for_replicas() {
    let master = RedisServer::start();
    let replica = replica_of(&master);
    let builder = redis_at(master.url()).wait_for_replicas(1, Duration::from_millis(100));
    let store: Arc<dyn Store> = Arc::new(builder.connect().await.expect("a store"));
    let a = node(&store).await;
    a.clear_tag("t").await.expect("a clear that the replica has");
    let marks = |server: &RedisServer| {
        redis::cmd("ZSCORE").arg("{cache:v3:0}:m").arg("t/-/t").query::<f64>(&mut server.connection()).expect("a mark")
    };
    assert_eq!(marks(&replica).to_bits(), marks(&master).to_bits());
    // So does what is to be written later.
    let queue = WriteBehind::builder("q").interval("1h").start(&a, Nowhere).await.expect("a queue");
    queue.add("n", 1).await.expect("a change that the replica has");
    let waits = redis::cmd("XLEN").arg("{cache:v3:0}:j:q").query::<u64>(&mut replica.connection()).expect("a number");
    assert_eq!(waits, 1);
    assert!(replica.signal("-STOP"));
    assert!(queue.add("n", 1).await.is_err());
    assert!(a.clear_tag("t").await.unwrap().journaled);
    assert!(replica.signal("-CONT"));
    // It is kept, retried, and acknowledged once the replica answers.
    until_stored(&a, "new").await;
    let refused = redis_at(master.url()).wait_for_replicas(1, Duration::ZERO).connect().await;
    assert!(refused.unwrap_err().to_string().contains("waits for nothing"));
}

/// A restart is trusted only if somebody says so.
#[tokio::test]
async fn restarts_may_be_trusted() {
    for trust in [false, true] {
        let server = RedisServer::start();
        let open = async || {
            let builder = redis_at(server.url()).trust_restarts(trust);
            Arc::new(builder.connect().await.expect("a store")) as Arc<dyn Store>
        };
        let a = node(&open().await).await;
        until_stored(&a, "kept").await;
        redis::cmd("SAVE").exec(&mut server.connection()).expect("a snapshot");
        drop(a);
        let server = server.kill().restart();
        let builder = redis_at(server.url()).trust_restarts(trust);
        let store: Arc<dyn Store> = Arc::new(builder.connect().await.expect("a store"));
        let b = node(&store).await;
        assert_eq!(b.get::<String>("key").await.is_some(), trust);
    }
}

/// A certificate authority, and what it signed.
struct Certificates {
    folder: TemporaryFolder,
}

impl Certificates {
    fn new() -> Self {
        let folder = temporary_folder("certificates");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "an authority of this test");
        let ca = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.join("ca.pem"), ca.pem()).expect("a file");
        let issuer = rcgen::Issuer::new(params, key);
        for (name, host) in [("server", "127.0.0.1"), ("client", "client")] {
            let key = rcgen::KeyPair::generate().expect("a key");
            let params = rcgen::CertificateParams::new(vec![host.to_owned()]).expect("parameters");
            let signed = params.signed_by(&key, &issuer).expect("a certificate");
            std::fs::write(folder.join(format!("{name}.pem")), signed.pem()).expect("a file");
            std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("a file");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

#[tokio::test]
async fn redis_over_tls_with_certificates_of_ones_own() {
    let certificates = Certificates::new();
    let port = cache_suite::free_port();
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-ca-cert-file",
        &certificates.path("ca.pem"),
        "--tls-cert-file",
        &certificates.path("server.pem"),
        "--tls-key-file",
        &certificates.path("server.key"),
        "--tls-auth-clients",
        "yes",
    ]);
    let url = format!("rediss://127.0.0.1:{port}");
    let from_env = |variables: Vec<(&'static str, String)>| {
        let url = url.clone();
        CacheManager::builder().without_annotation_checks().from_variables(move |name| {
            if name == "REDIS_URL" {
                return Some(url.clone());
            }
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone())
        })
    };
    let ca = ("REDIS_TLS_CA", certificates.path("ca.pem"));
    let client =
        [("REDIS_TLS_CERT", certificates.path("client.pem")), ("REDIS_TLS_KEY", certificates.path("client.key"))];
    let a = from_env([std::slice::from_ref(&ca), &client[..]].concat()).build().await.expect("a manager");
    until_stored(&a, "over TLS").await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*:e:*").query(&mut server.connection()).expect("a listing");
    assert_eq!(keys.len(), 1);
    let deadline = Instant::now() + Duration::from_secs(5);
    while a.coherence().expect("an L1").open == 0 {
        assert!(Instant::now() < deadline, "signals come over TLS as well");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    for (what, variables) in
        [("without a certificate", vec![ca.clone()]), ("with a server it does not know", client.to_vec())]
    {
        // It is not that Redis is set up wrongly for this cache: it may be right a moment later, and the service starts.
        let b = from_env(variables).build().await.expect("a manager");
        assert_eq!(value(&b, "by the handler").await, "by the handler", "{what}");
        assert_eq!(b.get::<String>("key").await, None, "{what}");
    }
    let missing = from_env(vec![("REDIS_TLS_CA", certificates.path("nothing.pem"))]).build().await;
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("nothing.pem cannot be read"), "{missing}");
}

/// A message of one node comes to another, by itself.
async fn hears(a: &CacheManager, b: &CacheManager) {
    struct One;
    impl SourceOfTruth<u64, u64> for One {
        async fn one(&self, key: &u64) -> Result<Option<Record<u64, u64>>, SourceError> {
            Ok(Some(Record { key: *key, version: 1, value: 0 }))
        }

        async fn all(&self) -> Result<Vec<Record<u64, u64>>, SourceError> {
            Ok(vec![Record { key: 7, version: 1, value: 0 }])
        }
    }
    let changes = ChangeConsumer::builder("crm").start(a).await.expect("a consumer");
    let things = CriticalCache::<u64, u64>::builder("things").start(&changes, One).await.expect("a cache");
    let publisher = ChangePublisher::builder("crm").start(b).await.expect("a publisher");
    for version in 2..2_000 {
        if changes.progress().applied > changes.progress().caught_up {
            return;
        }
        let message = ChangeMessage::new("changed").field("id", 7).from_to(0, version).version(version);
        assert!(!publisher.publish("things", message).await.expect("it is published").waiting);
        until_held(&things, version).await;
    }
    panic!("no message has come by itself");
}

async fn until_held(things: &CriticalCache<u64, u64>, value: u64) {
    for _ in 0..10_000 {
        if things.held(&7) == Some(value) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{value} is never held: {:?}", things.freshness());
}

/// The line in the documentation is all the rights it needs, and this is the test of it: the contract, two nodes, strict
/// clears, flights.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_rights_are_enough() {
    let page = read("docs/redis.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER")).expect("a line to paste");
    let server = RedisServer::start();
    let words: Vec<&str> = line.split_whitespace().skip(2).collect();
    redis::cmd("ACL").arg("SETUSER").arg(&words).exec(&mut server.connection()).expect("a user");
    let (user, password) = (words[0], words.iter().find_map(|word| word.strip_prefix('>')).expect("a password"));
    let url = server.url().replace("redis://", &format!("redis://{user}:{password}@"));

    let open = async || Arc::new(redis_at(&url).connect().await.expect("a store")) as Arc<dyn Store>;
    let (a, b) = (node_with_l1(&open().await, STRICT).await, node_with_l1(&open().await, STRICT).await);
    for round in 0..20 {
        let (old, new) = (format!("old {round}"), format!("new {round}"));
        until_stored(&a, &old).await;
        assert_eq!(value(&b, "unused").await, old);
        b.clear_tag("t").await.expect("a clear");
        assert_eq!(value(&a, &new).await, new);
        b.expire_tags(&["t"]).await.expect("an expire");
        b.clear_pattern("k*").await.expect("a clear");
    }
    assert!(a.coherence().expect("an L1").open == 1 && b.coherence().expect("an L1").open == 1);
    hears(&a, &b).await;
    drop((a, b));
    for behaviour in BEHAVIOURS {
        redis::cmd("FLUSHALL").exec(&mut server.connection()).expect("a flush");
        let store = redis_at(&url).connect().await.expect("a store");
        (behaviour.check)(Harness::new(store, |by| Box::pin(tokio::time::sleep(by)))).await;
    }
    // Nothing was tried that the user may not do.
    let log: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(&mut server.connection()).expect("a log");
    assert_eq!(log, Vec::new());
    // And nothing of others is within its reach.
    let mut raw = redis::Client::open(url).and_then(|client| client.get_connection()).expect("a connection");
    for command in [redis::cmd("GET").arg("mine"), redis::cmd("PUBLISH").arg("mine").arg(1), &redis::cmd("FLUSHALL")] {
        assert_eq!(command.exec(&mut raw).unwrap_err().code(), Some("NOPERM"));
    }
}
