//! The dashboard: one page that shows the cache at work, and clears (feature `dashboard`).
//!
//! It is served by the application it is about, behind protection that the application chooses. It asks nobody else for anything: no
//! fonts, no scripts, no build step.

mod actions;
mod assets;
mod feed;
mod frame;
mod protection;

use std::fmt;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{self, ServiceConfig};

use self::feed::Feed;
use self::protection::Protection;
use crate::error::ConfigError;
use crate::health::CacheHealthMonitor;

/// The dashboard of a manager.
///
/// ```
/// use actix_web::{App, test};
/// use cache_middleware::{CacheHealthMonitor, CacheManager, Dashboard};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let monitor = CacheHealthMonitor::builder().start(&cache)?;
/// // Without protection it is refused.
/// assert!(Dashboard::builder(&monitor).build().is_err());
/// let dashboard = Dashboard::builder(&monitor).password("correct horse battery staple").build()?;
///
/// let app = App::new().configure(|config| dashboard.mount(config, "/cache"));
/// let app = test::init_service(app).await;
/// let stranger = test::TestRequest::get().uri("/cache").to_request();
/// assert_eq!(test::call_service(&app, stranger).await.status(), 401);
/// let request = test::TestRequest::get().uri("/cache").insert_header(("authorization", "Bearer correct horse battery staple"));
/// assert_eq!(test::call_service(&app, request.to_request()).await.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Dashboard {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    monitor: CacheHealthMonitor,
    protection: Protection,
    clears: bool,
    public_path: Option<String>,
    feed: Feed,
}

/// Settings of a [`Dashboard`].
///
/// At work: [`crate::Dashboard`].
#[must_use]
pub struct DashboardBuilder {
    monitor: CacheHealthMonitor,
    protection: Option<Protection>,
    clears: bool,
    public_path: Option<String>,
}

impl fmt::Debug for DashboardBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashboardBuilder").field("protection", &self.protection).finish_non_exhaustive()
    }
}

impl DashboardBuilder {
    /// Lets in who shows a password: as the password of HTTP Basic with any name, which browsers ask for by themselves, or as a bearer
    /// token. 16 characters at least. Have it be served over TLS.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.protection = Some(Protection::Password(password.into()));
        self
    }

    /// Lets in whom a function lets in: for services whose users log in anyway.
    pub fn protected_by(mut self, admits: impl Fn(&HttpRequest) -> bool + Send + Sync + 'static) -> Self {
        self.protection = Some(Protection::By(Arc::new(admits)));
        self
    }

    /// Lets in everybody who can reach it: where something in front of it, or the address it listens on, keeps strangers out. They see
    /// keys and tags, and can clear.
    pub fn unprotected(mut self) -> Self {
        self.protection = Some(Protection::None);
        self
    }

    /// Whether it can clear and expire. Default: it can.
    pub fn clears(mut self, on: bool) -> Self {
        self.clears = on;
        self
    }

    /// The path under which browsers reach it, where something in front of the service takes a part of the path away.
    pub fn public_path(mut self, path: impl Into<String>) -> Self {
        self.public_path = Some(path.into());
        self
    }

    /// Starts to collect what it draws, within the Tokio runtime that lives as long as the service.
    ///
    /// # Errors
    /// [`ConfigError`] if nothing protects it, or a password that is too short.
    pub fn build(self) -> Result<Dashboard, ConfigError> {
        let protection = self.protection.ok_or_else(|| {
            ConfigError::new(
                "the dashboard shows keys and clears: protect it by `.password(..)` or `.protected_by(..)`, or say `.unprotected()` \
                 if something else does",
            )
        })?;
        protection.check()?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(ConfigError::new(
                "a dashboard collects in a task: build it within the Tokio runtime that lives as long as the service",
            ));
        }
        let feed = Feed::start(&self.monitor);
        let Self { monitor, clears, public_path, .. } = self;
        Ok(Dashboard { shared: Arc::new(Shared { monitor, protection, clears, public_path, feed }) })
    }
}

impl Dashboard {
    /// The settings of a dashboard of what a monitor watches.
    pub fn builder(monitor: &CacheHealthMonitor) -> DashboardBuilder {
        DashboardBuilder { monitor: monitor.clone(), protection: None, clears: true, public_path: None }
    }

    /// Whether it lets a request in: for endpoints of your own that are for the same people.
    #[must_use]
    pub fn admits(&self, request: &HttpRequest) -> bool {
        self.shared.protection.admits(request)
    }

    /// Mounts it under a path, such as `/cache`.
    ///
    /// # Panics
    /// If the path is empty or `/`: everything would be behind its protection.
    pub fn mount(&self, config: &mut ServiceConfig, path: &str) {
        let path = path.trim_end_matches('/');
        assert!(
            !path.is_empty(),
            "mount the dashboard under a path of its own, such as `/cache`: this one is that of everything"
        );
        let own = self.clone();
        let scope = web::scope(path)
            .app_data(web::Data::new(self.clone()))
            .wrap(actix_web::middleware::from_fn(move |request, next| protection::admit(own.clone(), request, next)))
            .service(web::resource(["", "/"]).route(web::get().to(assets::page)))
            .route("/app.js", web::get().to(assets::script))
            .route("/style.css", web::get().to(assets::style))
            .route("/events", web::get().to(feed::events))
            .route("/map", web::get().to(actions::map))
            .route("/tags", web::get().to(actions::tags))
            .route("/nodes", web::get().to(actions::nodes))
            .route("/entries", web::get().to(actions::entries))
            .route("/clear", web::post().to(actions::clear))
            .route("/expire", web::post().to(actions::expire));
        config.service(scope);
    }
}
