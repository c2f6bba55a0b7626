use actix_web::web::{Json, Path};
use cache_middleware::invalidates;
use serde::Serialize;

#[derive(Serialize)]
struct Session {
    id: u64,
}

#[invalidates(event = "session.updated", session_id = out.id, durable)]
async fn by_field(id: Path<u64>) -> Json<Session> {
    Json(Session { id: *id })
}

#[invalidates(tags = ["session:{out.id}"], durable)]
async fn by_tag(id: Path<u64>) -> Json<Session> {
    Json(Session { id: *id })
}

#[invalidates(tags = ["session:{id}"], settle = "5m", on_clear_failure = "retry", durable = true)]
async fn by_value(id: Path<u64>) -> Json<Session> {
    Json(Session { id: *id })
}

fn main() {}
