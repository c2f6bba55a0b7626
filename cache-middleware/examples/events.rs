//! Events: writes say what happened, and one place says what that clears.
//!
//! ```sh
//! cargo run -p cache-middleware --example events    # at 127.0.0.1:8080, or the address that follows `--`
//! curl -i 127.0.0.1:8080/teachers/7/sessions    # fwd=uri-miss; stored
//! curl -i 127.0.0.1:8080/schools/2    # fwd=uri-miss; stored
//! curl -i 127.0.0.1:8080/schools/2    # hit; ttl=…
//! curl -i -X POST 127.0.0.1:8080/teachers/7/sessions    # session 1
//! curl -i 127.0.0.1:8080/teachers/7/sessions    # fwd=uri-miss; stored
//! curl -i 127.0.0.1:8080/schools/2    # fwd=uri-miss; stored
//! curl -i -X POST 127.0.0.1:8080/import    # imported
//! curl -i 127.0.0.1:8080/teachers/7/sessions    # fwd=uri-miss; stored
//! ```

use actix_web::web::Path;
use actix_web::{App, HttpServer, get, post};
use cache_middleware::{CacheError, CacheEvent, CacheManager, cached, invalidates};

#[derive(CacheEvent)]
#[cache_event("session.created")]
struct SessionCreated {
    session_id: u64,
    teacher_id: u64,
    school_id: u64,
}

#[get("/teachers/{teacher}/sessions")]
#[cached(ttl = "5m", tags = ["teacher:{teacher}"])]
async fn sessions(teacher: Path<u64>) -> String {
    format!("the sessions of teacher {teacher}")
}

#[get("/schools/{school}")]
#[cached(ttl = "5m", tags = ["school:{school}:sessions"])]
async fn school(school: Path<u64>) -> String {
    format!("how many sessions school {school} has")
}

#[post("/teachers/{teacher}/sessions")]
#[invalidates(event = SessionCreated { session_id: 1, teacher_id: *teacher, school_id: 2 })]
async fn create(teacher: Path<u64>) -> String {
    format!("session 1 of teacher {teacher}")
}

/// What is no write by HTTP says it by hand: an import, a message of another service, a task.
#[post("/import")]
async fn import(cache: CacheManager) -> Result<&'static str, CacheError> {
    for session_id in 2..5 {
        cache.events().emit(SessionCreated { session_id, teacher_id: 7, school_id: 2 }).await?;
    }
    Ok("imported")
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder()
        .on("session.created", ["teacher:{teacher_id}", "school:{school_id}:sessions"])
        .subscribe("session.created", async |event| log::info!("{:?}", event.field("session_id")))
        .from_env()
        .build()
        .await?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let app =
        move || App::new().app_data(cache.clone()).service(sessions).service(school).service(create).service(import);
    HttpServer::new(app).bind(address)?.run().await
}
