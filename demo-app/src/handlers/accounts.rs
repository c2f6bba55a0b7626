//! Tenants: sessions, settings, projects, each kept by what it is. A session begins without a password: this is a demonstration.

use std::collections::HashMap;

use actix_web::{HttpRequest, get, post, put, web};
use cache_middleware::{CacheError, CacheManager, DataSet, DataStrategy};
use chrono::{SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Answered, ApiError};
use crate::counters::Runs;
use crate::database::{Account, Database, Project, TENANTS};
use crate::input::Input;
use crate::random;

/// What is kept of a tenant.
#[derive(Debug, Clone)]
struct Kept {
    sessions: DataSet<Account>,
    configs: DataSet<Value>,
    projects: DataSet<Project>,
}

/// What is kept of each tenant.
#[derive(Debug, Clone)]
pub(crate) struct Tenants(HashMap<&'static str, Kept>);

impl Tenants {
    pub(crate) fn of(cache: &CacheManager) -> Result<Self, CacheError> {
        let of = |name| {
            let cache = cache.tenant(name)?;
            let sessions = DataStrategy::sessions().of(&cache)?;
            let configs = DataStrategy::configuration().of(&cache)?;
            Ok((name, Kept { sessions, configs, projects: DataStrategy::resources().of(&cache)? }))
        };
        TENANTS.into_iter().map(of).collect::<Result<_, _>>().map(Self)
    }

    fn get(&self, name: &str) -> Result<&Kept, ApiError> {
        self.0.get(name).ok_or(ApiError::NotFound("tenant"))
    }
}

/// The user and the session that a request shows: `Authorization: Bearer user.session`.
fn shown(request: &HttpRequest) -> Result<(String, String), ApiError> {
    let credentials = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = credentials
        .and_then(|credentials| credentials.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (user, session) = token.and_then(|(_, token)| token.rsplit_once('.')).ok_or(ApiError::NoSession)?;
    Ok((user.to_owned(), session.to_owned()))
}

#[post("/{tenant}/login")]
pub(super) async fn login(
    tenant: web::Path<String>,
    body: web::Bytes,
    tenants: web::Data<Tenants>,
    database: web::Data<Database>,
) -> Answered<Value> {
    let kept = tenants.get(&tenant)?;
    let user_id = Input::parse(&body)?.text("userId")?;
    let roles = database.roles(tenant.clone(), user_id.clone()).await?.ok_or(ApiError::NotFound("user"))?;
    let session = random::id();
    let since = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let account = Account { user_id: user_id.clone(), tenant_id: tenant.into_inner(), roles, since };
    let open = async || database.open_session(session.clone(), account).await;
    let written = kept.sessions.write(&[&user_id, &session], open).await?;
    Ok(Answer::created(json!({"token": format!("{user_id}.{session}"), "session": written.value})))
}

#[derive(Debug, Deserialize)]
struct Extent {
    #[serde(default)]
    everywhere: bool,
}

/// Ends the session that is shown; with `?everywhere=true`, as after a change of the password, all of the user's.
#[post("/{tenant}/logout")]
pub(super) async fn logout(
    request: HttpRequest,
    tenant: web::Path<String>,
    extent: web::Query<Extent>,
    tenants: web::Data<Tenants>,
    database: web::Data<Database>,
) -> Answered<Value> {
    let kept = tenants.get(&tenant)?;
    let (user, session) = shown(&request)?;
    // Who ends all of them must have one.
    account(kept, &tenant, &user, &session, &database).await?;
    let one = (!extent.everywhere).then(|| session.clone());
    let closed = database.close_sessions(tenant.into_inner(), user.clone(), one).await?;
    let id = if extent.everywhere { vec![user.as_str()] } else { vec![user.as_str(), session.as_str()] };
    let receipt = kept.sessions.clear(&id).await.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    Ok(Answer::ok(json!({"closed": closed, "journaled": receipt.journaled})))
}

async fn account(
    kept: &Kept,
    tenant: &str,
    user: &str,
    session: &str,
    database: &web::Data<Database>,
) -> Result<Account, ApiError> {
    let id = [tenant, user, session].map(str::to_owned);
    let database = database.clone();
    let fetch = move || async move { database.session_of(id).await?.ok_or(ApiError::NoSession) };
    kept.sessions.get_or_fetch(&[user, session], fetch).await
}

#[get("/{tenant}/me")]
pub(super) async fn me(
    request: HttpRequest,
    tenant: web::Path<String>,
    tenants: web::Data<Tenants>,
    database: web::Data<Database>,
) -> Answered<Account> {
    let kept = tenants.get(&tenant)?;
    let (user, session) = shown(&request)?;
    Ok(Answer::ok(account(kept, &tenant, &user, &session, &database).await?))
}

#[get("/{tenant}/config/{type}")]
pub(super) async fn show_config(
    path: web::Path<(String, String)>,
    tenants: web::Data<Tenants>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Value> {
    let (tenant, kind) = path.into_inner();
    let kept = tenants.get(&tenant)?;
    let of = kind.clone();
    let fetch = move || async move {
        runs.count("accounts::config");
        let config = database.config(tenant, of).await?;
        runs.hold().await;
        config.ok_or(ApiError::NotFound("configuration"))
    };
    Ok(Answer::ok(kept.configs.get_or_fetch(&[&kind], fetch).await?))
}

#[put("/{tenant}/config/{type}")]
pub(super) async fn set_config(
    path: web::Path<(String, String)>,
    body: web::Bytes,
    tenants: web::Data<Tenants>,
    database: web::Data<Database>,
) -> Answered<Value> {
    let (tenant, kind) = path.into_inner();
    let kept = tenants.get(&tenant)?;
    let config = Input::parse(&body)?.into_json();
    let write = async || database.set_config(tenant, kind.clone(), config).await;
    Ok(Answer::ok(kept.configs.write(&[&kind], write).await?.value))
}

#[get("/{tenant}/projects/{id}")]
pub(super) async fn show_project(
    path: web::Path<(String, String)>,
    tenants: web::Data<Tenants>,
    database: web::Data<Database>,
    runs: web::Data<Runs>,
) -> Answered<Project> {
    let (tenant, id) = path.into_inner();
    let kept = tenants.get(&tenant)?;
    let of = id.clone();
    let fetch = move || async move {
        runs.count("accounts::project");
        let project = database.project(tenant, of).await?;
        runs.hold().await;
        project.ok_or(ApiError::NotFound("project"))
    };
    Ok(Answer::ok(kept.projects.get_or_fetch(&["project", &id], fetch).await?))
}
