//! The service of `docs/getting-started.md`, with the lines that cache it.
//!
//! ```sh
//! cargo run -p cache-middleware --example getting_started    # at 127.0.0.1:8080, or the address that follows `--`
//! curl -i 127.0.0.1:8080/teachers/7/sessions    # fwd=uri-miss; stored
//! curl -i 127.0.0.1:8080/teachers/7/sessions    # hit; ttl=…
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use actix_web::web::{Data, Json, Path};
use actix_web::{App, HttpServer, get, post};
use cache_middleware::{CacheManager, cached, invalidates};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Session {
    title: String,
}

/// What a database is in a service.
type Sessions = Mutex<HashMap<u64, Vec<Session>>>;

#[get("/teachers/{teacher}/sessions")]
#[cached(ttl = "5m", tags = ["teacher:{teacher}"])]
async fn list(teacher: Path<u64>, sessions: Data<Sessions>) -> Json<Vec<Session>> {
    let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
    Json(sessions.get(&teacher).cloned().unwrap_or_default())
}

#[post("/teachers/{teacher}/sessions")]
#[invalidates(tags = ["teacher:{teacher}"])]
async fn create(teacher: Path<u64>, new: Json<Session>, sessions: Data<Sessions>) -> Json<Session> {
    let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
    sessions.entry(*teacher).or_default().push(new.clone());
    new
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder().from_env().build().await?;
    let sessions = Data::new(Sessions::default());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    HttpServer::new(move || App::new().app_data(cache.clone()).app_data(sessions.clone()).service(list).service(create))
        .bind(address)?
        .run()
        .await
}
