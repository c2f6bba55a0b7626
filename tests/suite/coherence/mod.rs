//! What a node may serve from its own memory (P1), in good and in bad weather between it and Redis.
//!
//! Each node has a connection of its own through a proxy, as if it were another host.

mod bounded;
mod strict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_middleware::store::Store;
use cache_middleware::{CacheManager, Coherence, ValuePolicy};
use cache_suite::{Proxy, RedisServer, node_with_l1, redis_at};

const BOUND: Duration = Duration::from_millis(300);
const BOUNDED: Coherence = Coherence::Bounded(BOUND);
const STRICT: Coherence = Coherence::Strict(BOUND);

/// A node with an L1, and the weather on its way to Redis.
struct Node {
    cache: CacheManager,
    store: Arc<dyn Store>,
    proxy: Proxy,
}

async fn node(server: &RedisServer, coherence: Coherence) -> Node {
    let proxy = Proxy::before(server.port()).await;
    let store: Arc<dyn Store> = Arc::new(redis_at(proxy.url()).connect().await.expect("a store"));
    let node = Node { cache: node_with_l1(&store, coherence).await, store, proxy };
    node.until("L1 is open", Node::is_open).await;
    node
}

impl Node {
    fn is_open(&self) -> bool {
        self.cache.coherence().expect("an L1").open == 1
    }

    fn hits(&self) -> u64 {
        self.cache.coherence().expect("an L1").l1_hits
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.cache.coherence());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn policy(&self) -> ValuePolicy {
        self.cache.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy")
    }

    async fn value(&self, fetched: &str) -> String {
        let fetch = async || Ok::<_, std::convert::Infallible>(fetched.to_owned());
        self.cache.get_or_set("key", &self.policy(), fetch).await.expect("no error")
    }

    /// Reads until it is answered from memory.
    async fn warm(&self, expected: &str) {
        let before = self.hits();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.hits() == before {
            assert_eq!(self.value(expected).await, expected);
            assert!(Instant::now() < deadline, "never held: {:?}", self.cache.coherence());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn two(coherence: Coherence) -> (RedisServer, Node, Node) {
    let server = RedisServer::start();
    let (a, b) = (node(&server, coherence).await, node(&server, coherence).await);
    (server, a, b)
}
