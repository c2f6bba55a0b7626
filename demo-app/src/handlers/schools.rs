//! Schools: the same for every teacher who asks. The caller is checked on every request, hit or not, and left out of
//! the key; `public` says that this is meant.

use actix_web::{route, web};
use cache_middleware::cached;

use crate::answer::{Answer, Answered, ApiError};
use crate::counters::Runs;
use crate::database::{Database, School, Student};
use crate::identity::Teacher;

#[cached(ttl = "school-data", tags = ["school:{id}", "school:{id}:sessions"], skip(_caller), public)]
#[route("/schools/{id}", method = "GET", method = "HEAD")]
pub(super) async fn detail(
    _caller: Teacher,
    id: web::Path<i64>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<School> {
    runs.count("schools::detail");
    let school = database.school(*id).await?;
    runs.hold().await;
    school.map(Answer::ok).ok_or(ApiError::NotFound("school"))
}

#[cached(ttl = "roster-data", tags = ["school:{id}", "roster:{id}"], skip(_caller), public)]
#[route("/schools/{id}/roster", method = "GET", method = "HEAD")]
pub(super) async fn roster(
    _caller: Teacher,
    id: web::Path<i64>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Vec<Student>> {
    runs.count("schools::roster");
    let roster = database.roster(*id).await?;
    runs.hold().await;
    roster.map(Answer::ok).ok_or(ApiError::NotFound("school"))
}
