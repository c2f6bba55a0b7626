//! Time limits: who waits, what they get, and what becomes of the handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{Error, HttpResponse, get, web};
use cache_middleware::cached;
use futures_util::future::join_all;

use super::{World, app, ask, page, respond};

#[get("/handler")]
#[cached(ttl = "10s", tags = ["t"], stale_if_error = "60s", soft_timeout = "50ms", hard_timeout = "200ms")]
async fn handler(world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    respond(&world).await
}

fn wrapped(world: &World) -> impl actix_web::dev::HttpServiceFactory + use<> {
    let middleware = world.cache.response("10s").tags(|_| vec!["t".to_owned()]);
    let middleware = middleware.stale_if_error("60s").soft_timeout("50ms").hard_timeout("200ms");
    web::resource("/wrapped").wrap(middleware).route(web::get().to(page))
}

fn proxied(world: &World) -> impl actix_web::dev::HttpServiceFactory + use<> {
    let middleware = world.cache.response_http().tags(|_| vec!["t".to_owned()]);
    let middleware = middleware.soft_timeout("50ms").hard_timeout("200ms");
    web::resource("/proxied").wrap(middleware).route(web::get().to(page))
}

const PATHS: [&str; 3] = ["/handler", "/wrapped", "/proxied"];
const FRESH: &str = "max-age=10, stale-if-error=60";

/// Fails when a limit is not looked at, when it also ends the handler, or when what that brings is not stored.
#[actix_web::test]
async fn a_stale_response_is_served_when_the_handler_is_slow() {
    for path in PATHS {
        let world = World::new().await;
        world.answers(200, FRESH);
        let app = app!(world, handler, wrapped(&world), proxied(&world));
        ask(&app, path, &[]).await;
        world.after(15);
        world.close();
        let began = Instant::now();
        // The first runs the handler, the others wait for it: all of them for as long.
        let all = join_all((0..20).map(|_| ask(&app, path, &[]))).await;
        assert!(began.elapsed() >= Duration::from_millis(50), "{path}");
        for answer in all {
            assert_eq!(answer, (200, "run 1".into(), "fwd=stale; detail=soft-timeout".into()), "{path}");
        }
        assert_eq!(world.runs(), 2, "{path}");
        world.open();
        world.until_done(2).await;
        let (_, body, outcome) = ask(&app, path, &[]).await;
        assert!(body == "run 2" && outcome.starts_with("hit"), "{path}: {body} {outcome}");
    }
}

#[actix_web::test]
async fn a_504_is_sent_when_there_is_nothing_else() {
    for path in PATHS {
        let world = World::new().await;
        world.answers(200, FRESH);
        let app = app!(world, handler, wrapped(&world), proxied(&world));
        world.close();
        let all = join_all((0..20).map(|_| ask(&app, path, &[]))).await;
        for (status, body, outcome) in all {
            assert_eq!((status, outcome.as_str()), (504, "fwd=uri-miss; detail=hard-timeout"), "{path}");
            assert!(body.contains("hard timeout"), "{body}");
        }
        assert_eq!(world.runs(), 1, "{path}");
        world.open();
        world.until_done(1).await;
        let (_, body, outcome) = ask(&app, path, &[]).await;
        assert!(body == "run 1" && outcome.starts_with("hit"), "{path}: {body} {outcome}");
    }
}

/// A clear while a handler runs that nobody waits for any more: what it brings is not stored.
#[actix_web::test]
async fn p1_a_clear_voids_what_runs_on() {
    for path in PATHS {
        let world = World::new().await;
        world.answers(200, FRESH);
        let app = app!(world, handler, wrapped(&world), proxied(&world));
        world.close();
        assert_eq!(ask(&app, path, &[]).await.0, 504);
        world.cache.clear_tag("t").await.expect("a clear");
        world.open();
        world.until_done(1).await;
        assert_eq!(ask(&app, path, &[]).await.1, "run 2", "{path}");
    }
}

/// A run whose response is for its caller alone is not left running.
#[actix_web::test]
async fn what_nobody_else_can_use_ends_with_its_caller() {
    for path in ["/handler", "/wrapped"] {
        let world = World::new().await;
        let app = app!(world, handler, wrapped(&world), proxied(&world));
        world.close();
        assert_eq!(ask(&app, path, &[("authorization", "me")]).await.0, 504);
        world.open();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(world.done.load(std::sync::atomic::Ordering::SeqCst), 0, "{path}");
    }
}
