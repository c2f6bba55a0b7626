//! Typed values: functions that are cached, the calls of the manager, and events published by hand.

use std::cell::Cell;

use cache_middleware::{CacheManager, Event, cached};
use cache_suite::{Kind, TestStore};

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

async fn manager(test: &TestStore) -> CacheManager {
    let builder =
        CacheManager::builder().shared_store(test.store.clone()).ttl("items", "5m").without_annotation_checks();
    builder.build().await.expect("a manager")
}

#[cached(ttl = "5m", tags = ["values:{prefix}"], skip(calls), unless = out.is_empty())]
async fn value_of(cache: &CacheManager, prefix: &str, calls: &Cell<u32>, fail: bool) -> Result<String, No> {
    calls.set(calls.get() + 1);
    if fail {
        return Err(No);
    }
    Ok(prefix.to_owned())
}

/// Two types with methods of one name, and a generic function: none answers for another.
struct Users<'a>(&'a CacheManager);
struct Secrets<'a>(&'a CacheManager);

impl Users<'_> {
    #[cached(ttl = "5m", manager = self.0, skip(self))]
    async fn find(&self, id: u64) -> String {
        format!("user {id}")
    }
}

impl Secrets<'_> {
    #[cached(ttl = "5m", manager = self.0, skip(self))]
    async fn find(&self, id: u64) -> String {
        format!("secret {id}")
    }
}

#[cached(ttl = "5m")]
async fn load<T: 'static>(cache: &CacheManager, id: u64) -> String {
    format!("{} {id}", std::any::type_name::<T>())
}

#[actix_web::test]
async fn p7_functions_of_one_name_do_not_answer_for_each_other() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    for _ in 0..2 {
        assert_eq!(Secrets(&cache).find(7).await, "secret 7");
        assert_eq!(Users(&cache).find(7).await, "user 7");
        assert_eq!(load::<u8>(&cache, 7).await, "u8 7");
        assert_eq!(load::<u16>(&cache, 7).await, "u16 7");
    }
}

/// A value that makes no tag takes none of the other clears along.
#[actix_web::test]
async fn p1_a_value_that_makes_no_tag_loses_no_other_clear() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = CacheManager::builder()
        .shared_store(test.store.clone())
        .without_annotation_checks()
        .on("renamed", ["teacher:{id}", "{title}"])
        .build()
        .await
        .expect("a manager");
    let policy = cache.policy("5m").and_then(|policy| policy.tag("teacher:7")).expect("a policy");
    for title in [String::new(), "x".repeat(300)] {
        cache.set("k", &policy, &1).await.expect("a set");
        cache.events().publish(Event::new("renamed").with("id", 7).with("title", title)).await.expect("a clear");
        assert_eq!(cache.get::<u32>("k").await, None);
    }
    cache.set("k", &policy, &1).await.expect("a set");
    let missing = cache.events().publish(Event::new("renamed").with("id", 7)).await.expect_err("a field is missing");
    assert!(missing.to_string().contains("\"title\""), "{missing}");
    assert_eq!(cache.get::<u32>("k").await, None, "and what could be cleared was");
    cache.events().publish(Event::new("unheard.of")).await.expect_err("nothing is known of it");
}

struct Service {
    cache: CacheManager,
    calls: Cell<u32>,
}

impl Service {
    #[cached(ttl = "5m", manager = self.cache, skip(self), tags = ["doubled:{number}"])]
    async fn doubled(&self, number: u64) -> u64 {
        self.calls.set(self.calls.get() + 1);
        number * 2
    }
}

