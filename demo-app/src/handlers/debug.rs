//! How often each handler's body really ran.

use std::collections::BTreeMap;

use actix_web::{get, web};

use crate::answer::Answer;
use crate::counters::Runs;

#[get("/debug/counters")]
pub(super) async fn counters(runs: web::Data<Runs>) -> Answer<BTreeMap<&'static str, u64>> {
    Answer::ok(runs.all())
}
