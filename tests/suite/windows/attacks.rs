//! Sequences that once broke a promise: windows, refreshes and limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::dev::Service as _;
use actix_web::{Error, HttpResponse, get, web};
use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::{MemoryStore, Store};
use cache_middleware::{CacheManager, Coding, cached};

use super::{World, app, ask, page, respond};

async fn world_with(
    build: impl FnOnce(cache_middleware::CacheManagerBuilder) -> cache_middleware::CacheManagerBuilder,
) -> Arc<World> {
    let mut world = Arc::into_inner(World::new().await).expect("the only one");
    let store = MemoryStore::builder().time(world.time.clone()).build();
    world.cache =
        build(CacheManager::builder().store(store).without_annotation_checks()).build().await.expect("a manager");
    Arc::new(world)
}

/// A world whose store has faults before it.
async fn world_before_faults() -> (Arc<World>, Arc<ChaosStore>) {
    let mut world = Arc::into_inner(World::new().await).expect("the only one");
    let store = ChaosStore::before(MemoryStore::builder().time(world.time.clone()).build());
    let builder = CacheManager::builder().shared_store(store.clone()).without_annotation_checks();
    world.cache = builder.build().await.expect("a manager");
    (Arc::new(world), store)
}

#[get("/page")]
#[cached(ttl = "10s", stale = "1h", hard_timeout = "100ms")]
async fn swr(world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    respond(&world).await
}

#[get("/head")]
#[cached(ttl = "10s", stale_if_error = "60s", hard_timeout = "100ms")]
async fn limited(world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    respond(&world).await
}

/// Compiles without a bound that it did not need before it was cached.
#[cached(ttl = "5m", key = "any")]
async fn generic<T: serde::de::DeserializeOwned + ToString>(query: web::Query<T>) -> String {
    query.to_string()
}

#[actix_web::test]
async fn a_generic_handler_is_mounted() {
    let world = World::new().await;
    let app = app!(world, web::resource("/generic").route(web::get().to(generic::<Named>)));
    assert_eq!(ask(&app, "/generic?name=x", &[]).await.1, "x");
    assert_eq!(ask(&app, "/generic?name=x", &[]).await.2, "hit; ttl=300; detail=l2");
}

#[derive(serde::Deserialize)]
struct Named {
    name: String,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

#[get("/many/{id}")]
#[cached(ttl = "10s", stale = "1h")]
async fn many(id: web::Path<u64>, world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    let _ = id;
    respond(&world).await
}

#[get("/k/{id}")]
#[cached(ttl = "10s", key = "k:{id}", vary = ["accept-language"], compress = ["gzip"], stale = "1h")]
async fn keyed(id: web::Path<u64>, world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    let _ = id;
    respond(&world).await
}

#[get("/negative")]
#[cached(ttl = "10s", statuses = [200, 404, 500], negative_ttl = "5s")]
async fn negative(world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    respond(&world).await
}

/// One that hangs is waited for by nobody. Fails when a flight counts as under way however old it is.
#[actix_web::test]
async fn p6_a_refresh_that_hangs_does_not_stop_all_refreshes() {
    let world = world_with(|b| b.flight_patience(Duration::from_millis(200))).await;
    let app = app!(world, swr);
    ask(&app, "/page", &[]).await;
    world.after(11);
    world.close();
    assert_eq!(ask(&app, "/page", &[]).await.1, "run 1");
    world.until_runs(2).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.after(100);
        assert_eq!(ask(&app, "/page", &[]).await.1, "run 1");
    }
    assert!(world.runs() > 2, "five patiences later nobody has tried again");
}

