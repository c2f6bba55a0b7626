//! Values in Redis, encrypted: unreadable, bound to their place, and read with every key of a rotation (rule R15).

use std::sync::Arc;

use cache_middleware::store::Store;
use cache_middleware::{CacheManager, EncryptionKey};
use cache_suite::{RedisServer, node, redis_at};

const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

struct Node {
    cache: CacheManager,
    store: Arc<dyn Store>,
}

impl Node {
    async fn with(server: &RedisServer, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|key| EncryptionKey::parse(key).expect("a key"));
        let builder = redis_at(server.url()).encryption_keys(keys);
        let store: Arc<dyn Store> = Arc::new(builder.connect().await.expect("a store"));
        Self { cache: node(&store).await, store }
    }

    async fn set(&self, key: &str, value: &str) {
        let policy = self.cache.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy");
        assert!(self.cache.set(key, &policy, &value.to_owned()).await.expect("a set"));
    }

    async fn get(&self, key: &str) -> Option<String> {
        self.cache.get(key).await
    }
}

fn values(server: &RedisServer) -> Vec<(String, Vec<u8>)> {
    let mut raw = server.connection();
    let names: Vec<String> = redis::cmd("KEYS").arg("*:e:*").query(&mut raw).expect("names");
    let value = |name: String| {
        let value = redis::cmd("GET").arg(&name).query(&mut server.connection()).expect("a value");
        (name, value)
    };
    names.into_iter().map(value).collect()
}

fn put(server: &RedisServer, name: &str, value: &[u8]) {
    redis::cmd("SET").arg(name).arg(value).arg("KEEPTTL").exec(&mut server.connection()).expect("a set");
}

#[tokio::test]
async fn r15_nobody_reads_values_without_the_key() {
    let server = RedisServer::start();
    let node = Node::with(&server, &[OLD]).await;
    node.set("salary", "a hundred thousand").await;
    assert_eq!(node.get("salary").await.as_deref(), Some("a hundred thousand"));
    let [(_, value)] = &values(&server)[..] else { panic!("one value") };
    assert!(!value.windows(7).any(|window| window == b"hundred"), "{}", String::from_utf8_lossy(value));
    assert_eq!(node.store.refused_values(), 0);
    // What the index is made of works as ever.
    assert_eq!(node.cache.clear_tag("t").await.expect("a clear").covered, 1);
    assert_eq!(node.get("salary").await, None);
}

#[tokio::test]
async fn r15_a_value_that_is_swapped_or_tampered_with_is_a_miss_and_counted() {
    let server = RedisServer::start();
    let node = Node::with(&server, &[OLD]).await;
    node.set("mine", "1").await;
    node.set("yours", "2").await;
    let found = values(&server);
    let (a, b) = (&found[0], &found[1]);
    put(&server, &a.0, &b.1);
    put(&server, &b.0, &a.1);
    assert_eq!((node.get("mine").await, node.get("yours").await), (None, None));
    assert_eq!(node.store.refused_values(), 2);
    put(&server, &a.0, &a.1);
    put(&server, &b.0, &b.1);
    assert_eq!((node.get("mine").await.as_deref(), node.get("yours").await.as_deref()), (Some("1"), Some("2")));
    // All but the checksum, which is made anew of what was authenticated.
    for place in [3, 10, 30, 50, 60, a.1.len() - 1] {
        let mut tampered = a.1.clone();
        tampered[place] ^= 1;
        put(&server, &a.0, &tampered);
        let before = node.store.refused_values();
        node.get("mine").await;
        node.get("yours").await;
        assert_eq!(node.store.refused_values(), before + 1, "byte {place}");
    }
}

#[tokio::test]
async fn r15_keys_are_rotated_without_a_miss() {
    let server = RedisServer::start();
    let (old, both, new) =
        (Node::with(&server, &[OLD]).await, Node::with(&server, &[NEW, OLD]).await, Node::with(&server, &[NEW]).await);
    old.set("a", "old").await;
    assert_eq!(both.get("a").await.as_deref(), Some("old"));
    assert_eq!((new.get("a").await, new.store.refused_values()), (None, 1));
    both.set("b", "new").await;
    assert_eq!(new.get("b").await.as_deref(), Some("new"));
    assert_eq!(old.get("b").await, None);
}

/// Whoever may write to Redis could put what they like where nothing is sealed.
#[tokio::test]
async fn r15_with_a_key_nothing_is_believed_that_is_not_sealed() {
    let server = RedisServer::start();
    let (plain, sealed) = (Node::with(&server, &[]).await, Node::with(&server, &[OLD]).await);
    plain.set("a", "plain").await;
    assert_eq!((sealed.get("a").await, sealed.store.refused_values()), (None, 1));
    sealed.set("a", "sealed").await;
    assert_eq!((plain.get("a").await, plain.store.refused_values()), (None, 1));
}
