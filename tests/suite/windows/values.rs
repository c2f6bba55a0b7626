//! Windows of typed values.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_middleware::store::MemoryStore;
use cache_middleware::time::ManualTime;
use cache_middleware::{CacheManager, EarlyRefresh, ValuePolicy, cached};
use tokio::sync::Semaphore;

use super::{World, until};

fn policy(world: &World) -> ValuePolicy {
    let policy = world.cache.policy("10s").expect("a TTL").tag("t").expect("a tag");
    policy.stale(Duration::from_secs(30)).stale_if_error(Duration::from_secs(60))
}

async fn fetch(world: &World) -> Result<usize, String> {
    world.run().await.map(|(run, _)| run).map_err(|status| status.to_string())
}

/// The first who asks fetches; the others are answered with what is stale.
#[actix_web::test]
async fn one_waits_and_the_others_are_answered() {
    let world = World::new().await;
    let policy = policy(&world);
    let ask = || world.cache.get_or_set("k", &policy, async || fetch(&world).await);
    assert_eq!(ask().await, Ok(1));
    world.after(15);
    world.close();
    let first = async {
        let value = ask().await;
        assert_eq!(value, Ok(2));
    };
    let others = async {
        world.until_runs(2).await;
        for _ in 0..5 {
            assert_eq!(ask().await, Ok(1));
        }
        world.open();
    };
    tokio::join!(first, others);
    assert_eq!(ask().await, Ok(2));
    world.after(15);
    world.cache.clear_tag("t").await.expect("a clear");
    assert_eq!(ask().await, Ok(3), "a clear ends the window");
}

/// A fetch that hangs in the background does not keep others from theirs for ever. Fails when it has no limit.
#[tokio::test]
async fn p9_a_fetch_that_hangs_in_the_background_ends() {
    let time = ManualTime::default();
    let store = MemoryStore::builder().time(time.clone()).build();
    let builder = CacheManager::builder().store(store).without_annotation_checks();
    let builder = builder.background_runs(1).flight_patience(Duration::from_millis(10));
    let cache = builder.build().await.expect("a manager");
    let policy = cache.policy("10s").expect("a policy").stale(Duration::from_secs(60));
    for key in ["hangs", "other"] {
        cache.set(key, &policy, &1_u8).await.expect("a set");
    }
    time.advance(Duration::from_secs(15));
    let began = Arc::new(Semaphore::new(0));
    let hangs = began.clone();
    let hanging = move || async move {
        hangs.add_permits(1);
        std::future::pending::<Result<u8, String>>().await
    };
    assert_eq!(cache.get_or_refresh("hangs", &policy, hanging).await, Ok(1));
    let _began = began.acquire().await;
    // As soon as there is room again, the other is fetched anew.
    let fetched = async {
        while cache.get_or_refresh("other", &policy, || async { Ok::<_, String>(2_u8) }).await != Ok(2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), fetched).await.expect("the one that hangs has ended");
}

#[actix_web::test]
async fn nobody_waits_for_a_refresh_in_the_background() {
    let world = World::new().await;
    let policy = policy(&world);
    let ask = || {
        let fetching = world.clone();
        world.cache.get_or_refresh("k", &policy, move || async move { fetch(&fetching).await })
    };
    assert_eq!(ask().await, Ok(1));
    world.after(15);
    assert_eq!(ask().await, Ok(1));
    world.until_done(2).await;
    until(|| world.runs() == 2).await;
    assert_eq!(ask().await, Ok(2));
}

#[actix_web::test]
async fn a_fetch_that_fails_is_answered_with_what_there_is() {
    let world = World::new().await;
    let policy = policy(&world);
    let ask = || world.cache.get_or_set("k", &policy, async || fetch(&world).await);
    assert_eq!(ask().await, Ok(1));
    world.answers(500, "");
    for after in [15, 30] {
        world.after(after);
        assert_eq!(ask().await, Ok(1));
    }
    // Within its rest it is not even tried.
    let runs = world.runs();
    assert_eq!(ask().await, Ok(1));
    assert_eq!(world.runs(), runs);
    world.after(60);
    assert!(ask().await.is_err());
}

#[actix_web::test]
async fn a_fresh_value_survives_an_early_refresh_that_fails() {
    let world = World::new().await;
    let policy = world.cache.policy("10s").expect("a TTL").early_refresh(0.5).expect("a part");
    let ask = || world.cache.get_or_set("k", &policy, async || fetch(&world).await);
    assert_eq!(ask().await, Ok(1));
    world.after(6);
    world.answers(500, "");
    assert_eq!(ask().await, Ok(1));
    assert_eq!(world.runs(), 2);
    world.answers(200, "");
    world.after(2);
    assert_eq!(ask().await, Ok(3));
}

#[actix_web::test]
async fn none_is_remembered_briefly() {
    let world = World::new().await;
    let policy = world.cache.policy("1h").expect("a TTL").negative_ttl(Duration::from_secs(5));
    let runs = AtomicUsize::new(0);
    let ask = || {
        world.cache.get_or_set("k", &policy, async || {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<Option<u8>, String>(None)
        })
    };
    for (after, expected) in [(0, 1), (4, 1), (2, 2)] {
        world.after(after);
        assert_eq!(ask().await, Ok(None));
        assert_eq!(runs.load(Ordering::SeqCst), expected);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new().await;
        let policy = || world.cache.policy("10s").expect("a TTL");
        for refused in [policy().jitter(1.5), policy().early_refresh(1.0), policy().early_refresh(f64::NAN)] {
            assert!(refused.is_err());
        }
        assert!(policy().early_refresh(EarlyRefresh::XFETCH).is_ok());
    });
}

struct Repository {
    cache: CacheManager,
    runs: AtomicUsize,
    gate: Semaphore,
}

impl Repository {
    #[cached(ttl = "10s", manager = self.cache, skip(self), stale = "30s", stale_if_error = "60s")]
    async fn load(&self, id: u64) -> Result<u64, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let _permit = self.gate.acquire().await;
        if id == 0 { Err("none".to_owned()) } else { Ok(id * 10 + self.runs.load(Ordering::SeqCst) as u64) }
    }
}

/// A cached function borrows its arguments, so whoever finds it stale first waits for it.
#[actix_web::test]
async fn a_function_has_windows_too() {
    let world = World::new().await;
    let gate = Semaphore::new(Semaphore::MAX_PERMITS);
    let repository = Arc::new(Repository { cache: world.cache.clone(), runs: AtomicUsize::new(0), gate });
    assert_eq!(repository.load(7).await, Ok(71));
    world.after(15);
    repository.gate.forget_permits(Semaphore::MAX_PERMITS);
    let first = async { assert_eq!(repository.load(7).await, Ok(72)) };
    let second = async {
        until(|| repository.runs.load(Ordering::SeqCst) == 2).await;
        assert_eq!(repository.load(7).await, Ok(71));
        repository.gate.add_permits(1);
    };
    tokio::join!(first, second);
}