/// A stale entry may be found by the second look only, and then its response needs a request too.
#[actix_web::test]
async fn p8_stale_stands_in_although_the_first_look_found_nothing() {
    let (world, store) = world_before_faults().await;
    // An inner middleware that fails as Err, as from_fn middlewares with `?` do.
    let inner = actix_web::middleware::from_fn(
        |req: actix_web::dev::ServiceRequest, next: actix_web::middleware::Next<actix_web::body::BoxBody>| async move {
            let res = next.call(req).await?;
            if res.status().is_server_error() {
                return Err(actix_web::error::ErrorServiceUnavailable("database away"));
            }
            Ok(res)
        },
    );
    let service = web::resource("/wrapped")
        .wrap(inner)
        .wrap(world.cache.response("10s").stale_if_error("60s"))
        .route(web::get().to(page));
    let app = app!(world, service);
    let app = &app;
    let get = || async move {
        let request = actix_web::test::TestRequest::get().uri("/wrapped").to_request();
        match app.call(request).await {
            Ok(r) => {
                let s = r.status().as_u16();
                (s, String::from_utf8_lossy(&actix_web::test::read_body(r).await).into_owned())
            }
            Err(e) => (e.as_response_error().status_code().as_u16(), format!("Err {e}")),
        }
    };
    get().await;
    world.after(15);
    world.answers(503, "");
    world.close();
    store.inject(Operation::Read, Fault::Error);
    let (_, b, ()) = futures_util::future::join3(get(), get(), async {
        world.until_runs(2).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        store.heal();
        world.open();
    })
    .await;
    assert_eq!(b, (200, "run 1".to_owned()));
}

/// Whatever a client says, nobody waits for ever.
#[actix_web::test]
async fn p8_limits_hold_for_requests_that_do_not_fill() {
    for (name, value) in [("cache-control", "no-store"), ("range", "bytes=0-1")] {
        let world = World::new().await;
        let app = app!(world, limited);
        ask(&app, "/head", &[]).await;
        world.after(15);
        world.answers(503, "");
        ask(&app, "/head", &[(name, value)]).await;
        world.close();
        let answer = tokio::time::timeout(Duration::from_secs(1), ask(&app, "/head", &[(name, value)])).await;
        assert!(answer.is_ok(), "{name}: hard_timeout of 100ms, nothing after 1 s");
    }
}

/// They put no key to rest for the others.
#[actix_web::test]
async fn p7_the_failures_of_callers_with_credentials_are_their_own() {
    let world = World::new().await;
    let app = app!(world, limited);
    ask(&app, "/head", &[]).await;
    world.after(15);
    world.answers(429, "");
    ask(&app, "/head", &[("authorization", "attacker, over its rate")]).await;
    world.answers(200, "");
    let answer = ask(&app, "/head", &[]).await;
    assert_eq!(answer.1, "run 3");
}

/// A coded form is made of the plain one: if only the coded one went, it would be made again.
#[actix_web::test]
async fn p1_a_refused_refresh_removes_all_forms() {
    let world = World::new().await;
    let mw = world.cache.response("10s").compress([Coding::Gzip]).early_refresh(0.5);
    let service = web::resource("/wrapped").wrap(mw).route(web::get().to(page));
    let app = app!(world, service);
    ask(&app, "/wrapped", &[("accept-encoding", "gzip")]).await;
    world.after(6);
    world.answers(404, "");
    ask(&app, "/wrapped", &[("accept-encoding", "gzip")]).await;
    world.until_done(2).await;
    let next = ask(&app, "/wrapped", &[("accept-encoding", "gzip")]).await;
    assert_eq!(next.0, 404);
}

/// The response of an inner cache leaves with a look-alike of its request. Fails when that does not tell that it was cached inside.
#[actix_web::test]
async fn p1_an_outer_cache_stores_nothing_that_an_inner_one_serves_late() {
    let world = World::new().await;
    world.answers(200, "max-age=30");
    let inner = world.cache.response("10s").tags(|_| vec!["t".to_owned()]).stale_if_error("60s").soft_timeout("50ms");
    let service = web::scope("/s")
        .wrap(world.cache.response("1h"))
        .service(web::resource("/x").wrap(inner).route(web::get().to(page)));
    let app = app!(world, service);
    ask(&app, "/s/x", &[]).await;
    ask(&app, "/s/x", &[]).await;
    world.after(15);
    world.close();
    let _late = actix_web::test::call_service(&app, actix_web::test::TestRequest::get().uri("/s/x").to_request()).await;
    world.open();
    world.until_done(2).await;
    let receipt = world.cache.clear_tag("t").await.expect("a clear");
    assert!(!receipt.journaled);
    let (_, body, outcome) = ask(&app, "/s/x", &[]).await;
    assert_eq!(body, "run 3", "P1: {outcome}");
}

