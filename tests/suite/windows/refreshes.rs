//! Refreshes: whose request they make, how they are judged, and how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use actix_web::{Error, HttpResponse, get, web};
use cache_middleware::time::TimeSource;
use cache_middleware::{CacheManager, EarlyRefresh, cached};
use cache_suite::{Kind, TestStore};

use super::{World, app, ask, page, respond, until};

#[get("/handler/{id}")]
#[cached(ttl = "10s", tags = ["t:{id}"], stale = "30s")]
async fn handler(id: web::Path<u64>, world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    world.seen.lock().expect("a lock").push(id.to_string());
    respond(&world).await
}

#[get("/early")]
#[cached(ttl = "10s", early_refresh = 0.8)]
async fn early(world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    respond(&world).await
}

fn wrapped(cache: &CacheManager) -> impl actix_web::dev::HttpServiceFactory + use<> {
    web::resource("/wrapped").wrap(cache.response("10s").stale("30s")).route(web::get().to(page))
}

/// A refresh has the arguments of the request that it is made for.
#[actix_web::test]
async fn a_handler_is_refreshed_with_its_own_arguments() {
    let world = World::new().await;
    let app = app!(world, handler);
    for path in ["/handler/1", "/handler/2"] {
        ask(&app, path, &[]).await;
    }
    world.after(11);
    assert_eq!(ask(&app, "/handler/2", &[]).await.1, "run 2");
    world.until_done(3).await;
    assert_eq!(world.seen(), ["1", "2", "2"]);
    assert_eq!(ask(&app, "/handler/2", &[]).await.1, "run 3");
    world.cache.clear_tag("t:2").await.expect("a clear");
    assert_eq!(ask(&app, "/handler/2", &[]).await.1, "run 4");
}

/// What must not be stored removes the entry, or it would be served again although the handler answers something else. A
/// failure says nothing about it. Fails when `replace_by_nothing` is not called, or always.
#[actix_web::test]
async fn p1_a_refresh_is_judged_by_all_storing_rules() {
    for (status, cache_control, stays) in
        [(200, "no-store", false), (200, "private", false), (404, "", false), (503, "", true), (429, "", true)]
    {
        for path in ["/handler/1", "/wrapped"] {
            let world = World::new().await;
            let app = app!(world, handler, wrapped(&world.cache));
            ask(&app, path, &[]).await;
            world.after(11);
            world.answers(status, cache_control);
            ask(&app, path, &[]).await;
            world.until_done(2).await;
            let (_, body, outcome) = ask(&app, path, &[]).await;
            let stayed = body == "run 1" && outcome == "hit; ttl=-1; detail=l2";
            assert_eq!(stayed, stays, "{path}: {status} {cache_control}: {body} {outcome}");
        }
    }
}

/// After a failure nobody tries again for a while, which doubles, as long as there is something to serve.
#[actix_web::test]
async fn a_key_rests_after_a_failure() {
    let world = World::new().await;
    let app = app!(world, handler);
    ask(&app, "/handler/1", &[]).await;
    world.after(11);
    world.answers(503, "");
    // Second by second: tried at once, 1 s later, 2 s after that, 4 s after that.
    let mut tried = Vec::new();
    for second in 0..10 {
        let before = world.runs();
        assert_eq!(ask(&app, "/handler/1", &[]).await.0, 200);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        if world.runs() > before {
            tried.push(second);
            world.until_done(world.runs()).await;
        }
        world.after(1);
    }
    assert_eq!(tried, [0, 1, 3, 7]);
}

/// The request of a refresh has nothing that says who asked, unless the service names it.
#[actix_web::test]
async fn p7_a_refresh_is_made_for_everybody() {
    let mine = [("cookie", "me=1"), ("x-mine", "1"), ("accept-language", "de"), ("host", "a.example")];
    for named in [false, true] {
        let world = World::new().await;
        let middleware = world.cache.response("10s").stale("30s").public().vary(["accept-language"]);
        let middleware = if named { middleware.refresh_with(["X-Mine"]) } else { middleware };
        let app = app!(world, web::resource("/x").wrap(middleware).route(web::get().to(page)));
        ask(&app, "/x", &mine).await;
        assert!(world.seen().contains(&"cookie".to_owned()));
        world.after(11);
        assert_eq!(ask(&app, "/x", &mine).await.1, "run 1");
        world.until_done(2).await;
        let mut seen = world.seen();
        seen.sort();
        let expected: &[&str] =
            if named { &["accept-language", "host", "x-mine"] } else { &["accept-language", "host"] };
        assert_eq!(seen, expected);
        assert_eq!(ask(&app, "/x", &mine).await.1, "run 2");
    }
}

