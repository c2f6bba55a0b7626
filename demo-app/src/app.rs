//! The service in one view: TTLs, rules, and how it is put together.

use std::net::SocketAddr;

use actix_web::dev::Server;
use actix_web::middleware::{Logger, NormalizePath, TrailingSlash};
use actix_web::{App, HttpServer, ResponseError, web};
use cache_middleware::{CacheHealthMonitor, CacheManager, CacheManagerBuilder, ConfigError, Dashboard};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::answer::ApiError;
use crate::counters::Runs;
use crate::crm::Crm;
use crate::database::Database;
use crate::handlers::{self, Pantry, Tenants};
use crate::identity::Directory;
use crate::observe;
use crate::settings::{DatabaseUrl, Settings};
use crate::wrapper::Wrapper;

/// How long what is kept, and what makes it wrong.
pub(crate) async fn cache() -> Result<CacheManager, ConfigError> {
    rules().from_env().build().await
}

/// The same without the environment.
pub(crate) fn rules() -> CacheManagerBuilder {
    CacheManager::builder()
        .ttl("session-list", "5m")
        .ttl("session-detail", "15m")
        .ttl("session-analytics", "1m")
        .ttl("user-profile", "30m")
        .ttl("user-permissions", "10m")
        .ttl("school-data", "1h")
        .ttl("roster-data", "30m")
        .ttl("menu", "5m")
        .on("session.created", ["session:{session_id}", "teacher:{teacher_id}", "school:{school_id}:sessions"])
        .on("session.updated", ["session:{session_id}", "teacher:{teacher_id}"])
        .on("session.deleted", ["session:{session_id}", "teacher:{teacher_id}", "school:{school_id}:sessions"])
        .on("user.updated", ["user:{user_id}"])
        .on("item.updated", ["item:{item_id}", "org:{organization_id}:menu"])
        .on("category.updated", ["org:{organization_id}:menu"])
        // By people, on the dashboard or with cachectl: nothing here changes a school.
        .cleared_by_call(["sessions", "school:{id}", "roster:{id}"])
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) running: Server,
}

/// Whether the cache is shared by several processes.
pub(crate) fn is_shared() -> bool {
    ["REDIS_URL", "REDIS_HOST"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The service, and the wrapper within it unless it is elsewhere.
pub(crate) async fn server(
    settings: Settings,
    database: Database,
    (cache, recorded): (CacheManager, PrometheusHandle),
) -> Result<Running, String> {
    let monitor = CacheHealthMonitor::builder().start(&cache).map_err(|error| error.to_string())?;
    let dashboard = settings.admin_token.clone().map(|token| Dashboard::builder(&monitor).password(token).build());
    let dashboard = dashboard.transpose().map_err(|error| error.to_string())?;
    if dashboard.is_none() {
        log::info!("ADMIN_TOKEN is not set: the health of the cache and its dashboard are off");
    }
    actix_web::rt::spawn(observe::keep_up(recorded.clone()));
    let (monitor, recorded) = (web::Data::new(monitor), web::Data::new(recorded));
    let (wrapper, wrapper_url) = match &settings.wrapper_url {
        Some(url) => (None, url.clone()),
        None => {
            if is_shared() && settings.wrapper_database == DatabaseUrl::Memory {
                log::warn!(
                    "others on this Redis have a wrapper of their own, with other data: give them all one WRAPPER_URL, or one \
                     DATABASE_URL=sqlite://file"
                );
            }
            let wrapper = Wrapper::open(&settings, &cache).await?;
            // Asked over a socket, as if it were elsewhere.
            let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
            let (address, server) = wrapper.server(anywhere, 1).map_err(|error| error.to_string())?;
            actix_web::rt::spawn(server);
            (Some(wrapper), format!("http://{address}/wrapper"))
        }
    };
    let crm = web::Data::new(Crm::start(&cache, &wrapper_url).await?);
    let pantry = web::Data::new(Pantry::start(&cache, &database).await?);
    let tenants = web::Data::new(Tenants::of(&cache).map_err(|error| error.to_string())?);
    let directory = database.schools_of_teachers().await.map_err(|error| error.to_string())?;
    let directory = web::Data::new(Directory { school_of: directory });
    let database = web::Data::new(database);
    let runs = web::Data::new(Runs::new(settings.delay));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(cache.clone())
            .app_data(database.clone())
            .app_data(directory.clone())
            .app_data(runs.clone())
            .app_data(crm.clone())
            .app_data(pantry.clone())
            .app_data(tenants.clone())
            .app_data(monitor.clone())
            .app_data(recorded.clone())
            .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::NotFound("resource").into()))
            .app_data(web::QueryConfig::default().error_handler(|error, _| invalid("query", &error.to_string())))
            .wrap(NormalizePath::new(TrailingSlash::Trim))
            .wrap(Logger::new("%r %s %Dms").log_level(log::Level::Debug))
            .configure(handlers::mount)
            .configure(|config| {
                if let Some(dashboard) = &dashboard {
                    config.app_data(web::Data::new(dashboard.clone()));
                    dashboard.mount(config, "/cache");
                }
            })
            .configure(|config| wrapper.iter().for_each(|wrapper| wrapper.mount(config)))
            .default_service(web::to(async || ApiError::NotFound("resource").error_response()))
    })
    .bind(settings.bind)
    .map_err(|error| {
        let bind = settings.bind;
        format!("BIND={bind:?} cannot be listened on ({error}): choose another address or port")
    })?;
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

  # critical data of another service, in memory: what an operation costs, who may do what; its change is in effect at once
  curl {base}/api/credits/check/crm.leads.create
  curl -X PUT -d '{{\"cost\":3}}' {base}/wrapper/credit-configs/crm.leads.create
  curl '{base}/api/permissions/check?userId=user-1&permission=crm.leads.create'

  # reference data, fetched when it is asked for: the second time \"cached\":true
  curl {base}/api/users/user-1/profile

  # metrics for Prometheus; with ADMIN_TOKEN set, the dashboard is at {base}/cache (any name, the token as password)
  curl {base}/metrics

  # how often each handler really ran; how sure this node is of the other service's data
  curl {base}/debug/counters
  curl {base}/debug/hybrid
"
    )
}
