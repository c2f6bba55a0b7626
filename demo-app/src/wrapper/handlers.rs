//! Its routes. What is read has an `ETag`; what is changed is published before the answer leaves, if the store is there.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::dev::{ServiceFactory, ServiceRequest};
use actix_web::http::header::{ETAG, IF_NONE_MATCH};
use actix_web::{Error, HttpRequest, HttpResponse, Scope, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Wrapper;
use super::records::{Deducted, StandingOf, UserChange};
use crate::answer::ApiError;

type Answered = Result<HttpResponse, ApiError>;

pub(super) fn mount<T>(scope: Scope<T>) -> Scope<T>
where
    T: ServiceFactory<ServiceRequest, Config = (), Error = Error, InitError = ()>,
{
    scope
        .route("/credit-configs", web::get().to(configs))
        .route("/credit-configs/{code}", web::get().to(config))
        .route("/credit-configs/{code}", web::put().to(set_cost))
        .route("/credit-configs/{code}", web::delete().to(remove_config))
        .route("/roles", web::get().to(roles))
        .route("/roles/{id}", web::get().to(role))
        .route("/roles/{id}", web::put().to(set_role))
        .route("/user-status", web::get().to(standings))
        .route("/user-status/{id}", web::get().to(standing))
        .route("/users", web::get().to(users))
        .route("/users/{id}", web::get().to(user))
        .route("/users/{id}", web::put().to(change_user))
        .route("/users/{id}/credits", web::get().to(credits))
        .route("/users/{id}/credits/deduct", web::post().to(deduct))
}

/// JSON, or a 304 if the caller has it.
fn read(request: &HttpRequest, value: &impl Serialize) -> Answered {
    let body = serde_json::to_string(value).map_err(|error| ApiError::Internal(error.to_string()))?;
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    if request.headers().get(IF_NONE_MATCH).is_some_and(|known| known == etag.as_str()) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    Ok(HttpResponse::Ok().insert_header((ETAG, etag)).content_type("application/json").body(body))
}

fn found<T>(value: Option<T>, what: &'static str) -> Result<T, ApiError> {
    value.ok_or(ApiError::NotFound(what))
}

fn body<T: for<'de> Deserialize<'de>>(bytes: &web::Bytes, accepted: &str) -> Result<T, ApiError> {
    let wrong = |error: serde_json::Error| ApiError::Invalid {
        field: "body".to_owned(),
        message: format!("is {accepted} ({error})"),
    };
    serde_json::from_slice(bytes).map_err(wrong)
}

impl UserChange {
    fn check(&self) -> Result<(), ApiError> {
        for (field, text) in [("name", &self.name), ("title", &self.title), ("department", &self.department)] {
            text.clone().map(|text| name(field, text)).transpose()?;
        }
        if self.status.as_ref().is_some_and(|status| !STATUSES.contains(&status.as_str())) {
            let message = format!("is one of {}", STATUSES.join(", "));
            return Err(ApiError::Invalid { field: "status".to_owned(), message });
        }
        self.roles.iter().flatten().try_for_each(|role| name("roles", role.clone()).map(drop))
    }
}

/// What a user may be.
const STATUSES: [&str; 2] = ["active", "inactive"];

impl Wrapper {
    /// What was changed, and whether everybody is told.
    async fn changed(&self, record: impl Serialize) -> HttpResponse {
        let published = self.outbox.publish().await;
        HttpResponse::Ok().json(json!({"record": record, "published": published}))
    }
}

async fn configs(wrapper: web::Data<Wrapper>, request: HttpRequest) -> Answered {
    read(&request, &wrapper.records.configs().await?)
}

async fn config(wrapper: web::Data<Wrapper>, request: HttpRequest, code: web::Path<String>) -> Answered {
    read(&request, &found(wrapper.records.config(code.into_inner()).await?, "operation")?)
}

/// The most bytes of a name.
const MAX_NAME: usize = 100;

/// A name of a new record, which has to fit into a message.
fn name(field: &str, text: String) -> Result<String, ApiError> {
    if text.trim().is_empty() || text.len() > MAX_NAME {
        let message = format!("is 1 to {MAX_NAME} bytes and not blank");
        return Err(ApiError::Invalid { field: field.to_owned(), message });
    }
    Ok(text)
}

fn amount(field: &str, amount: f64) -> Result<f64, ApiError> {
    if !(0.0..=1e9).contains(&amount) {
        let message = "is a number from 0 to 1000000000".to_owned();
        return Err(ApiError::Invalid { field: field.to_owned(), message });
    }
    // Not below 0 in any way.
    Ok(amount.abs())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    cost: f64,
}

async fn set_cost(wrapper: web::Data<Wrapper>, code: web::Path<String>, bytes: web::Bytes) -> Answered {
    let Cost { cost } = body(&bytes, r#"such as {"cost":3.0}"#)?;
    let code = name("operation", code.into_inner())?;
    let config = wrapper.records.set_cost(code, amount("cost", cost)?).await?;
    Ok(wrapper.changed(config).await)
}

async fn remove_config(wrapper: web::Data<Wrapper>, code: web::Path<String>) -> Answered {
    if wrapper.records.remove_config(code.into_inner()).await? {
        return Ok(wrapper.changed(Value::Null).await);
    }
    Err(ApiError::NotFound("operation"))
}

async fn roles(wrapper: web::Data<Wrapper>, request: HttpRequest) -> Answered {
    read(&request, &wrapper.records.roles().await?)
}

async fn role(wrapper: web::Data<Wrapper>, request: HttpRequest, id: web::Path<String>) -> Answered {
    read(&request, &found(wrapper.records.role(id.into_inner()).await?, "role")?)
}

#[derive(Deserialize)]
struct Permissions {
    permissions: Vec<String>,
}

async fn set_role(wrapper: web::Data<Wrapper>, id: web::Path<String>, bytes: web::Bytes) -> Answered {
    let Permissions { permissions } = body(&bytes, r#"such as {"permissions":["crm.leads.create"]}"#)?;
    let id = name("role", id.into_inner())?;
    let permissions = permissions.into_iter().map(|permission| name("permissions", permission));
    let role = wrapper.records.set_role(id, permissions.collect::<Result<_, _>>()?).await?;
    Ok(wrapper.changed(role).await)
}

async fn standings(wrapper: web::Data<Wrapper>, request: HttpRequest) -> Answered {
    let users = wrapper.records.users().await?;
    read(&request, &users.into_iter().map(StandingOf::from).collect::<Vec<_>>())
}

async fn standing(wrapper: web::Data<Wrapper>, request: HttpRequest, id: web::Path<String>) -> Answered {
    read(&request, &StandingOf::from(found(wrapper.records.user(id.into_inner()).await?, "user")?))
}

#[derive(Deserialize)]
struct Ids {
    ids: Option<String>,
}

async fn users(wrapper: web::Data<Wrapper>, request: HttpRequest, ids: web::Query<Ids>) -> Answered {
    match &ids.ids {
        None => read(&request, &wrapper.records.users().await?),
        Some(ids) => {
            let ids = ids.split(',').map(str::to_owned).collect();
            read(&request, &wrapper.records.some_users(ids).await?)
        }
    }
}

async fn user(wrapper: web::Data<Wrapper>, request: HttpRequest, id: web::Path<String>) -> Answered {
    read(&request, &found(wrapper.records.user(id.into_inner()).await?, "user")?)
}

async fn change_user(wrapper: web::Data<Wrapper>, id: web::Path<String>, bytes: web::Bytes) -> Answered {
    let change: UserChange = body(&bytes, "an object with name, title, department, status or roles")?;
    change.check()?;
    let user = found(wrapper.records.change_user(id.into_inner(), change).await?, "user")?;
    Ok(wrapper.changed(user).await)
}

async fn credits(wrapper: web::Data<Wrapper>, id: web::Path<String>) -> Answered {
    let credits = found(wrapper.records.credits(id.into_inner()).await?, "user")?;
    Ok(HttpResponse::Ok().json(json!({"credits": credits})))
}

#[derive(Deserialize)]
struct Amount {
    amount: f64,
}

/// 402 if there are too few. With an `Idempotency-Key` it is done once.
async fn deduct(
    wrapper: web::Data<Wrapper>,
    request: HttpRequest,
    id: web::Path<String>,
    bytes: web::Bytes,
) -> Answered {
    let Amount { amount: given } = body(&bytes, r#"such as {"amount":2.5}"#)?;
    let given = amount("amount", given)?;
    let key = request.headers().get("idempotency-key").and_then(|key| Some(key.to_str().ok()?.to_owned()));
    Ok(match wrapper.records.deduct(id.into_inner(), given, key).await? {
        Deducted::Left(credits) => HttpResponse::Ok().json(json!({"credits": credits})),
        Deducted::TooFew(credits) => HttpResponse::PaymentRequired().json(json!({"credits": credits})),
        Deducted::Nobody => return Err(ApiError::NotFound("user")),
        Deducted::Other => {
            let why = json!({"error": "The Idempotency-Key was that of another deduction"});
            HttpResponse::UnprocessableEntity().json(why)
        }
    })
}
