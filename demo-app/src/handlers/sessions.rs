//! Sessions of the calling teacher.

use actix_web::{delete, post, put, route, web};
use cache_middleware::{cached, invalidates};
use serde::Deserialize;

use crate::answer::{Answer, Answered, ApiError};
use crate::counters::Runs;
use crate::database::{Analytics, Database, NewSession, Session};
use crate::identity::Teacher;
use crate::input::Input;

#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    page: Option<String>,
}

impl Page {
    /// Pages count from 1.
    fn number(&self) -> Result<u32, ApiError> {
        match self.page.as_deref().unwrap_or("1").parse() {
            Ok(number @ 1..) => Ok(number),
            _ => Err(ApiError::Invalid { field: "page".to_owned(), message: "is a number from 1".to_owned() }),
        }
    }
}

fn new_session(body: &[u8]) -> Result<NewSession, ApiError> {
    let input = Input::parse(body)?;
    Ok(NewSession { title: input.text("title")?, starts_at: input.time("startsAt")?.to_rfc3339() })
}

#[cached(ttl = "session-list", tags = ["teacher:{teacher.id}", "sessions"])]
#[route("/sessions", method = "GET", method = "HEAD")]
pub(super) async fn list(
    teacher: Teacher,
    page: web::Query<Page>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Vec<Session>> {
    runs.count("sessions::list");
    let sessions = database.sessions(teacher.id, page.number()?).await?;
    runs.hold().await;
    Ok(Answer::ok(sessions))
}

#[invalidates(
    event = "session.created",
    session_id = out.data.id,
    teacher_id = teacher.id,
    school_id = teacher.school_id,
)]
#[post("/sessions")]
pub(super) async fn create(
    teacher: Teacher,
    body: web::Bytes,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Session> {
    runs.count("sessions::create");
    let session = database.create_session(teacher.id, new_session(&body)?).await?;
    runs.hold().await;
    Ok(Answer::created(session))
}

#[cached(ttl = "session-detail", tags = ["session:{id}"])]
#[route("/sessions/{id}", method = "GET", method = "HEAD")]
pub(super) async fn detail(
    teacher: Teacher,
    id: web::Path<i64>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Session> {
    runs.count("sessions::detail");
    let session = database.session(teacher.id, *id).await?;
    runs.hold().await;
    session.map(Answer::ok).ok_or(ApiError::NotFound("session"))
}

#[invalidates(event = "session.updated", session_id = id, teacher_id = teacher.id)]
#[put("/sessions/{id}")]
pub(super) async fn update(
    teacher: Teacher,
    id: web::Path<i64>,
    body: web::Bytes,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Session> {
    runs.count("sessions::update");
    let session = database.update_session(teacher.id, *id, new_session(&body)?).await?;
    runs.hold().await;
    session.map(Answer::ok).ok_or(ApiError::NotFound("session"))
}

#[invalidates(
    event = "session.deleted",
    session_id = id,
    teacher_id = teacher.id,
    school_id = teacher.school_id,
)]
#[delete("/sessions/{id}")]
pub(super) async fn delete(
    teacher: Teacher,
    id: web::Path<i64>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Session> {
    runs.count("sessions::delete");
    let session = database.delete_session(teacher.id, *id).await?;
    runs.hold().await;
    session.map(Answer::ok).ok_or(ApiError::NotFound("session"))
}

#[cached(ttl = "session-analytics", tags = ["session:{id}"])]
#[route("/sessions/{id}/analytics", method = "GET", method = "HEAD")]
pub(super) async fn analytics(
    teacher: Teacher,
    id: web::Path<i64>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Analytics> {
    runs.count("sessions::analytics");
    let analytics = database.analytics(teacher.id, *id).await?;
    runs.hold().await;
    analytics.map(Answer::ok).ok_or(ApiError::NotFound("session"))
}
