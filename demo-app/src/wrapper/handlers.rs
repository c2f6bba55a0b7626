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

#[derive(Deserialize)]
struct Cost {
    cost: f64,
}

async fn set_cost(wrapper: web::Data<Wrapper>, code: web::Path<String>, bytes: web::Bytes) -> Answered {
    let Cost { cost } = body(&bytes, r#"such as {"cost":3.0}"#)?;
    if !(0.0..=1e9).contains(&cost) {
        return Err(ApiError::Invalid { field: "cost".to_owned(), message: "is a number from 0 on".to_owned() });
    }
    let config = wrapper.records.set_cost(code.into_inner(), cost).await?;
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
    let role = wrapper.records.set_role(id.into_inner(), permissions).await?;
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
    let Amount { amount } = body(&bytes, r#"such as {"amount":2.5}"#)?;
    if !(0.0..=1e9).contains(&amount) {
        return Err(ApiError::Invalid { field: "amount".to_owned(), message: "is a number from 0 on".to_owned() });
    }
    let key = request.headers().get("idempotency-key").and_then(|key| Some(key.to_str().ok()?.to_owned()));
    Ok(match wrapper.records.deduct(id.into_inner(), amount, key).await? {
        Deducted::Left(credits) => HttpResponse::Ok().json(json!({"credits": credits})),
        Deducted::TooFew(credits) => HttpResponse::PaymentRequired().json(json!({"credits": credits})),
        Deducted::Nobody => return Err(ApiError::NotFound("user")),
    })
}
