//! The service in one view: TTLs, rules, and how it is put together.

use std::net::SocketAddr;

use actix_web::dev::Server;
use actix_web::middleware::{Logger, NormalizePath, TrailingSlash};
use actix_web::{App, HttpServer, ResponseError, web};
use cache_middleware::{CacheManager, ConfigError};

use crate::answer::ApiError;
use crate::counters::Runs;
use crate::database::Database;
use crate::handlers;
use crate::identity::Directory;
use crate::settings::Settings;

/// How long what is kept, and what makes it wrong.
pub(crate) async fn cache() -> Result<CacheManager, ConfigError> {
    CacheManager::builder()
        .ttl("session-list", "5m")
        .ttl("session-detail", "15m")
        .ttl("session-analytics", "1m")
        .ttl("user-profile", "30m")
        .ttl("user-permissions", "10m")
        .ttl("school-data", "1h")
        .ttl("roster-data", "30m")
        .on("session.created", ["teacher:{teacher_id}", "school:{school_id}:sessions"])
        .on("session.updated", ["session:{session_id}", "teacher:{teacher_id}"])
        .on("session.deleted", ["session:{session_id}", "teacher:{teacher_id}", "school:{school_id}:sessions"])
        .on("user.updated", ["user:{user_id}"])
        .from_env()
        .build()
        .await
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) running: Server,
}

pub(crate) async fn server(settings: Settings, database: Database, cache: CacheManager) -> std::io::Result<Running> {
    let directory = database.schools_of_teachers().await.map_err(std::io::Error::other)?;
    let directory = web::Data::new(Directory { school_of: directory });
    let database = web::Data::new(database);
    let runs = web::Data::new(Runs::new(settings.delay));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(cache.clone())
            .app_data(database.clone())
            .app_data(directory.clone())
            .app_data(runs.clone())
            .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::NotFound("resource").into()))
            .app_data(web::QueryConfig::default().error_handler(|error, _| invalid("query", &error.to_string())))
            .wrap(NormalizePath::new(TrailingSlash::Trim))
            .wrap(Logger::new("%r %s %Dms").log_level(log::Level::Debug))
            .configure(handlers::mount)
            .default_service(web::to(async || ApiError::NotFound("resource").error_response()))
    })
    .bind(settings.bind)?;
    let address = server.addrs().first().copied().unwrap_or(settings.bind);
    Ok(Running { address, running: server.run() })
}

fn invalid(field: &str, message: &str) -> actix_web::Error {
    ApiError::Invalid { field: field.to_owned(), message: message.to_owned() }.into()
}

/// Ready-made lines to try.
pub(crate) fn what_to_try(address: &SocketAddr) -> String {
    let base = format!("http://{address}");
    format!(
        "
Listening on {base}. Try, in another terminal:

  # the first time the handler runs (fwd=uri-miss; stored), the second time it does not (hit)
  curl -i -H 'Authorization: Bearer teacher-7' {base}/api/v1/sessions

  # another teacher gets their own
  curl -i -H 'Authorization: Bearer teacher-8' {base}/api/v1/sessions

  # a write clears exactly what it makes wrong: teacher 7's list, and nobody else's
  curl -i -H 'Authorization: Bearer teacher-7' -d '{{\"title\":\"Biology\",\"startsAt\":\"2026-09-01T10:00:00Z\"}}' {base}/api/v1/sessions

  # what the client has already is not sent again: 304
  curl -si -H 'Authorization: Bearer teacher-7' {base}/api/v1/users/me | grep -i etag
  curl -i -H 'Authorization: Bearer teacher-7' -H 'If-None-Match: <that etag>' {base}/api/v1/users/me

  # fill the cache before anybody asks
  cargo run -p demo-app -- warm --address {address}

  # how often each handler really ran
  curl {base}/debug/counters
"
    )
}
