//! The journal: clears that the store has not acknowledged (promise P5).

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::{App, HttpResponse, get, post, test, web};
use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::MemoryStore;
use cache_middleware::{CacheError, CacheManager, OnClearFailure, cached, invalidates};
use cache_suite::{Kind, RedisServer, TestStore, redis_at, temporary_folder};

async fn over(store: &Arc<ChaosStore>) -> CacheManager {
    let builder = CacheManager::builder().shared_store(store.clone()).without_annotation_checks();
    builder.on("room.updated", ["room:{id}"]).build().await.expect("a manager")
}

async fn ask(cache: &CacheManager, key: &str, tag: &str, fresh: u64) -> u64 {
    let policy = cache.policy("5m").expect("a TTL").tag(tag).expect("a tag");
    cache.get_or_set(key, &policy, async || Ok::<_, std::io::Error>(fresh)).await.expect("an answer")
}

/// Fails when what a clear in the journal covers is served, from any tier, and also when anything else is not.
#[tokio::test]
async fn p5_while_a_clear_waits_what_it_covers_is_not_served_and_all_else_is() {
    for kind in [Kind::Memory, Kind::Redis] {
        let test = TestStore::open(kind).await;
        let store = ChaosStore::before_shared(test.store.clone());
        let cache = over(&store).await;
        for (key, tag) in [("a", "t"), ("b", "u")] {
            assert_eq!((ask(&cache, key, tag, 1).await, ask(&cache, key, tag, 2).await), (1, 1), "{kind:?}");
        }
        store.inject(Operation::Clear, Fault::Error);
        let receipt = cache.clear_tag("t").await.expect("a receipt");
        assert!(receipt.journaled && receipt.stamps.is_empty(), "{kind:?}: {receipt:?}");
        for fresh in 10..15 {
            assert_eq!(ask(&cache, "a", "t", fresh).await, fresh, "{kind:?}: it is not even stored");
            assert_eq!(ask(&cache, "b", "u", fresh).await, 1, "{kind:?}");
        }
        // By a pattern, and everything.
        assert!(cache.clear_pattern("b*").await.expect("a receipt").journaled);
        assert_eq!(ask(&cache, "b", "u", 20).await, 20, "{kind:?}");
        ask(&cache, "c", "v", 1).await;
        assert_eq!(ask(&cache, "c", "v", 2).await, 1, "{kind:?}");
        assert!(cache.clear_all().await.expect("a receipt").journaled);
        assert_eq!(ask(&cache, "c", "v", 3).await, 3, "{kind:?}");
        store.heal();
        let stored = async {
            while ask(&cache, "a", "t", 30).await != ask(&cache, "a", "t", 31).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), stored).await.expect("it is carried out");
        assert!(!cache.clear_tag("t").await.expect("a receipt").journaled);
    }
}

