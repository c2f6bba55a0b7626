//! Settings of the Redis store, and servers that must not be used.

use std::time::Duration;

use cache_middleware::ConfigError;
use cache_middleware::store::RedisStore;
use cache_suite::{RedisServer, redis_at};

use super::{Refusal, refusals};

/// With the address of a server at home instead of the test's.
fn at_home(error: &ConfigError, server: &RedisServer) -> String {
    error.to_string().replace(&server.port().to_string(), "6379")
}

pub(super) async fn settings() -> Vec<Refusal> {
    let mut refused = refusals!(store = RedisStore::builder, store.connect().await;
        [("localhost:6379")]
        [("redis://127.0.0.1:6379,127.0.0.1:6380/1")]
        [("redis+sentinel://127.0.0.1:26379")]
        [("redis://127.0.0.1").tls_ca("ca.pem")]
        [("rediss://127.0.0.1").tls_ca("no-such.pem")]
        [("redis://127.0.0.1").namespace("my app")]
        [("redis://127.0.0.1").partitions(0)]
        [("redis://127.0.0.1").command_timeout(Duration::ZERO)]
        [("redis://127.0.0.1").command_timeout(Duration::MAX)]
        [("redis://127.0.0.1").wait_for_replicas(1, Duration::ZERO)]
    );
    let plain = RedisServer::start();
    redis_at(plain.url()).partitions(4).connect().await.expect("a namespace of 4 partitions");
    let guarded = RedisServer::start_with(&["--requirepass", "hunter2"]);
    let evicting = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    for (written, server, store) in [
        (".partitions(2), begun with 4", &plain, redis_at(plain.url()).partitions(2)),
        ("redis://127.0.0.1:6379/99", &plain, redis_at(plain.url() + "/99")),
        ("redis://127.0.0.1:6379, with requirepass", &guarded, redis_at(guarded.url())),
        ("redis://127.0.0.1:6379, with maxmemory-policy allkeys-lru", &evicting, redis_at(evicting.url())),
    ] {
        refused.push(Refusal::of(written, store.connect().await.map_err(|error| at_home(&error, server))));
    }
    refused
}
