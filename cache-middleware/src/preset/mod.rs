//! Settings of the middleware `CacheResponse`, and presets: the same settings kept by the manager under a name.

mod rules;
mod setters;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use actix_web::dev::ServiceRequest;

use crate::policy::{Bounds, Coding, DEFAULT_MAX_BODY, EarlyRefresh, TagFields};

type OfRequest<T> = Arc<dyn Fn(&ServiceRequest) -> T + Send + Sync>;

/// How responses of a service are cached. `M` is the manager, or nothing in a [`Preset`] that waits for one.
///
/// ```
/// use actix_web::{App, web};
/// use cache_middleware::CacheManager;
/// use std::time::Duration;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().ttl("rooms", "5m").build().await?;
/// let rooms = cache.response("rooms").tags(|_| vec!["rooms".to_owned()]).stale("30s").jitter(0.1);
/// let app = App::new().service(web::resource("/rooms").wrap(rooms).get(async || "the rooms"));
/// # let _ = (app, Duration::ZERO);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ResponseCaching<M> {
    pub(crate) manager: M,
    pub(crate) options: Options,
}

/// What has been set, not checked yet.
#[derive(Clone)]
pub(crate) struct Options {
    /// Where in the program it was made.
    pub(crate) place: &'static Location<'static>,
    /// What was wrong already when it was made.
    pub(crate) problem: Option<String>,
    pub(crate) ttl: String,
    pub(crate) key: Option<OfRequest<String>>,
    pub(crate) identity: Option<OfRequest<Option<String>>>,
    pub(crate) tags: Option<OfRequest<Vec<String>>>,
    pub(crate) condition: Option<OfRequest<bool>>,
    pub(crate) vary: Vec<String>,
    pub(crate) statuses: Vec<u16>,
    pub(crate) max_body: usize,
    pub(crate) public: bool,
    pub(crate) tenant_bound: bool,
    pub(crate) strip_cookies: Vec<String>,
    pub(crate) compress: Vec<Coding>,
    pub(crate) bounds: Bounds,
    pub(crate) client_ttl: Option<String>,
    pub(crate) cdn_ttl: Option<String>,
    pub(crate) tag_fields: TagFields,
    pub(crate) l1_ttl: Option<String>,
    pub(crate) strict: bool,
    pub(crate) stale: Option<String>,
    pub(crate) stale_if_error: Option<String>,
    pub(crate) negative_ttl: Option<String>,
    pub(crate) jitter: f64,
    pub(crate) early_refresh: Option<EarlyRefresh>,
    pub(crate) adaptive_ttl: Option<String>,
    pub(crate) soft_timeout: Option<String>,
    pub(crate) hard_timeout: Option<String>,
    pub(crate) refresh_with: Vec<String>,
    /// The type of data that hits are counted of, and the part of them that is wanted.
    pub(crate) counted_as: Option<(String, f64)>,
    /// Whether responses say themselves how long they are fresh, and how long stale.
    pub(crate) by_response: bool,
}

/// Settings of a [`crate::CacheResponse`] that the manager keeps under a name.
///
/// ```
/// use cache_middleware::{CacheManager, Preset};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder()
///     .ttl("session-list", "5m")
///     .preset("session-list", Preset::new("session-list").tags(|_| vec!["sessions".to_owned()]))
///     .build()
///     .await?;
/// let middleware = cache.preset("session-list"); // for `App::wrap`, `Scope::wrap`, `Resource::wrap`, `Route::wrap`
/// # let _ = middleware;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub type Preset = ResponseCaching<()>;

impl<M> fmt::Debug for ResponseCaching<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCaching")
            .field("ttl", &self.options.ttl)
            .field("vary", &self.options.vary)
            .finish_non_exhaustive()
    }
}

impl Preset {
    /// Keeps responses for a TTL: a registered name, or a duration such as `5m`.
    #[track_caller]
    pub fn new(ttl: impl Into<String>) -> Self {
        Self::with_manager((), ttl.into())
    }
}

impl<M> ResponseCaching<M> {
    #[track_caller]
    pub(crate) fn with_manager(manager: M, ttl: String) -> Self {
        let options = Options {
            place: Location::caller(),
            problem: None,
            ttl,
            key: None,
            identity: None,
            tags: None,
            condition: None,
            vary: Vec::new(),
            statuses: vec![200],
            max_body: DEFAULT_MAX_BODY,
            public: false,
            tenant_bound: false,
            strip_cookies: Vec::new(),
            compress: Vec::new(),
            bounds: Bounds::DEFAULT,
            client_ttl: None,
            cdn_ttl: None,
            tag_fields: TagFields::default(),
            l1_ttl: None,
            strict: false,
            stale: None,
            stale_if_error: None,
            negative_ttl: None,
            jitter: 0.0,
            early_refresh: None,
            adaptive_ttl: None,
            soft_timeout: None,
            hard_timeout: None,
            refresh_with: Vec::new(),
            counted_as: None,
            by_response: false,
        };
        Self { manager, options }
    }

    pub(crate) fn handed_to<N>(self, manager: N) -> ResponseCaching<N> {
        ResponseCaching { manager, options: self.options }
    }
}
