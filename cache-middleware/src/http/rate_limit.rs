//! The middleware that limits how often somebody may ask: a fixed window, counted in the store for all nodes together.

use std::fmt;
use std::future::{Ready, ready};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{Error, HttpResponse};
use futures_util::future::LocalBoxFuture;

use super::start;
use crate::manager::CacheManager;
use crate::policy::parse_ttl;
use crate::store::Counted;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Who = Arc<dyn Fn(&ServiceRequest) -> Option<String> + Send + Sync>;

/// The middleware that answers 429 to who asks too often: from [`CacheManager::rate_limit`].
///
/// Every response of what it wraps says how much is left, in `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), and
/// a 429 has `Retry-After` too. When the store does not answer, nobody is limited (promise P8).
///
/// ```
/// use actix_web::{App, HttpResponse, test, web};
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let limit = cache.rate_limit("search", 2, "1m").by(|request| Some(format!("rate:{}", request.path())));
/// let search = web::resource("/search").wrap(limit).route(web::get().to(HttpResponse::Ok));
/// let app = test::init_service(App::new().service(search)).await;
/// let ask = async || test::call_service(&app, test::TestRequest::with_uri("/search").to_request()).await;
/// for (status, left) in [(200, 1), (200, 0), (429, 0)] {
///     let response = ask().await;
///     assert_eq!(response.status().as_u16(), status);
///     let said = response.headers().get("ratelimit").unwrap().to_str()?;
///     assert!(said.starts_with(&format!("\"search\";r={left};t=")), "{said}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct RateLimit {
    manager: CacheManager,
    /// Where in the program it was made.
    place: &'static Location<'static>,
    name: String,
    quota: u64,
    window: String,
    who: Who,
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("name", &self.name).field("quota", &self.quota).finish_non_exhaustive()
    }
}

impl CacheManager {
    /// A middleware that lets each caller ask `quota` times in a window, a duration such as `1m`. A caller is an address of the
    /// connection, unless [`RateLimit::by`] says otherwise: behind a proxy that is the proxy's. A setting that is wrong is
    /// logged as an error when the app is built, and the app does not start.
    #[track_caller]
    pub fn rate_limit(&self, name: impl Into<String>, quota: u64, window: impl Into<String>) -> RateLimit {
        let address =
            |request: &ServiceRequest| request.head().peer_addr.map(|address| format!("rate:{}", address.ip()));
        RateLimit {
            manager: self.clone(),
            place: Location::caller(),
            name: name.into(),
            quota,
            window: window.into(),
            who: Arc::new(address),
        }
    }
}

impl RateLimit {
    /// Who asks, such as `rate:{org}:{ip}`; `None`: somebody who is not limited. Each limit counts for itself, by its name.
    pub fn by(mut self, who: impl Fn(&ServiceRequest) -> Option<String> + Send + Sync + 'static) -> Self {
        self.who = Arc::new(who);
        self
    }

    fn checked(&self) -> Result<Limit, String> {
        let window = parse_ttl(&self.window).map_err(|error| error.line_of("window"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(plain) {
            return Err(format!("{:?} is not the name of a limit: it takes letters, digits and - _ . :", self.name));
        }
        if self.quota == 0 || self.quota > i64::MAX.unsigned_abs() {
            return Err("the quota is 1 at least: with 0 nobody could ever ask".to_owned());
        }
        let policy = format!("\"{}\";q={};w={}", self.name, self.quota, seconds(window));
        let policy = HeaderValue::from_str(&policy).map_err(|error| error.to_string())?;
        Ok(Limit { settings: self.clone(), window, policy })
    }
}

/// Whole seconds, at least one.
fn seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

impl<S, B> Transform<S, ServiceRequest> for RateLimit
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = RateLimitService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(match self.checked() {
            Ok(limit) => Ok(RateLimitService { service: Rc::new(service), limit: Rc::new(limit) }),
            Err(problem) => {
                start::refused("RateLimit", self.place, &problem);
                Err(())
            }
        })
    }
}

/// The running middleware.
#[derive(Debug)]
#[doc(hidden)]
pub struct RateLimitService<S> {
    service: Rc<S>,
    limit: Rc<Limit>,
}

#[derive(Debug)]
struct Limit {
    settings: RateLimit,
    window: Duration,
    policy: HeaderValue,
}

impl Limit {
    /// What the caller has asked, this time included; `None`: nobody counts.
    async fn count(&self, request: &ServiceRequest) -> Option<Counted> {
        let who = (self.settings.who)(request)?;
        // Whose tenant is none is counted among those without one: a name that nobody can have must not be the way around a limit.
        let manager = &self.settings.manager;
        let manager = manager.for_request(request.head()).unwrap_or_else(|_| manager.clone());
        match manager.count(&format!("{}\n{who}", self.settings.name), 1, self.window).await {
            Ok(counted) => Some(counted),
            Err(error) => {
                log::debug!("the limit {:?} does not count: {error}", self.settings.name);
                None
            }
        }
    }

    fn is_over(&self, counted: Counted) -> bool {
        u64::try_from(counted.value).unwrap_or(0) > self.settings.quota
    }

    fn tell(&self, headers: &mut HeaderMap, counted: Counted) {
        let left = self.settings.quota.saturating_sub(u64::try_from(counted.value).unwrap_or(0));
        let said = format!("\"{}\";r={left};t={}", self.settings.name, seconds(counted.expires_in));
        headers.append(RATE_LIMIT_POLICY, self.policy.clone());
        // A name is plain and numbers are digits.
        if let Ok(said) = HeaderValue::from_str(&said) {
            headers.append(RATE_LIMIT, said);
        }
    }
}

impl<S, B> Service<ServiceRequest> for RateLimitService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (service, limit) = (self.service.clone(), self.limit.clone());
        Box::pin(async move {
            let Some(counted) = limit.count(&request).await else {
                return Ok(service.call(request).await?.map_into_left_body());
            };
            if limit.is_over(counted) {
                let mut response = HttpResponse::TooManyRequests().body("too many requests: ask again later");
                limit.tell(response.headers_mut(), counted);
                let after = HeaderValue::from(seconds(counted.expires_in));
                response.headers_mut().insert(header::RETRY_AFTER, after);
                return Ok(request.into_response(response).map_into_right_body());
            }
            let mut response = service.call(request).await?;
            limit.tell(response.headers_mut(), counted);
            Ok(response.map_into_left_body())
        })
    }
}
