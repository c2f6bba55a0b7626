//! Caching and clearing by attributes: whose response it is follows from the arguments.
//!
//! ```sh
//! cargo run -p cache-middleware --example attributes    # at 127.0.0.1:8080, or the address that follows `--`
//! curl -i -H 'x-teacher: 7' 127.0.0.1:8080/sessions    # fwd=uri-miss; stored
//! curl -i -H 'x-teacher: 7' 127.0.0.1:8080/sessions    # hit; ttl=…
//! curl -i -H 'x-teacher: 8' 127.0.0.1:8080/sessions    # fwd=uri-miss; stored
//! curl -i -H 'x-teacher: 7' --json '{"title":"Biology"}' 127.0.0.1:8080/sessions    # Biology
//! curl -i -H 'x-teacher: 7' 127.0.0.1:8080/sessions    # Biology
//! curl -i -H 'x-teacher: 8' 127.0.0.1:8080/sessions    # hit; ttl=…
//! curl -i 127.0.0.1:8080/sessions    # 401
//! ```

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};

use actix_web::dev::Payload;
use actix_web::error::ErrorUnauthorized;
use actix_web::web::{Data, Json};
use actix_web::{App, Error, FromRequest, HttpRequest, HttpServer, get, post};
use cache_middleware::{CacheKey, CacheManager, cached, invalidates};
use serde::{Deserialize, Serialize};

/// Who asks. As an argument of a cached handler it is part of the key.
#[derive(CacheKey)]
#[cache_key(identity)]
struct Teacher {
    id: u64,
}

impl FromRequest for Teacher {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    /// A service checks a session or a token here. It runs on hits too.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.headers().get("x-teacher").and_then(|id| id.to_str().ok()?.parse().ok());
        ready(id.map(|id| Self { id }).ok_or_else(|| ErrorUnauthorized("who are you?")))
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Session {
    title: String,
}

/// What a database is in a service.
type Sessions = Mutex<HashMap<u64, Vec<Session>>>;

#[get("/sessions")]
#[cached(ttl = "5m", tags = ["teacher:{teacher.id}"])]
async fn list(teacher: Teacher, sessions: Data<Sessions>) -> Json<Vec<Session>> {
    let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
    Json(sessions.get(&teacher.id).cloned().unwrap_or_default())
}

#[post("/sessions")]
#[invalidates(tags = ["teacher:{teacher.id}"])]
async fn create(teacher: Teacher, new: Json<Session>, sessions: Data<Sessions>) -> Json<Session> {
    let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
    sessions.entry(teacher.id).or_default().push(new.clone());
    new
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder().from_env().build().await?;
    let sessions = Data::new(Sessions::default());
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let app = move || App::new().app_data(cache.clone()).app_data(sessions.clone()).service(list).service(create);
    HttpServer::new(app).bind(address)?.run().await
}
