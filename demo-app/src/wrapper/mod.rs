//! The wrapper: the service that is the authority on credits, roles and users, with a database of its own. It takes its time, as a
//! service on another machine does, and publishes what changes.

mod handlers;
mod outbox;
mod records;
mod schema;

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::{Server, Service};
use actix_web::{App, HttpServer, ResponseError, web};
use cache_middleware::{CacheManager, ChangePublisher};

use self::outbox::Outbox;
use self::records::Records;
pub(crate) use self::records::{CreditConfig, Role, Standing, StandingOf, User};
use crate::answer::ApiError;
use crate::database::Database;
use crate::random;
use crate::settings::Settings;

/// The application whose data it has, and whose those are: of the channels `crm:123:…`.
pub(crate) const APP: &str = "crm";
pub(crate) const TENANT: &str = "123";

/// The types of its data, as its channels name them.
pub(crate) const COSTS: &str = "credit-configs";
pub(crate) const ROLES: &str = "roles";
pub(crate) const STATUSES: &str = "user-status";
pub(crate) const USERS: &str = "users";

/// What all its routes need.
#[derive(Clone)]
pub(crate) struct Wrapper {
    records: Records,
    outbox: Arc<Outbox>,
    delay: Delay,
}

/// How long it takes to answer: from so many milliseconds to so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delay(pub(crate) u64, pub(crate) u64);

impl Delay {
    async fn wait(self) {
        let Self(least, most) = self;
        if most > 0 {
            let milliseconds = least + u64::from(u32::from_le_bytes(random::number())) % (most - least + 1);
            actix_web::rt::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        }
    }
}

impl Wrapper {
    /// Opens its database, and publishes on the store of a cache.
    pub(crate) async fn open(settings: &Settings, cache: &CacheManager) -> Result<Self, String> {
        let database = Database::open_with(&settings.wrapper_database, schema::prepare)?;
        let publisher = ChangePublisher::builder(APP).keep(1_000).start(cache).await;
        let publisher = publisher.and_then(|publisher| publisher.tenant(TENANT)).map_err(|error| error.to_string())?;
        let records = Records::new(database);
        let outbox = Arc::new(Outbox::new(records.clone(), publisher));
        actix_web::rt::spawn(outbox.clone().publish_for_ever());
        Ok(Self { records, outbox, delay: settings.wrapper_delay })
    }

    /// Its routes, below `/wrapper`.
    pub(crate) fn mount(&self, config: &mut web::ServiceConfig) {
        let delay = self.delay;
        let scope = web::scope("/wrapper").app_data(web::Data::new(self.clone())).wrap_fn(move |request, service| {
            let answer = service.call(request);
            async move {
                delay.wait().await;
                answer.await
            }
        });
        config.service(handlers::mount(scope));
    }

    /// A server of its own.
    pub(crate) fn server(&self, bind: SocketAddr, workers: usize) -> std::io::Result<(SocketAddr, Server)> {
        let wrapper = self.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::NotFound("resource").into()))
                .configure(|config| wrapper.mount(config))
                .default_service(web::to(async || ApiError::NotFound("resource").error_response()))
        })
        .workers(workers)
        .bind(bind)?;
        let address = server.addrs().first().copied().unwrap_or(bind);
        Ok((address, server.run()))
    }
}