#[actix_web::test]
async fn any_async_function_can_be_cached() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let calls = Cell::new(0);
        for _ in 0..2 {
            assert_eq!(value_of(&cache, "a", &calls, false).await.expect("a value"), "a");
        }
        assert_eq!(calls.get(), 1);
        assert_eq!(value_of(&cache, "b", &calls, false).await.expect("a value"), "b");
        cache.clear_tag("values:a").await.expect("a clear");
        value_of(&cache, "a", &calls, false).await.expect("a value");
        assert_eq!(calls.get(), 3);
        for _ in 0..2 {
            value_of(&cache, "", &calls, false).await.expect("a value that is not kept");
            value_of(&cache, "x", &calls, true).await.expect_err("an error that is not kept");
        }
        assert_eq!(calls.get(), 7);

        let service = Service { cache: cache.clone(), calls: Cell::new(0) };
        assert_eq!((service.doubled(2).await, service.doubled(2).await, service.doubled(3).await), (4, 4, 6));
        assert_eq!(service.calls.get(), 2);
        assert_eq!(cache.entries("doubled:2", 10).await.expect("a listing").len(), 1);
    }
}

#[actix_web::test]
async fn typed_values_have_the_same_store_and_tenants() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let policy = cache.policy("items").and_then(|policy| policy.tag("t")).expect("a policy");
        let acme = cache.tenant("acme").expect("a tenant");
        cache.set_many(&policy, &[("a", 1), ("b", 2)]).await.expect("a set");
        acme.set("a", &policy, &10).await.expect("a set");
        assert_eq!(cache.get_many::<u32>(&["a", "b", "c"]).await, [Some(1), Some(2), None]);
        assert_eq!(acme.get_many::<u32>(&["a", "b"]).await, [Some(10), None]);
        assert_eq!(cache.get::<String>("a").await, None, "another type's bytes are a miss");
        acme.clear_all().await.expect("a clear");
        assert_eq!((acme.get::<u32>("a").await, cache.get::<u32>("a").await), (None, Some(1)), "{kind:?}");
        assert!(acme.clear_tenant("globex").await.is_err());
        cache.clear_pattern("[a]").await.expect("a clear");
        assert_eq!(cache.get_many::<u32>(&["a", "b"]).await, [None, Some(2)], "{kind:?}");
        cache.expire_tags(&["t"]).await.expect("an expire");
        assert_eq!(cache.get::<u32>("b").await, None, "nothing stale is served without a stale window");
    }
}

fn calls(server: &cache_suite::RedisServer, command: &str) -> u64 {
    server.commands().get(command).map_or(0, |(calls, _)| *calls)
}

/// Many at once are few commands: 64 look-ups each, and one clear for a hundred.
#[tokio::test]
async fn many_values_are_few_commands() {
    let test = TestStore::open(Kind::Redis).await;
    let cache = test.node().await;
    let policy = cache.policy("5m").and_then(|policy| policy.tag("many")).expect("a policy");
    let keys: Vec<String> = (0..150).map(|n| format!("k{n}")).collect();
    let values: Vec<(&str, usize)> = keys.iter().map(String::as_str).zip(0..).collect();
    let server = test.server.as_ref().expect("a server");
    // Each clear is one signal.
    let signals = calls(server, "publish");
    assert_eq!(cache.set_many(&policy, &values).await.expect("a set"), vec![true; 150]);
    assert_eq!(calls(server, "publish") - signals, 2);
    let asked = calls(server, "mget");
    let mut wanted: Vec<&str> = keys.iter().map(String::as_str).collect();
    wanted.push("nobody");
    let mut expected: Vec<Option<usize>> = (0..150).map(Some).collect();
    expected.push(None);
    assert_eq!(cache.get_many::<usize>(&wanted).await, expected);
    assert_eq!(calls(server, "mget") - asked, 3);
    assert_eq!(cache.get_many::<usize>(&[]).await, []);
    let long = "x".repeat(9_000);
    cache.set_many(&policy, &[("good", 1), (long.as_str(), 2)]).await.expect_err("a key is too long");
    assert_eq!(cache.get::<usize>("good").await, None, "nothing is half done");
    cache.clear_tag("many").await.expect("a clear");
    assert_eq!(cache.get_many::<usize>(&wanted[..2]).await, [None, None]);
}
