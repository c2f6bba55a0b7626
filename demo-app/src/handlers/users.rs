//! The caller's own profile.

use actix_web::{put, route, web};
use cache_middleware::{cached, invalidates};

use crate::answer::{Answer, Answered};
use crate::counters::Runs;
use crate::database::{Database, Profile};
use crate::identity::Teacher;
use crate::input::Input;

#[cached(ttl = "user-profile", tags = ["user:{teacher.id}"])]
#[route("/users/me", method = "GET", method = "HEAD")]
pub(super) async fn me(teacher: Teacher, database: web::Data<Database>, runs: web::Data<Runs>) -> Answered<Profile> {
    runs.count("users::me");
    let profile = database.profile(teacher.id).await?;
    runs.hold().await;
    Ok(Answer::ok(profile))
}

#[invalidates(event = "user.updated", user_id = teacher.id)]
#[put("/users/me")]
pub(super) async fn update_me(
    teacher: Teacher,
    body: web::Bytes,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Profile> {
    runs.count("users::update_me");
    let input = Input::parse(&body)?;
    let profile = database.update_profile(teacher.id, input.text("name")?, input.text("email")?).await?;
    runs.hold().await;
    Ok(Answer::ok(profile))
}