/// An answer of the store that was on its way while the clear was acknowledged had been read before. Fails when a look does
/// not remember what the journal covered when it began.
#[tokio::test]
async fn p1_a_read_that_began_while_a_clear_waited_is_not_served_after_it() {
    let store = ChaosStore::before(MemoryStore::default());
    let cache = over(&store).await;
    ask(&cache, "a", "t", 1).await;
    store.inject(Operation::Clear, Fault::Error);
    cache.clear_tag("t").await.expect("a receipt");
    store.inject(Operation::Read, Fault::Held);
    let reading = tokio::spawn({
        let cache = cache.clone();
        async move { ask(&cache, "a", "t", 2).await }
    });
    store.until_held(Operation::Read).await;
    store.heal_only(Operation::Clear);
    // Acknowledged: nothing waits any more.
    let asked = store.asked(Operation::Clear);
    while store.asked(Operation::Clear) == asked {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.heal();
    assert_eq!(reading.await.expect("no panic"), 2);
}

/// Whoever comes after a clear that is journaled does not join a run that began before it. Fails when flights are joined
/// whatever their epoch.
#[tokio::test]
async fn p1_a_flight_is_not_joined_across_a_clear_in_the_journal() {
    let store = ChaosStore::before(MemoryStore::default());
    let cache = over(&store).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let early = tokio::spawn({
        let (cache, gate) = (cache.clone(), gate.clone());
        async move {
            let policy = cache.policy("5m").expect("a TTL").tag("t").expect("a tag");
            let fetch = async || {
                let _permit = gate.acquire().await;
                Ok::<_, std::io::Error>(1)
            };
            cache.get_or_set("a", &policy, fetch).await.expect("an answer")
        }
    });
    while store.asked(Operation::Read) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    store.inject(Operation::Clear, Fault::Error);
    cache.clear_tag("t").await.expect("a receipt");
    let late = tokio::time::timeout(Duration::from_secs(5), ask(&cache, "a", "t", 2)).await;
    assert_eq!(late.expect("it does not wait for the early one"), 2);
    gate.add_permits(1);
    assert_eq!(early.await.expect("no panic"), 1);
    assert_eq!(ask(&cache, "a", "t", 3).await, 3);
}

#[post("/rooms/{id}")]
#[invalidates(tags = ["room:{id}"])]
async fn respond(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    HttpResponse::Ok().body("written")
}

#[get("/rooms/{id}")]
#[cached(ttl = "5m", tags = ["room:{id}"])]
async fn room(id: web::Path<u64>) -> String {
    id.to_string()
}

#[post("/strict/{id}")]
#[invalidates(tags = ["room:{id}"], on_clear_failure = "error")]
async fn refuse(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    HttpResponse::Ok().body("written")
}

/// What the client of a write gets is the service's to say.
#[actix_web::test]
async fn p5_the_client_of_a_write_is_told_or_not() {
    let store = ChaosStore::before(MemoryStore::default());
    let cache = over(&store).await;
    let wrapped = |what| {
        web::resource(format!("/wrapped/{}", u8::from(what == OnClearFailure::Error)))
            .wrap(cache.invalidates("room.updated").payload(|_, _| vec![("id", "1".to_owned())]).on_clear_failure(what))
            .route(web::post().to(HttpResponse::Ok))
    };
    let app = App::new().app_data(cache.clone()).service(respond).service(refuse).service(room);
    let app = app.service(wrapped(OnClearFailure::Respond)).service(wrapped(OnClearFailure::Error));
    let app = test::init_service(app).await;
    let send = async |path: &str| {
        let request = test::TestRequest::post().uri(path).to_request();
        match test::try_call_service(&app, request).await {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.error_response().status().as_u16(),
        }
    };
    for path in ["/rooms/1", "/strict/1", "/wrapped/0", "/wrapped/1"] {
        assert_eq!(send(path).await, 200, "{path}");
    }
    store.inject(Operation::Clear, Fault::Error);
    send("/rooms/1").await;
    let request = test::TestRequest::get().uri("/rooms/1").to_request();
    let response = test::call_service(&app, request).await;
    let status = response.headers().get("cache-status").expect("a status");
    assert_eq!(status, "cache-middleware; fwd=uri-miss; detail=clear-pending");
    for (path, expected) in [("/rooms/1", 200), ("/strict/1", 503), ("/wrapped/0", 200), ("/wrapped/1", 503)] {
        assert_eq!(send(path).await, expected, "{path}");
    }
}

/// A process that is killed while its clears wait has them carried out by the next that has its journal, whether or not it
/// serves anything before. Fails when the file is not written before the call returns, or not read at the start.
#[tokio::test]
async fn p5_clears_in_the_file_outlive_their_process() {
    let folder = temporary_folder("journal");
    let path = folder.join("journal");
    let server = RedisServer::start();
    let on_redis = async |journal: &std::path::Path| {
        let store = redis_at(server.url()).connect().await.expect("a store");
        let builder = CacheManager::builder().store(store).journal(journal).without_annotation_checks();
        builder.build().await
    };
    let reader = on_redis(&folder.join("another")).await.expect("a manager");
    assert_eq!((ask(&reader, "a", "t", 1).await, ask(&reader, "a", "t", 2).await), (1, 1));

    // The process that clears: this test again, which is killed.
    let mut command = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "journal::clears_and_waits_to_be_killed", "--include-ignored", "--nocapture"]);
    command.env("JOURNAL", &path).env("JOURNAL_REDIS", server.url()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("a process");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    while !line.contains("connected") {
        line.clear();
        tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line).await.expect("a line");
    }
    assert!(server.signal("-STOP"));
    while !line.contains("journaled") {
        line.clear();
        let read = tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line).await.expect("a line");
        assert!(read > 0, "it says that it has journaled its clear");
    }
    child.kill().await.expect("it is killed");
    assert!(server.signal("-CONT"));
    // Its command was on its way to Redis, so a clear may have happened; what counts is what the file has.
    let waiting = std::fs::read(&path).expect("the journal");
    assert!(waiting.len() > 4, "{} bytes", waiting.len());
    let refill = async {
        while ask(&reader, "a", "t", 3).await != ask(&reader, "a", "t", 4).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refill).await.expect("it is stored");

    let successor = on_redis(&path).await.expect("a manager");
    assert_eq!(ask(&successor, "a", "t", 5).await, 5, "not before the clear is carried out");
    let emptied = async {
        while std::fs::metadata(&path).expect("the journal").len() > 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), emptied).await.expect("it is carried out");
    assert_eq!(ask(&successor, "a", "t", 6).await, ask(&successor, "a", "t", 7).await);
    // Each process has a file of its own.
    let refused = on_redis(&path).await.expect_err("a refusal").to_string();
    assert!(refused.contains("another process has it open"), "{refused}");
}