/// However many entries are stale, so many handlers run that nobody waits for.
#[actix_web::test]
async fn p9_handlers_that_nobody_waits_for_are_bounded() {
    let world = World::new().await;
    let app = app!(world, many);
    for n in 0..3_000 {
        ask(&app, &format!("/many/{n}"), &[]).await;
    }
    world.after(11);
    world.close();
    for n in 0..3_000 {
        ask(&app, &format!("/many/{n}"), &[]).await;
    }
    world.until_runs(3_256).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let at_once = world.runs() - world.done.load(Ordering::SeqCst);
    assert_eq!(at_once, 256, "handlers at once, of one client that sends one request at a time");
}

/// By whatever they are named.
#[actix_web::test]
async fn p5_clears_in_the_journal_cover_variants_and_codings() {
    for what in ["key", "route", "all", "pattern"] {
        let (world, store) = world_before_faults().await;
        let mw = web::resource("/m/{id}")
            .wrap(world.cache.response("10s").key(|_| "k:1".to_owned()).stale("1h"))
            .route(web::get().to(page));
        let app = app!(world, keyed, mw);
        for path in ["/k/1", "/m/1"] {
            for h in [("accept-language", "de"), ("accept-encoding", "gzip")] {
                ask(&app, path, &[h]).await;
            }
        }
        store.inject(Operation::Clear, Fault::Error);
        world.after(11);
        let receipts = match what {
            "key" => vec![world.cache.clear_key("k:1").await.expect("a receipt")],
            "route" => vec![
                world.cache.clear_route("/k/{id}").await.expect("a receipt"),
                world.cache.clear_route("/m/{id}").await.expect("a receipt"),
            ],
            "pattern" => vec![world.cache.clear_pattern("k:*").await.expect("a receipt")],
            _ => vec![world.cache.clear_all().await.expect("a receipt")],
        };
        assert!(receipts.iter().all(|r| r.journaled));
        for path in ["/k/1", "/m/1"] {
            for h in [("accept-language", "de"), ("accept-encoding", "gzip")] {
                let (_, body, outcome) = ask(&app, path, &[h]).await;
                assert!(
                    !outcome.contains("hit") && outcome.contains("clear-pending"),
                    "{what} {path} {h:?}: {body} {outcome}"
                );
            }
        }
    }
}

/// Also a 500, if the policy names it.
#[actix_web::test]
async fn an_error_of_a_status_that_is_named_is_remembered() {
    let world = World::new().await;
    let app = app!(world, negative);
    world.answers(500, "");
    ask(&app, "/negative", &[]).await;
    let second = ask(&app, "/negative", &[]).await;
    assert!(second.2.starts_with("hit"), "{second:?}");
}

/// An event without the field that its rule needs clears everything; if that waits, the client is told.
#[actix_web::test]
async fn p5_a_wrong_event_does_not_hide_that_its_clear_waits() {
    let store = ChaosStore::before(MemoryStore::default());
    let cache = CacheManager::builder()
        .shared_store(store.clone())
        .without_annotation_checks()
        .on("e", ["room:{id}"])
        .build()
        .await
        .expect("a manager");
    let mw = cache.invalidates("e").on_clear_failure(cache_middleware::OnClearFailure::Error);
    store.inject(Operation::Clear, Fault::Error);
    let app = actix_web::test::init_service(
        actix_web::App::new().service(web::resource("/w").wrap(mw).route(web::post().to(HttpResponse::Ok))),
    )
    .await;
    let r = app.call(actix_web::test::TestRequest::post().uri("/w").to_request()).await;
    let status = match r {
        Ok(r) => r.status().as_u16(),
        Err(e) => e.as_response_error().status_code().as_u16(),
    };
    assert_eq!(status, 503);
}

