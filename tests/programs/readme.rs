//! A service whose lists of sessions are cached, and cleared when a session is created.

use actix_web::web::{Json, Path};
use actix_web::{App, HttpServer, get, post};
use cache_middleware::{CacheManager, cached, invalidates};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Session {
    id: u64,
    title: String,
}

#[get("/teachers/{teacher}/sessions")]
#[cached(ttl = "session-list", tags = ["teacher:{teacher}"])]
async fn list(teacher: Path<u64>) -> Result<Json<Vec<Session>>, actix_web::Error> {
    Ok(Json(vec![Session { id: 1, title: format!("read from the database of {teacher}") }]))
}

#[post("/teachers/{teacher}/sessions")]
#[invalidates(event = "session.created", session_id = out.id, teacher_id = teacher)]
async fn create(teacher: Path<u64>, new: Json<Session>) -> Result<Json<Session>, actix_web::Error> {
    println!("write into the database of {teacher}");
    Ok(new)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder()
        .ttl("session-list", "5m")
        .on("session.created", ["teacher:{teacher_id}"])
        .from_env() // REDIS_URL set: Redis; unset: the embedded store
        .build()
        .await?; // an unknown TTL name, event or placeholder fails here, with its file and line
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    HttpServer::new(move || App::new().app_data(cache.clone()).service(list).service(create))
        .bind(address)?
        .run()
        .await?;
    Ok(())
}
