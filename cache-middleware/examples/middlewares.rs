//! Caching and clearing by middlewares: the handlers know nothing of it.
//!
//! ```sh
//! cargo run -p cache-middleware --example middlewares    # at 127.0.0.1:8080, or the address that follows `--`
//! curl -i 127.0.0.1:8080/rooms/7    # fwd=uri-miss; stored
//! curl -i 127.0.0.1:8080/rooms/7    # hit; ttl=…
//! curl -i 127.0.0.1:8080/rooms/8    # fwd=uri-miss; stored
//! curl -i -X PUT --json '{"name":"Blue"}' 127.0.0.1:8080/rooms/7    # 204
//! curl -i 127.0.0.1:8080/rooms/7    # Blue
//! curl -i 127.0.0.1:8080/rooms/8    # hit; ttl=…
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use actix_web::web::{self, Data, Json, Path};
use actix_web::{App, HttpResponse, HttpServer};
use cache_middleware::{CacheManager, escape};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Room {
    name: String,
}

/// What a database is in a service.
type Rooms = Mutex<HashMap<u64, Room>>;

async fn room(id: Path<u64>, rooms: Data<Rooms>) -> HttpResponse {
    let rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    HttpResponse::Ok().json(rooms.get(&id).cloned().unwrap_or(Room { name: "Green".to_owned() }))
}

async fn update(id: Path<u64>, new: Json<Room>, rooms: Data<Rooms>) -> HttpResponse {
    rooms.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, new.into_inner());
    HttpResponse::NoContent().finish()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder().ttl("room", "5m").on("room.updated", ["room:{id}"]).from_env().build().await?;
    let rooms = Data::new(Rooms::default());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    HttpServer::new(move || {
        let updated = cache
            .invalidates("room.updated")
            .payload(|request, _| vec![("id", request.match_info().query("id").to_owned())]);
        App::new().app_data(rooms.clone()).service(
            web::resource("/rooms/{id}")
                .wrap(
                    cache
                        .response("room")
                        .tags(|request| vec![format!("room:{}", escape(request.match_info().query("id")))]),
                )
                .wrap(updated)
                .route(web::get().to(room))
                .route(web::put().to(update)),
        )
    })
    .bind(address)?
    .run()
    .await
}