/// Not a test: the process of the one above.
#[tokio::test]
#[ignore = "it is started by another test"]
async fn clears_and_waits_to_be_killed() {
    let (Ok(path), Ok(url)) = (std::env::var("JOURNAL"), std::env::var("JOURNAL_REDIS")) else { return };
    let store = redis_at(url).connect().await.expect("a store");
    let builder = CacheManager::builder().store(store).journal(path).without_annotation_checks();
    let cache = builder.build().await.expect("a manager");
    assert!(!cache.clear_tag("other").await.expect("a receipt").journaled);
    println!("connected");
    loop {
        if cache.clear_tag("t").await.expect("a receipt").journaled {
            println!("journaled");
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A disk that becomes full, for a process of its own. Fails when the caller is not told, or when the clear does not wait in memory.
#[tokio::test]
async fn p5_a_journal_whose_disk_is_full_is_told_and_clears_all_the_same() {
    let folder = temporary_folder("full");
    let this = std::env::current_exe().expect("this program");
    // Files of 4 KiB at most; a write beyond is an error and no signal.
    let limited =
        "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact journal::clears_until_the_disk_is_full --include-ignored";
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg(limited).arg(this).env("JOURNAL", folder.join("journal")).kill_on_drop(true);
    let ended =
        tokio::time::timeout(Duration::from_secs(30), command.output()).await.expect("in time").expect("an end");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ended.stderr));
}

/// Not a test: the process of the one above.
#[tokio::test]
#[ignore = "it is started by another test"]
async fn clears_until_the_disk_is_full() {
    let Ok(path) = std::env::var("JOURNAL") else { return };
    let store = ChaosStore::before(MemoryStore::default());
    let builder = CacheManager::builder().shared_store(store.clone()).journal(&path).without_annotation_checks();
    let cache = builder.build().await.expect("a manager");
    store.inject(Operation::Clear, Fault::Error);
    let mut cleared = 0;
    let (key, tag) = loop {
        assert!(cleared < 10_000, "a file of 4 KiB at most has taken {cleared} clears");
        let (key, tag) = (format!("key:{cleared}"), format!("tag:{cleared}"));
        assert_eq!((ask(&cache, &key, &tag, 1).await, ask(&cache, &key, &tag, 2).await), (1, 1));
        match cache.clear_tag(&tag).await {
            Ok(receipt) => assert!(receipt.journaled),
            Err(CacheError::Journal(_)) => break (key, tag),
            Err(other) => panic!("{other}"),
        }
        cleared += 1;
    };
    assert_eq!(ask(&cache, &key, &tag, 3).await, 3, "what waits covers it");
    store.heal();
    let carried_out = async {
        while ask(&cache, &key, &tag, 4).await != ask(&cache, &key, &tag, 5).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), carried_out).await.expect("from memory");
}

