//! Warming: at the start, after events, by priority, within its budget, once for the fleet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache_middleware::{CacheManager, CacheWarmer, Event, Warm, Warming};
use cache_suite::{Kind, TestStore};

/// The names of what ran, in their order.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<Vec<String>>>);

impl Ran {
    fn names(&self) -> Vec<String> {
        self.0.lock().expect("a lock").clone()
    }

    /// Fills an entry of its name.
    fn warm(&self, name: &str) -> Warm {
        let (ran, name) = (self.clone(), name.to_owned());
        Warm::new(name.clone(), async move |cache: CacheManager| {
            let policy = cache.policy("5m").map_err(|error| error.to_string())?.tag("t").map_err(|e| e.to_string())?;
            let fetch = async || {
                ran.0.lock().expect("a lock").push(name.clone());
                Ok::<_, String>(1_u8)
            };
            cache.get_or_set(&name, &policy, fetch).await.map(|_| ())
        })
    }
}

async fn manager(test: &TestStore) -> CacheManager {
    let builder = CacheManager::builder().shared_store(test.store.clone()).without_annotation_checks();
    builder.on("menu.updated", ["t"]).build().await.expect("a manager")
}

#[tokio::test]
async fn what_is_named_is_there_when_it_is_ready() {
    for kind in [Kind::Memory, Kind::Redis] {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let ran = Ran::default();
        let named = ran.clone();
        let warming = Warming::new().concurrency(1).at_start(move |_| {
            let named = named.clone();
            async move {
                // It is not ready while it is not even known what is to be warmed.
                tokio::time::sleep(Duration::from_millis(50)).await;
                vec![
                    named.warm("low").priority(-1),
                    named.warm("first"),
                    named.warm("high").priority(9),
                    named.warm("second"),
                ]
            }
        });
        let warmer = CacheWarmer::start(&cache, warming).expect("a warmer");
        assert!(!warmer.progress().ready);
        warmer.ready().await;
        assert_eq!(ran.names(), ["high", "first", "second", "low"], "{kind:?}");
        assert_eq!(cache.get::<u8>("low").await, Some(1), "{kind:?}");
        let progress = warmer.progress();
        assert_eq!((progress.done, progress.waiting, progress.running), (4, 0, 0), "{kind:?}");
    }
}

/// Of nodes that start together, one warms each. Fails when nobody counts.
#[tokio::test]
async fn p6_each_is_warmed_once_in_the_fleet() {
    let test = TestStore::open(Kind::Redis).await;
    let ran = Ran::default();
    let warming = {
        let ran = ran.clone();
        // Without entries to find: what a second node would do as well.
        let job = move |n: usize| {
            let ran = ran.clone();
            Warm::new(format!("job:{n}"), async move |_| {
                ran.0.lock().expect("a lock").push(n.to_string());
                Ok::<_, String>(())
            })
        };
        Warming::new().per_second(1_000).at_start(move |_| {
            let jobs: Vec<Warm> = (0..20).map(&job).collect();
            async move { jobs }
        })
    };
    let (one, two) = (manager(&test).await, manager(&test).await);
    let warmers = [&one, &two].map(|cache| CacheWarmer::start(cache, warming.clone()).expect("a warmer"));
    for warmer in &warmers {
        warmer.ready().await;
    }
    assert_eq!(ran.names().len(), 20);
    let [a, b] = warmers.map(|warmer| warmer.progress());
    assert_eq!((a.done + b.done, a.skipped + b.skipped), (20, 20));
}

#[tokio::test]
async fn p1_an_event_warms_what_it_has_cleared() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let ran = Ran::default();
    let named = ran.clone();
    let warming = Warming::new()
        .on("menu.updated", move |event| vec![named.warm(&format!("menu:{}", event.field("id").unwrap_or_default()))]);
    let warmer = CacheWarmer::start(&cache, warming).expect("a warmer");
    for expected in 1..=3 {
        cache.events().publish(Event::new("menu.updated").with("id", "7")).await.expect("a clear");
        let warmed = async {
            while ran.names().len() < expected {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            warmer.idle().await;
        };
        tokio::time::timeout(Duration::from_secs(5), warmed).await.expect("it is warmed");
        assert_eq!(cache.get::<u8>("menu:7").await, Some(1), "after each clear again");
    }
    drop(warmer);
    cache.events().publish(Event::new("menu.updated").with("id", "7")).await.expect("a clear");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ran.names().len(), 3, "it has ended");
}

/// No more at a time, no more in a second, and nothing after its time.
#[tokio::test]
async fn p9_it_keeps_to_its_budget() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let job = |n: usize| {
        let (running, most) = (running.clone(), most.clone());
        Warm::new(format!("job:{n}"), async move |_| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(80)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, String>(())
        })
    };
    let warming = Warming::new().concurrency(3).per_second(50).within(Duration::from_millis(400));
    let warmer = CacheWarmer::start(&cache, warming).expect("a warmer");
    let began = Instant::now();
    warmer.warm((0..10_050).map(job).collect());
    assert!(warmer.progress().dropped >= 40, "no more than 10,000 wait: {:?}", warmer.progress());
    warmer.idle().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(most.load(Ordering::SeqCst), 3);
    let progress = warmer.progress();
    assert!((5..=20).contains(&progress.done), "20 begin in 400 ms: {progress:?}");
    assert!(progress.skipped > 9_000, "{progress:?}");
}

