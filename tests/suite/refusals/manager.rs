//! Settings of a manager, annotations that they do not fit, and variables of the environment.

use std::time::Duration;

use cache_middleware::store::MemoryStore;
use cache_middleware::{CacheManager, CacheManagerBuilder, Coherence, Preset, ReadYourWrites};
use cache_suite::{RedisServer, redis_at};

use super::{Refusal, refusals};

pub(super) async fn settings() -> Vec<Refusal> {
    let mut refused = refusals!(builder = CacheManager::builder(), builder.without_annotation_checks().build().await;
        [.ttl("session-list", "5 parsecs")]
        [.ttl("session-list", "0s")]
        [.ttl("5m", "5m")]
        [.ttl("a", "1m").ttl("a", "2m")]
        [.on("session.created", ["teacher:{teacher_id"])]
        [.on("session.created", ["two words"])]
        [.on("session.created", Vec::<String>::new())]
        [.cleared_by_call(["two words"])]
        [.settle("session.created", "500ms")]
        [.on("e", ["a"]).settle("e", "5m")]
        [.preset("lists", Preset::new("nothing"))]
        [.preset("lists", Preset::new("1m").adaptive_ttl("10m..5s"))]
        [.preset("lists", Preset::new("1m").adaptive_ttl("5s"))]
        [.preset("lists", Preset::new("1s").adaptive_ttl("5s..10m"))]
        [.preset("lists", Preset::new("1m")).preset("lists", Preset::new("2m"))]
        [.tenant_quota(0)]
        [.tenant_quota(1 << 20)]
        [.tenant_classes(&["tenant"], |_| "tenant")]
        [.tenant_classes(&["a", "b", "c", "d", "e", "f", "g"], |_| "a")]
        [.flight_patience(Duration::ZERO)]
        [.back_off(Duration::from_secs(9), Duration::from_secs(1))]
        [.adaptive_penalty(Duration::ZERO)]
        [.l1_bytes(1_000)]
        [.l1_ttl("soon")]
        [.coherence(Coherence::Bounded(Duration::from_secs(60)))]
        [.read_your_writes(ReadYourWrites::header("two words"))]
        [.probe(0.0, "2s")]
        [.flight_patience(Duration::MAX)]
        [.probe(1.5, "2s")]
        [.probe(f64::NAN, "2s")]
        [.probe(0.01, "soon")]
        [.journal("/no/such/folder/journal")]
    );
    let server = RedisServer::start();
    let on = async |partitions: u16| {
        let store = redis_at(server.url()).namespace(format!("p{partitions}")).partitions(partitions).connect().await;
        CacheManager::builder().store(store.expect("a store")).without_annotation_checks()
    };
    let hasty = on(1).await.probe(0.01, "10ms").build().await;
    refused.push(Refusal::of("CacheManager::builder().store(redis).probe(0.01, \"10ms\")", hasty));
    let crowded = on(512).await.read_your_writes(ReadYourWrites::cookie("token")).build().await;
    refused.push(Refusal::of("CacheManager::builder().store(of_512_partitions).read_your_writes(..)", crowded));
    refused
}

/// A manager that every annotation of this program fits.
fn fitting() -> CacheManagerBuilder {
    CacheManager::builder().store(MemoryStore::default()).ttl("items", "5m").tenant_of(|_| None)
}

/// The first of what is wrong, without its place.
fn first(error: &cache_middleware::ConfigError) -> String {
    let problem = error.problems().first().expect("a problem");
    problem.split_once("): ").expect("a place").1.to_owned()
}

pub(super) async fn annotations() -> Vec<Refusal> {
    let nothing = async |_| {};
    let both =
        |builder: CacheManagerBuilder| builder.subscribe("item.updated", nothing).subscribe("item.renamed", nothing);
    let unknown_ttl = both(CacheManager::builder().ttl("item", "5m").tenant_of(|_| None));
    let no_rule = fitting().on("item.update", ["items"]).subscribe("item.renamed", nothing);
    let no_field = fitting().on("item.updated", ["item:{id}:{colour}"]).subscribe("item.renamed", nothing);
    let no_tenant = both(CacheManager::builder().ttl("items", "5m"));
    let mut refused = Vec::new();
    for (written, builder) in [
        ("#[cached(ttl = \"items\")]", unknown_ttl),
        ("#[invalidates(event = \"item.updated\")]", no_rule),
        ("#[invalidates(event = \"item.updated\", id = id)]", no_field),
        ("#[cached(ttl = \"5m\", tenant_bound)]", no_tenant),
    ] {
        refused.push(Refusal::of(written, builder.build().await.map_err(|error| first(&error))));
    }
    refused
}

pub(super) async fn variables() -> Vec<Refusal> {
    let mut refused = Vec::new();
    for (set, without) in [
        (&["REDIS_URL=localhost"][..], None),
        (&["REDIS_URL=redis://127.0.0.1", "REDIS_HOST=127.0.0.1"], None),
        (&["REDIS_URL="], None),
        (&["REDIS_HOST="], None),
        (&["REDIS_HOST=127.0.0.1:6379"], None),
        (&["REDIS_HOST=http://redis"], None),
        (&["REDIS_HOST=redis", "REDIS_PORT=http"], None),
        (&["REDIS_PORT=6379"], Some("REDIS_HOST")),
        (&["REDIS_URL=redis://127.0.0.1", "REDIS_TLS_CERT=a.pem"], Some("REDIS_TLS_KEY")),
        (&["CACHE_NAMESPACE=my app"], None),
        (&["CACHE_DEFAULT_TTL=5m"], None),
        (&["CACHE_L1_BYTES=64MB"], None),
        (&["CACHE_COHERENCE=eventual"], None),
        (&["CACHE_REDIS_TIMEOUT=50ms"], None),
        (&["CACHE_HEALTH_CHECK_INTERVAL=30s"], None),
        (&["CACHE_ENCRYPTION_KEY=hunter2"], None),
    ] {
        let value =
            |name: &str| set.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
        let built = CacheManager::builder().from_variables(value).without_annotation_checks().build().await;
        let without = without.map_or_else(String::new, |name| format!(", and no {name}"));
        refused.push(Refusal::of(set.join(" ") + &without, built));
    }
    refused
}