/// One that takes nothing.
#[tokio::test]
async fn a_journal_on_a_full_disk_is_refused() {
    let store = ChaosStore::before(MemoryStore::default());
    // Every write to it says that the disk is full.
    let builder = CacheManager::builder().shared_store(store.clone()).journal("/dev/full").without_annotation_checks();
    let refused = builder.build().await.expect_err("a refusal").to_string();
    assert!(refused.contains("CACHE_JOURNAL") && refused.contains("/dev/full"), "{refused}");
}

/// Retried until it is acknowledged, however often the answer is lost.
#[tokio::test]
async fn p5_a_clear_whose_answer_is_lost_is_carried_out_again() {
    let store = ChaosStore::before(MemoryStore::default());
    let cache = over(&store).await;
    store.inject(Operation::Clear, Fault::Lost);
    assert!(cache.clear_tag("t").await.expect("a receipt").journaled);
    while store.asked(Operation::Clear) < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ask(&cache, "a", "t", 1).await, 1);
    assert_eq!(ask(&cache, "a", "t", 2).await, 2);
}

/// Clears of the same while the store is away. Fails when the file is only ever appended to.
#[tokio::test]
async fn p9_the_file_does_not_grow_with_the_writes() {
    let folder = temporary_folder("growth");
    let path = folder.join("journal");
    let store = ChaosStore::before(MemoryStore::default());
    store.inject(Operation::Clear, Fault::Error);
    let builder = CacheManager::builder().shared_store(store).journal(&path).without_annotation_checks();
    let cache = builder.build().await.expect("a manager");
    for _ in 0..5_000 {
        assert!(cache.clear_tag("one-and-the-same").await.expect("a receipt").journaled);
    }
    let length = std::fs::metadata(&path).expect("the journal").len();
    assert!(length < 2 * (64 << 10), "{length} bytes");
}

/// Readers of L1 while a clear in the journal is acknowledged. Fails now and then when L1 is read before the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_l1_serves_nothing_that_waited_when_it_was_asked() {
    let server = RedisServer::start();
    let store = ChaosStore::before_shared(Arc::new(redis_at(server.url()).connect().await.expect("a store")));
    let cache = over(&store).await;
    let policy = cache.policy("5m").and_then(|policy| policy.tag("t")).expect("a policy");
    // The value whose clear has returned.
    let gone = Arc::new(AtomicUsize::new(0));
    let (wrong, right) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (cache, gone, wrong, right) = (cache.clone(), gone.clone(), wrong.clone(), right.clone());
            tokio::spawn(async move {
                loop {
                    let before = gone.load(Ordering::SeqCst);
                    if let Some(value) = cache.get::<usize>("a").await {
                        let counter = if value <= before { &wrong } else { &right };
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 1..=20_usize {
        store.heal();
        assert!(cache.set("a", &policy, &round).await.expect("an answer"), "round {round}: nothing waits");
        store.inject(Operation::Clear, Fault::Error);
        assert!(cache.clear_tag("t").await.expect("a receipt").journaled);
        gone.store(round, Ordering::SeqCst);
        store.heal_only(Operation::Clear);
        cache_suite::until("the clear is carried out", async || cache.journal_length() == 0).await;
    }
    for reader in readers {
        reader.abort();
    }
    assert_eq!(wrong.load(Ordering::SeqCst), 0);
    let right = right.load(Ordering::SeqCst);
    assert!(right > 0, "nothing was served before its clear");
}