#[tokio::test]
async fn what_fails_panics_or_hangs_takes_nobody_along() {
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let warming = Warming::new().concurrency(1).within(Duration::from_millis(300));
    let warmer = CacheWarmer::start(&cache, warming).expect("a warmer");
    let fine = |key: &str| Warm::new(key, async |_| Ok::<_, String>(()));
    let fails = Warm::new("fails", async |_| Err::<(), _>("as the test wants it"));
    let panics = Warm::new("panics", async |_| -> Result<(), String> { panic!("as the test wants it") });
    let hangs = Warm::new("hangs", async |_| std::future::pending::<Result<(), String>>().await);
    warmer.warm(vec![fails, fine("a"), panics, fine("b"), hangs]);
    warmer.idle().await;
    let progress = warmer.progress();
    assert_eq!((progress.done, progress.failed), (2, 3), "{progress:?}");
    warmer.warm(vec![fine("c")]);
    warmer.idle().await;
    assert_eq!(warmer.progress().done, 3);
}

async fn until_done(warmer: &CacheWarmer, done: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while warmer.progress().done < done {
        assert!(Instant::now() < deadline, "{:?}", warmer.progress());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Of what a clear has removed, what was used most is made again, the most used first; what it has not removed is not, and what
/// nobody has used is not.
#[tokio::test]
async fn what_a_clear_removed_is_made_again() {
    for kind in [Kind::Memory, Kind::Redis] {
        let test = TestStore::open(kind).await;
        let cache = manager(&test).await;
        let (ran, asked) = (Ran::default(), Ran::default());
        let (fills, told) = (ran.clone(), asked.clone());
        let warming = Warming::new().concurrency(1).after_clears(3, move |removed| {
            told.0.lock().expect("a lock").push(format!("{}:{}", removed.key, removed.uses));
            (removed.key != "never").then(|| fills.warm(&removed.key))
        });
        let warmer = CacheWarmer::start(&cache, warming).expect("a warmer");
        let policy = |tag: &str| cache.policy("5m").and_then(|policy| policy.tag(tag)).expect("a policy");
        for (key, tag, uses) in
            [("a", "t", 5), ("b", "t", 9), ("never", "t", 7), ("c", "t", 1), ("unused", "t", 0), ("other", "u", 9)]
        {
            cache.set(key, &policy(tag), &0_u8).await.expect("a set");
            for _ in 0..uses {
                assert_eq!(cache.get::<u8>(key).await, Some(0), "{kind:?}");
            }
        }
        cache.clear_tag("t").await.expect("a clear");
        until_done(&warmer, 2).await;
        assert_eq!(asked.names(), ["b:9", "never:7", "a:5"], "{kind:?}");
        assert_eq!(ran.names(), ["b", "a"], "{kind:?}");
        assert_eq!(
            cache.get_many::<u8>(&["a", "b", "c", "other"]).await,
            [Some(1), Some(1), None, Some(0)],
            "{kind:?}"
        );
        // A value that takes the place of another is not warmed as well.
        cache.set("b", &policy("t"), &2_u8).await.expect("a set");
        cache.clear_pattern("oth*").await.expect("a clear");
        until_done(&warmer, 3).await;
        assert_eq!(ran.names(), ["b", "a", "other"], "{kind:?}");
        assert_eq!(cache.get::<u8>("b").await, Some(2), "{kind:?}");
    }
}

/// A response tells which request it was for; a variant is one of its own.
#[actix_web::test]
async fn a_response_that_a_clear_removed_tells_its_request() {
    use actix_web::{App, Responder, test, web};
    let test = TestStore::open(Kind::Memory).await;
    let cache = manager(&test).await;
    let told = Ran::default();
    let tells = told.clone();
    let warming = Warming::new().after_clears(10, move |removed| {
        let (host, path) = (removed.host.unwrap_or_default(), removed.path.unwrap_or_default());
        tells.0.lock().expect("a lock").push(format!("{host} {path} {}", removed.uses));
        Some(tells.warm("again"))
    });
    let warmer = CacheWarmer::start(&cache, warming).expect("a warmer");
    let list =
        web::resource("/list").wrap(cache.response("5m").vary(["accept-language"]).tags(|_| vec!["t".to_owned()]));
    let http = web::resource("/http").wrap(cache.response_http().tags(|_| vec!["t".to_owned()]));
    let app = App::new()
        .service(list.route(web::get().to(async || "x")))
        .service(http.route(web::get().to(async || ("x".customize()).insert_header(("cache-control", "max-age=60")))));
    let app = test::init_service(app).await;
    for (path, times) in [("/list?page=2", 4), ("/http", 3)] {
        for _ in 0..times {
            let request = test::TestRequest::with_uri(path).insert_header(("host", "example.org"));
            let request = request.insert_header(("accept-language", "de"));
            assert!(test::call_service(&app, request.to_request()).await.status().is_success());
        }
    }
    cache.clear_tag("t").await.expect("a clear");
    until_done(&warmer, 2).await;
    assert_eq!(told.names()[..2], ["example.org /list?page=2 3", "example.org /http 2"]);
}
