//! TTLs that begin anew with each access, as those of sessions.

use std::sync::Arc;
use std::time::Duration;

use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::{MemoryStore, Store};
use cache_middleware::time::ManualTime;
use cache_middleware::{CacheError, CacheManager, Coherence, ValuePolicy};
use cache_suite::{Kind, TestStore, node, node_with_l1};

const MINUTE: Duration = Duration::from_secs(60);

fn sessions(cache: &CacheManager, longest: Duration) -> ValuePolicy {
    cache.policy("10m").and_then(|policy| policy.tag("user:7")?.sliding(longest)).expect("a policy")
}

/// A renewal runs in a task of this thread, and with the embedded store it never waits: it has ended when others have had a turn.
async fn others_have_a_turn() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

async fn over(store: Arc<ChaosStore>) -> CacheManager {
    CacheManager::builder().shared_store(store).without_annotation_checks().build().await.expect("a manager")
}

async fn at_hand() -> (ManualTime, Arc<dyn Store>, Arc<ChaosStore>, CacheManager) {
    let time = ManualTime::default();
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(time.clone()).build());
    let store = ChaosStore::before_shared(inner.clone());
    (time, inner, store.clone(), over(store).await)
}

/// Lives as long as it is accessed; dies a TTL after that, and at its longest in any case.
#[tokio::test]
async fn an_access_begins_the_ttl_anew() {
    let (time, _, store, cache) = at_hand().await;
    let policy = sessions(&cache, 60 * MINUTE);
    cache.set("s", &policy, &1).await.expect("a set");
    let alive = async |cache: &CacheManager| {
        let alive = cache.get_with::<u8>("s", &policy).await.is_some();
        others_have_a_turn().await;
        alive
    };
    for minute in 0..7 {
        time.advance(8 * MINUTE);
        assert!(alive(&cache).await, "{minute}");
        let listed = cache.entries("user:7", 10).await.expect("a list");
        assert!(listed.len() == 1, "its tag reaches it: {minute}");
    }
    // 56 minutes are over, and four are left, whoever asks.
    time.advance(3 * MINUTE);
    assert!(alive(&cache).await);
    time.advance(2 * MINUTE);
    assert!(!alive(&cache).await, "an hour is over");

    cache.set("s", &policy, &2).await.expect("a set");
    time.advance(9 * MINUTE);
    assert!(alive(&cache).await);
    time.advance(10 * MINUTE);
    assert!(!alive(&cache).await, "nobody has accessed it for a TTL");

    // Within a tenth of it nothing is written, and a plain `get` never begins it anew.
    cache.set("s", &policy, &3).await.expect("a set");
    let written = store.asked(Operation::Fill);
    for _ in 0..20 {
        time.advance(Duration::from_secs(2));
        assert!(alive(&cache).await);
    }
    assert_eq!(store.asked(Operation::Fill), written);
    time.advance(9 * MINUTE);
    assert_eq!(cache.get::<u8>("s").await, Some(3));
    time.advance(MINUTE);
    assert!(!alive(&cache).await);
}

#[tokio::test]
async fn a_fetched_value_slides_too() {
    let (time, _, _, cache) = at_hand().await;
    let policy = sessions(&cache, 60 * MINUTE);
    let ask = async |fresh: u8| {
        let value = cache.get_or_set("s", &policy, async || Ok::<_, std::io::Error>(fresh)).await.expect("an answer");
        others_have_a_turn().await;
        value
    };
    assert_eq!(ask(1).await, 1);
    for fresh in 2..6 {
        time.advance(9 * MINUTE);
        assert_eq!(ask(fresh).await, 1);
    }
    let too_short = cache.policy("10m").expect("a policy").sliding(MINUTE).expect_err("a refusal").to_string();
    assert!(too_short.contains("does not slide"), "{too_short}");
}