/// What was made of another form waits to be stored when the limit is over.
#[actix_web::test]
async fn p8_a_store_that_is_slower_than_the_hard_timeout_is_no_error() {
    let (world, store) = world_before_faults().await;
    let service = web::resource("/wrapped")
        .wrap(world.cache.response("10s").compress([Coding::Gzip]).hard_timeout("40ms"))
        .route(web::get().to(page));
    let app = app!(world, service, limited);
    ask(&app, "/wrapped", &[]).await;
    store.inject(Operation::Fill, Fault::Delay(Duration::from_millis(50)));
    let request =
        actix_web::test::TestRequest::get().uri("/wrapped").insert_header(("accept-encoding", "gzip")).to_request();
    let answer = match app.call(request).await {
        Ok(r) => r.status().to_string(),
        Err(e) => format!("{} {e}", e.as_response_error().status_code()),
    };
    assert_eq!(answer, "504 Gateway Timeout");
}

/// A HEAD says something of the stored response: that it is of other bytes, that it is still right, or that it varies. Before that takes
/// effect, another node has stored what is right. Fails when `update` does not say what it replaces.
#[actix_web::test]
async fn p1_what_a_head_has_taught_replaces_nothing_newer() {
    for (what, etag, vary) in [("other bytes", "\"2\"", ""), ("the same", "\"1\"", ""), ("it varies", "\"1\"", "x-who")]
    {
        let world = World::new().await;
        let near: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(world.time.clone()).build());
        let chaos = ChaosStore::before_shared(near.clone());
        let node = async |store| {
            let cache = CacheManager::builder().shared_store(store).without_annotation_checks().build().await;
            let cache = cache.expect("a manager");
            let handler = move |world: web::Data<Arc<World>>, request: actix_web::HttpRequest| async move {
                let run = world.run().await.expect("a run").0;
                let is_head = request.method() == actix_web::http::Method::HEAD;
                let mut response = HttpResponse::Ok();
                response.insert_header(("cache-control", "max-age=10, stale-if-error=60"));
                response.insert_header(("etag", if is_head { etag } else { "\"1\"" }));
                if is_head && !vary.is_empty() {
                    response.insert_header(("vary", vary));
                }
                response.body(format!("run {run}"))
            };
            let resource = web::resource("/x").wrap(cache.response_http()).route(web::route().to(handler));
            let app = actix_web::App::new().app_data(web::Data::new(world.clone())).service(resource);
            actix_web::test::init_service(app).await
        };
        let (one, two) = (node(chaos.clone() as Arc<dyn Store>).await, node(near).await);
        assert_eq!(ask(&two, "/x", &[]).await.1, "run 1", "{what}");
        world.after(15);
        chaos.inject(Operation::Fill, Fault::Hang);
        let head = actix_web::test::TestRequest::default().method(actix_web::http::Method::HEAD).uri("/x").to_request();
        let meanwhile = async {
            chaos.until_held(Operation::Fill).await;
            assert_eq!(ask(&two, "/x", &[]).await.1, "run 3", "{what}");
            chaos.heal();
        };
        let both = futures_util::future::join(actix_web::test::call_service(&one, head), meanwhile);
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("the HEAD teaches something");
        let (_, body, outcome) = ask(&two, "/x", &[]).await;
        assert_eq!(body, "run 3", "{what}: {outcome}");
    }
}

/// What selects a variant may be longer than a key. Fails when such a request says that its selection changes, or runs without its limit.
#[actix_web::test]
async fn p11_a_variant_without_room_in_a_key_is_told_and_timed() {
    let world = World::new().await;
    let handler = |world: web::Data<Arc<World>>| async move {
        let run = world.run().await.expect("a run").0;
        let lines = [("vary", "accept-language"), ("cache-control", "max-age=60")];
        HttpResponse::Ok().insert_header(lines[0]).insert_header(lines[1]).body(format!("run {run}"))
    };
    let middleware = world.cache.response_http().hard_timeout("50ms");
    let app = app!(world, web::resource("/x").wrap(middleware).route(web::get().to(handler)));
    assert_eq!(ask(&app, "/x", &[("accept-language", "de")]).await.2, "fwd=uri-miss; stored");
    let long = [("accept-language", &*"de,".repeat(3_000))];
    let (status, _, outcome) = ask(&app, "/x", &long).await;
    assert_eq!((status, outcome.as_str()), (200, "fwd=vary-miss; detail=key-too-long"));
    world.close();
    let late = tokio::time::timeout(Duration::from_secs(5), ask(&app, "/x", &long)).await;
    assert_eq!(late.expect("an answer in time").0, 504);
}
