//! Answers that say that there is nothing.

use std::sync::Arc;

use actix_web::{Error, HttpResponse, get, web};
use cache_middleware::cached;

use super::{World, app, ask, page, respond};

#[get("/rooms/{id}")]
#[cached(ttl = "1h", tags = ["room:{id}", "by:{out.len}"], negative_ttl = "5s", stale = "1h")]
async fn room(id: web::Path<u64>, world: web::Data<Arc<World>>) -> Result<Room, Error> {
    let response = respond(&world).await?;
    let _ = (id, response);
    Ok(Room { len: 1 })
}

struct Room {
    len: usize,
}

impl actix_web::Responder for Room {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &actix_web::HttpRequest) -> HttpResponse {
        HttpResponse::Ok().body(self.len.to_string())
    }
}

/// It is remembered for its own time, also where the handler returns it as an error, and then it is gone: a stale window is
/// for what there was.
#[actix_web::test]
async fn what_is_not_there_is_remembered_briefly() {
    let world = World::new().await;
    let wrapped =
        web::resource("/wrapped").wrap(world.cache.response("1h").negative_ttl("5s")).route(web::get().to(page));
    let app = app!(world, room, wrapped);
    for path in ["/rooms/1", "/wrapped"] {
        for status in [404, 410] {
            world.answers(status, "");
            let runs = world.runs();
            assert_eq!(ask(&app, path, &[]).await.2, "fwd=uri-miss; stored", "{path}: {status}");
            world.after(4);
            let (code, _, outcome) = ask(&app, path, &[]).await;
            assert_eq!((code, outcome.as_str()), (status, "hit; ttl=1; detail=l2"), "{path}: {status}");
            world.after(2);
            assert_eq!(ask(&app, path, &[]).await.2, "fwd=uri-miss; stored", "{path}: {status}");
            assert_eq!(world.runs(), runs + 2);
            world.after(10);
        }
    }
}

/// Other errors are not, and without the option none is (R8).
#[actix_web::test]
async fn other_errors_are_not_remembered() {
    let world = World::new().await;
    let plain = web::resource("/plain").wrap(world.cache.response("1h")).route(web::get().to(page));
    let app = app!(world, room, plain);
    for (path, status) in [("/rooms/1", 500), ("/rooms/1", 403), ("/plain", 404)] {
        world.answers(status, "");
        for _ in 0..2 {
            assert_eq!(ask(&app, path, &[]).await.2, "fwd=uri-miss; detail=handler-error", "{path}: {status}");
        }
    }
}

/// Whoever creates what was missing clears it by what its arguments name. Fails when an error is stored without tags.
#[actix_web::test]
async fn p1_what_was_missing_is_cleared_by_its_arguments() {
    let world = World::new().await;
    let app = app!(world, room);
    world.answers(404, "");
    ask(&app, "/rooms/1", &[]).await;
    assert_eq!(ask(&app, "/rooms/1", &[]).await.0, 404);
    world.answers(200, "");
    world.cache.clear_tag("room:1").await.expect("a clear");
    assert_eq!(ask(&app, "/rooms/1", &[]).await.0, 200);
    assert_eq!(ask(&app, "/rooms/1", &[]).await.2, "hit; ttl=3600; detail=l2");
}