/// What comes between the reading of an entry and its renewal wins: a clear, an expire, a value that was put, and one that was
/// fetched anew. Fails when the renewed entry has a newer stamp than the reading, or replaces whatever is there.
#[tokio::test]
async fn p1_a_renewal_undoes_nothing() {
    for (what, left) in [("clear", None), ("expire", None), ("set", Some(2)), ("refresh", Some(2))] {
        let (time, inner, store, cache) = at_hand().await;
        let policy = sessions(&cache, 60 * MINUTE);
        cache.set("s", &policy, &1).await.expect("a set");
        time.advance(5 * MINUTE);
        store.inject(Operation::Fill, Fault::Hang);
        let renewing = tokio::spawn({
            let (cache, policy) = (cache.clone(), policy.clone());
            async move { cache.get_with::<u8>("s", &policy).await }
        });
        store.until_held(Operation::Fill).await;
        let other = node(&inner).await;
        match what {
            "clear" => drop(other.clear_tag("user:7").await.expect("a clear")),
            "expire" => drop(other.expire_tags(&["user:7"]).await.expect("an expire")),
            "set" => assert!(other.set("s", &policy, &2).await.expect("a set")),
            _ => {
                let early = other.policy("10m").and_then(|policy| policy.early_refresh(0.1)).expect("a policy");
                let fetched = other.get_or_set("s", &early, async || Ok::<_, std::io::Error>(2)).await;
                assert_eq!(fetched.expect("an answer"), 2);
            }
        }
        store.heal();
        assert_eq!(renewing.await.expect("no panic"), Some(1), "{what}: it was there when it was accessed");
        others_have_a_turn().await;
        assert_eq!(cache.get::<u8>("s").await, left, "{what}");
    }
}

/// What says that there is nothing is kept for its own TTL, however often it is asked for.
#[tokio::test]
async fn nothing_does_not_slide() {
    let (time, _, _, cache) = at_hand().await;
    let policy = cache.policy("10m").expect("a policy").negative_ttl(Duration::from_secs(10));
    let policy = policy.sliding(60 * MINUTE).expect("a policy");
    let ask = async |fresh: Option<u8>| {
        cache.get_or_set("s", &policy, async || Ok::<_, std::io::Error>(fresh)).await.expect("an answer")
    };
    assert_eq!(ask(None).await, None);
    for _ in 0..3 {
        time.advance(Duration::from_secs(3));
        assert_eq!(ask(Some(1)).await, None);
        others_have_a_turn().await;
    }
    time.advance(Duration::from_secs(3));
    assert_eq!(ask(Some(1)).await, Some(1));
}

/// A hit in memory does not wait for Redis because its TTL is due.
#[tokio::test]
async fn p8_an_access_does_not_wait_for_its_renewal() {
    let (time, _, store, cache) = at_hand().await;
    let policy = sessions(&cache, 60 * MINUTE);
    cache.set("s", &policy, &1).await.expect("a set");
    time.advance(5 * MINUTE);
    store.inject(Operation::Fill, Fault::Hang);
    for _ in 0..10 {
        assert_eq!(cache.get_with::<u8>("s", &policy).await, Some(1));
    }
    store.until_held(Operation::Fill).await;
    let asked = store.asked(Operation::Fill);
    assert_eq!(cache.get_with::<u8>("s", &policy).await, Some(1));
    assert_eq!(store.asked(Operation::Fill), asked, "one renewal at a time");
}

/// Who has no session may be logged out, or Redis may be away.
#[tokio::test]
async fn a_store_that_is_away_is_told_from_nothing() {
    let (_, _, store, cache) = at_hand().await;
    let policy = sessions(&cache, 60 * MINUTE);
    assert!(matches!(cache.try_get_with::<u8>("s", &policy).await, Ok(None)));
    cache.set("s", &policy, &1).await.expect("a set");
    assert!(matches!(cache.try_get_with::<u8>("s", &policy).await, Ok(Some(1))));
    store.inject(Operation::Read, Fault::Error);
    assert!(matches!(cache.try_get_with::<u8>("s", &policy).await, Err(CacheError::Store(_))));
    assert_eq!(cache.get_with::<u8>("s", &policy).await, None);
    policy.adaptive_ttl(MINUTE, 20 * MINUTE).expect_err("it slides already");
}

/// In Redis, over two nodes with an L1: who has an old copy learns that it was renewed.
#[tokio::test]
async fn nodes_renew_for_each_other() {
    let test = TestStore::open(Kind::Redis).await;
    let one = node_with_l1(&test.store, Coherence::default()).await;
    let two = node_with_l1(&test.store, Coherence::default()).await;
    let policy = one.policy("1s").and_then(|policy| policy.tag("t")?.sliding(MINUTE)).expect("a policy");
    one.set("s", &policy, &7).await.expect("a set");
    let began = std::time::Instant::now();
    let mut accessed = began;
    let mut node = [&one, &two].into_iter().cycle();
    while began.elapsed() < Duration::from_millis(2_500) {
        let alive = node.next().expect("a node").get_with::<u8>("s", &policy).await;
        // A machine that stood still for that long has let it die.
        assert!(alive == Some(7) || accessed.elapsed() > Duration::from_millis(850), "{:?}", began.elapsed());
        accessed = std::time::Instant::now();
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    two.clear_tag("t").await.expect("a clear");
    assert_eq!(two.get_with::<u8>("s", &policy).await, None);
}