/// Where what a refresh loses matters to key, tags or condition, it would fill another entry, or one that some clears do not
/// reach: the request waits for the handler itself. Fails when `same` is not asked.
#[actix_web::test]
async fn p1_a_request_that_nobody_can_make_for_its_caller_waits() {
    let read = |request: &ServiceRequest| {
        request.headers().get("x-mine").and_then(|value| value.to_str().ok()).unwrap_or("nobody").to_owned()
    };
    for what in ["key", "tags", "condition"] {
        let world = World::new().await;
        let middleware = world.cache.response("10s").stale("30s");
        let middleware = match what {
            "key" => middleware.key(read),
            "tags" => middleware.tags(move |request| vec![format!("of:{}", read(request))]),
            _ => middleware.condition(move |request| read(request) == "1"),
        };
        let app = app!(world, web::resource("/x").wrap(middleware).route(web::get().to(page)));
        ask(&app, "/x", &[("x-mine", "1")]).await;
        world.after(11);
        let (_, body, outcome) = ask(&app, "/x", &[("x-mine", "1")]).await;
        assert_eq!((body.as_str(), outcome.as_str()), ("run 2", "fwd=stale; stored"), "{what}");
        if what == "tags" {
            world.cache.clear_tag("of:1").await.expect("a clear");
            assert_eq!(ask(&app, "/x", &[("x-mine", "1")]).await.1, "run 3");
        }
    }
}

/// An entry that is still fresh is made anew in time.
#[actix_web::test]
async fn an_early_refresh_has_nobody_wait() {
    let world = World::new().await;
    let wrapped = web::resource("/wrapped")
        .wrap(world.cache.response("10s").early_refresh(EarlyRefresh::After(0.8)))
        .route(web::get().to(page));
    let app = app!(world, early, wrapped);
    for (path, before) in [("/early", 0), ("/wrapped", 2)] {
        ask(&app, path, &[]).await;
        world.after(8);
        assert_eq!(ask(&app, path, &[]).await.2, "hit; ttl=2; detail=l2");
        assert_eq!(world.runs(), before + 1, "not before its time");
        world.after(1);
        assert_eq!(ask(&app, path, &[]).await.2, "hit; ttl=1; detail=l2");
        world.until_done(before + 2).await;
        assert_eq!(ask(&app, path, &[]).await.2, "hit; ttl=10; detail=l2");
        assert_eq!(world.runs(), before + 2);
    }
}

/// An entry that took long to make is made anew earlier: by its cost, which it carries.
#[actix_web::test]
async fn xfetch_goes_by_the_cost_of_the_handler() {
    let world = World::new().await;
    let clock = world.time.clone();
    let costly = move || {
        clock.advance(Duration::from_secs(600));
        async { HttpResponse::Ok().body("x") }
    };
    let resource = web::resource("/costly")
        .wrap(world.cache.response("60s").early_refresh(EarlyRefresh::XFETCH))
        .route(web::get().to(costly));
    let cheap = web::resource("/cheap")
        .wrap(world.cache.response("60s").early_refresh(EarlyRefresh::XFETCH))
        .route(web::get().to(page));
    let app = app!(world, resource, cheap);
    ask(&app, "/cheap", &[]).await;
    for _ in 0..200 {
        ask(&app, "/cheap", &[]).await;
    }
    assert_eq!(world.runs(), 1, "what costs nothing is not made anew early");
    ask(&app, "/costly", &[]).await;
    let now = || TimeSource::now_ms(&world.time);
    world.after(1);
    let began = now();
    for _ in 0..50 {
        // With 59 s left and a cost of 600 s nine of ten draws are due.
        ask(&app, "/costly", &[]).await;
        tokio::task::yield_now().await;
    }
    assert!(now() > began, "the handler ran again");
}

/// One refresh for the fleet, however many nodes see the stale entry at once. Fails with two runs when a refresh does not
/// take off at the other nodes.
#[actix_web::test]
async fn p6_one_refresh_in_the_fleet() {
    let test = TestStore::open(Kind::Redis).await;
    let (one, two) = (test.node().await, test.node().await);
    let runs = Arc::new(AtomicUsize::new(0));
    let policy = one.policy("100ms").expect("a policy").stale(Duration::from_secs(60));
    let fetch = |runs: &Arc<AtomicUsize>, pause: u64| {
        let runs = runs.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Ok::<_, std::io::Error>(runs.fetch_add(1, Ordering::SeqCst) + 1)
        }
    };
    let ask = async |cache: &CacheManager| {
        let fetch = fetch(&runs, 200);
        cache.get_or_refresh("k", &policy, move || fetch).await.expect("a value")
    };
    assert_eq!(ask(&one).await, 1);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let all = (0..20).map(|n| ask(if n % 2 == 0 { &one } else { &two }));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers, [1; 20], "nobody waits");
    until(|| runs.load(Ordering::SeqCst) == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}
