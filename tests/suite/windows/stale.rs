//! The stale window: who is served what, who refreshes, and what ends it.

use std::sync::Arc;

use actix_web::{Error, HttpResponse, get, web};
use cache_middleware::cached;

use super::{World, app, ask, page, respond};

#[get("/handler")]
#[cached(ttl = "10s", tags = ["t"], stale = "30s", stale_if_error = "60s")]
async fn handler(world: web::Data<Arc<World>>) -> Result<HttpResponse, Error> {
    respond(&world).await
}

fn wrapped(world: &World) -> impl actix_web::dev::HttpServiceFactory + use<> {
    let middleware = world.cache.response("10s").stale("30s").stale_if_error("60s").tags(|_| vec!["t".to_owned()]);
    web::resource("/wrapped").wrap(middleware).route(web::get().to(page))
}

/// Fails when the window is not looked at, or nobody refreshes.
#[actix_web::test]
async fn a_stale_response_leaves_at_once_and_is_refreshed_in_the_background() {
    for path in ["/handler", "/wrapped"] {
        let world = World::new().await;
        let app = app!(world, handler, wrapped(&world));
        assert_eq!(ask(&app, path, &[]).await, (200, "run 1".into(), "fwd=uri-miss; stored".into()));
        world.after(15);
        world.close();
        // The handler is not even done when this is answered, and there is one for any number of requests.
        for _ in 0..5 {
            assert_eq!(ask(&app, path, &[]).await, (200, "run 1".into(), "hit; ttl=-5; detail=l2".into()), "{path}");
            world.until_runs(2).await;
        }
        world.open();
        world.until_done(2).await;
        assert_eq!(ask(&app, path, &[]).await, (200, "run 2".into(), "hit; ttl=10; detail=l2".into()), "{path}");
        assert_eq!(world.runs(), 2, "{path}");
    }
}

/// Fails when a window is served beyond its end, or counted from somewhere else than the end of the TTL.
#[actix_web::test]
async fn the_windows_end() {
    for path in ["/handler", "/wrapped"] {
        let world = World::new().await;
        let app = app!(world, handler, wrapped(&world));
        ask(&app, path, &[]).await;
        world.after(45);
        // Beyond `stale`: the handler is waited for, and fails.
        world.answers(503, "");
        let stale = "fwd=stale; fwd-status=503; detail=stale-if-error";
        assert_eq!(ask(&app, path, &[]).await, (200, "run 1".into(), stale.into()), "{path}");
        world.after(30);
        let (status, _, outcome) = ask(&app, path, &[]).await;
        assert_eq!((status, outcome.as_str()), (503, "fwd=uri-miss; detail=handler-error"), "{path}");
    }
}

/// A clear ends every window. Fails when a stale entry is served although a clear covers it.
#[actix_web::test]
async fn p1_a_clear_ends_the_windows() {
    for path in ["/handler", "/wrapped"] {
        for after in [15, 45] {
            let world = World::new().await;
            let app = app!(world, handler, wrapped(&world));
            ask(&app, path, &[]).await;
            world.after(after);
            world.answers(503, "");
            world.cache.clear_tag("t").await.expect("a clear");
            let (status, ..) = ask(&app, path, &[]).await;
            assert_eq!(status, 503, "{path} after {after} s");
        }
    }
}

/// What a refresh brings is not stored if a clear came while it ran. Fails when a refresh is published without the lease
/// that it took before the handler ran.
#[actix_web::test]
async fn p1_a_clear_voids_a_refresh_under_way() {
    for path in ["/handler", "/wrapped"] {
        let world = World::new().await;
        let app = app!(world, handler, wrapped(&world));
        ask(&app, path, &[]).await;
        world.after(15);
        world.close();
        ask(&app, path, &[]).await;
        world.until_runs(2).await;
        world.cache.clear_tag("t").await.expect("a clear");
        world.open();
        world.until_done(2).await;
        let (_, body, outcome) = ask(&app, path, &[]).await;
        assert_eq!((body.as_str(), outcome.as_str()), ("run 3", "fwd=uri-miss; stored"), "{path}");
    }
}

/// `expire` begins the window, at the moment of the expire. Fails when an expired entry is served for as long as it would
/// have been fresh.
#[actix_web::test]
async fn an_expire_begins_the_window() {
    for path in ["/handler", "/wrapped"] {
        for swept in [false, true] {
            let world = World::new().await;
            let app = app!(world, handler, wrapped(&world));
            ask(&app, path, &[]).await;
            world.after(2);
            world.cache.expire_tags(&["t"]).await.expect("an expire");
            if swept {
                world.cache.store().sweep().await.expect("a sweep");
            }
            world.after(7);
            world.close();
            assert_eq!(ask(&app, path, &[]).await.2, "hit; ttl=-7; detail=l2", "{path}, swept: {swept}");
            world.until_runs(2).await;
            world.answers(503, "");
            world.open();
            world.until_done(2).await;
            // 24 s later the entry would be stale for 23 s if nobody had expired it.
            world.after(24);
            let (_, _, outcome) = ask(&app, path, &[]).await;
            assert_eq!(outcome, "fwd=stale; fwd-status=503; detail=stale-if-error", "{path}, swept: {swept}");
        }
    }
}
