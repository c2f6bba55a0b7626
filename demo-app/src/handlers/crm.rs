//! Sales: operations that cost credits, profiles, permissions. The answers are those of the documents that the service was asked for
//! from, without an envelope.

use std::fmt;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError, get, post, web};
use cache_middleware::SourceError;
use chrono::{SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::crm::Crm;
use crate::database::Database;
use crate::random;

/// The operation that makes a lead.
const CREATE_LEAD: &str = "crm.leads.create";

/// An answer that is no success: `{"error": …}`, and what belongs to it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

type Answered = Result<HttpResponse, Refusal>;

fn refuse(status: StatusCode, error: &str, more: Value) -> Refusal {
    let mut body = more;
    body["error"] = error.into();
    Refusal { status, body }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header(("retry-after", "1"));
        }
        response.json(&self.body)
    }
}

/// The wrapper has not answered, and there is nothing to answer with instead.
impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        log::warn!("{error}");
        refuse(StatusCode::SERVICE_UNAVAILABLE, "The wrapper does not answer", json!({}))
    }
}

/// What an operation costs, and whether that was held here.
async fn cost(crm: &Crm, operation: &str) -> Result<(f64, bool), Refusal> {
    let found = crm.costs.look(&operation.to_owned()).await?;
    let cached = found.cached;
    found.value.map(|cost| (cost, cached)).ok_or_else(|| {
        let more = json!({"operation": operation, "cached": cached});
        refuse(StatusCode::NOT_FOUND, "Operation not configured", more)
    })
}

/// Credits are never cached: they are money.
async fn credits(crm: &Crm, user: &str) -> Result<f64, Refusal> {
    let path = format!("/users/{}/credits", cache_middleware::escape(user));
    let answer = crm.wrapper.get(&path).await?;
    credits_in(answer.status, &answer.json::<Value>().unwrap_or_default(), user)
}

fn credits_in(status: u16, body: &Value, user: &str) -> Result<f64, Refusal> {
    match (status, body["credits"].as_f64()) {
        (200 | 402, Some(credits)) => Ok(credits),
        (404, _) => Err(refuse(StatusCode::NOT_FOUND, "User not found", json!({"userId": user}))),
        _ => Err(SourceError::Malformed(format!("no credits in an answer of {status}")).into()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewLead {
    user_id: String,
    lead_data: Value,
}

#[post("/operations/lead-create")]
pub(super) async fn create_lead(
    crm: web::Data<Crm>,
    database: web::Data<Database>,
    body: web::Bytes,
) -> Result<HttpResponse, actix_web::Error> {
    let NewLead { user_id, lead_data } = serde_json::from_slice(&body).map_err(|error| {
        let why = format!(r#"The body is such as {{"userId":"user-1","leadData":{{}}}}: {error}"#);
        refuse(StatusCode::BAD_REQUEST, &why, json!({}))
    })?;
    let (cost, _) = cost(&crm, CREATE_LEAD).await?;
    // First the lead, not paid for: credits that are deducted for nothing would be worse.
    let lead = format!("lead-{}", random::id());
    database.begin_lead(lead.clone(), lead_data.to_string()).await?;
    let paid = pay(&crm, &user_id, cost, &lead).await;
    match &paid {
        Ok(_) => database.end_lead(lead.clone(), true).await?,
        // If it is not known, the lead stays as one that may be paid for.
        Err(refused) if refused.status == StatusCode::SERVICE_UNAVAILABLE => {}
        Err(_) => database.end_lead(lead.clone(), false).await?,
    }
    let answer = json!({"success": true, "leadId": lead, "creditCost": cost, "creditsLeft": paid?});
    Ok(HttpResponse::Ok().json(answer))
}

/// Deducts at the source, which alone knows what there is. The lead's id makes a repetition harmless.
async fn pay(crm: &Crm, user: &str, cost: f64, lead: &str) -> Result<f64, Refusal> {
    let path = format!("/users/{}/credits/deduct", cache_middleware::escape(user));
    let answer = crm.wrapper.send("POST", &path, &json!({"amount": cost}), Some(lead)).await;
    let answer = answer?;
    let credits = credits_in(answer.status, &answer.json::<Value>().unwrap_or_default(), user)?;
    if answer.status == 402 {
        let more = json!({"creditCost": cost, "availableCredits": credits});
        return Err(refuse(StatusCode::PAYMENT_REQUIRED, "Insufficient credits", more));
    }
    Ok(credits)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Validation {
    operation: String,
    user_id: String,
}

#[get("/credits/validate")]
pub(super) async fn validate(crm: web::Data<Crm>, query: web::Query<Validation>) -> Answered {
    let Validation { operation, user_id } = query.into_inner();
    let (cost, cached) = cost(&crm, &operation).await?;
    let available = credits(&crm, &user_id).await?;
    Ok(HttpResponse::Ok().json(json!({
        "operation": operation, "creditCost": cost, "availableCredits": available, "canAfford": available >= cost,
        "cached": cached,
    })))
}

#[get("/credits/check/{operation}")]
pub(super) async fn check(crm: web::Data<Crm>, operation: web::Path<String>) -> Answered {
    let (cost, cached) = cost(&crm, &operation).await?;
    Ok(HttpResponse::Ok().json(json!({"operation": *operation, "creditCost": cost, "cached": cached})))
}

/// A profile, whether it was here already, and until when it will be.
async fn profile_of(crm: &Crm, id: String) -> Answered {
    let found = crm.users.look(&id).await?;
    let Some(user) = found.value else {
        let more = json!({"userId": id, "cached": found.cached});
        return Err(refuse(StatusCode::NOT_FOUND, "User not found", more));
    };
    let until = |left: Duration| (Utc::now() + left).to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut body = json!(user);
    body["cached"] = found.cached.into();
    body["cacheExpiry"] = found.expires_in.map(until).into();
    Ok(HttpResponse::Ok().json(body))
}

#[get("/users/{id}")]
pub(super) async fn show_user(crm: web::Data<Crm>, id: web::Path<String>) -> Answered {
    profile_of(&crm, id.into_inner()).await
}

#[get("/users/{id}/profile")]
pub(super) async fn show_profile(crm: web::Data<Crm>, id: web::Path<String>) -> Answered {
    profile_of(&crm, id.into_inner()).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    user_id: String,
    permission: String,
}

#[get("/permissions/check")]
pub(super) async fn permission(crm: web::Data<Crm>, query: web::Query<Asked>) -> Answered {
    let began = Instant::now();
    let Asked { user_id, permission } = query.into_inner();
    let standing = crm.standings.look(&user_id).await?;
    let mut cached = standing.cached;
    let roles = standing.value.filter(|user| user.status == "active").map(|user| user.roles).unwrap_or_default();
    let mut authorized = false;
    for role in &roles {
        let may = crm.roles.look(role).await?;
        cached &= may.cached;
        authorized |= may.value.is_some_and(|permissions| permissions.contains(&permission));
    }
    let took = format!("{:.3}ms", began.elapsed().as_secs_f64() * 1_000.0);
    Ok(HttpResponse::Ok().json(json!({
        "userId": user_id, "permission": permission, "authorized": authorized, "roles": roles, "cached": cached,
        "responseTime": took,
    })))
}
