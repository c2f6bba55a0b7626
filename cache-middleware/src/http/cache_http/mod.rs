//! The middleware that is a shared HTTP cache (RFC 9111): responses say themselves how long they are fresh.

mod layer;
mod refresh;
mod run;

use std::fmt;
use std::future::{Ready, ready};
use std::rc::Rc;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::HeaderName;
use futures_util::future::LocalBoxFuture;

use self::layer::Layer;
use super::cache_response::CacheResponse;
use super::start;
use crate::manager::CacheManager;
use crate::policy::{EarlyRefresh, Freshness, HTTP_STATUSES, HttpRules, StoreRules, parse_ttl};

/// A directive of requests that [`CacheHttp::honor_client`] may have obeyed (RFC 9111 section 5.2.1).
///
/// ```
/// use cache_middleware::{CacheManager, ClientDirective};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// // A reload in the browser asks the handler; by default no client can make it run.
/// let middleware = cache.response_http().honor_client([ClientDirective::NoCache]);
/// # let _ = middleware;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientDirective {
    /// `no-cache`: not without asking the handler.
    NoCache,
    /// `max-age`: not older than this.
    MaxAge,
    /// `min-fresh`: fresh for so much longer.
    MinFresh,
    /// `max-stale`: stale for so long at most, unless the response forbids it.
    MaxStale,
}

/// The middleware that is a shared HTTP cache: from [`CacheManager::response_http`].
///
/// A response is fresh for as long as its `Cache-Control` or `Expires` says, and not stored if they do not say; it is
/// selected by its `Vary`, revalidated by its validators, and cleared by successful writes to its URI, which is its key:
/// `cache.clear_key("http://example.org/menu")`. Mount it on an app, a scope, a resource or a route.
///
/// ```
/// use actix_web::{App, HttpResponse, test, web};
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let menu = async || HttpResponse::Ok().insert_header(("cache-control", "max-age=60")).body("soup");
/// let app = App::new().wrap(cache.response_http()).route("/menu", web::get().to(menu));
/// let app = test::init_service(app).await;
/// for expected in ["cache-middleware; fwd=uri-miss; stored", "cache-middleware; hit; ttl=59; detail=l2"] {
///     let response = test::call_service(&app, test::TestRequest::with_uri("/menu").to_request()).await;
///     let status = response.headers().get("cache-status").unwrap().to_str()?;
///     assert_eq!(status.split("ttl").next(), expected.split("ttl").next());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct CacheHttp {
    settings: CacheResponse,
    rules: HttpRules,
    keep: Option<String>,
    honored: Vec<ClientDirective>,
}

impl fmt::Debug for CacheHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheHttp").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl CacheManager {
    /// A middleware that is a shared HTTP cache (RFC 9111). A setting that is wrong is logged as an error when the app is
    /// built, and the app does not start.
    #[track_caller]
    pub fn response_http(&self) -> CacheHttp {
        let mut settings = self.response("default").statuses(HTTP_STATUSES);
        settings.options.by_response = true;
        CacheHttp { settings, rules: HttpRules::default(), keep: None, honored: Vec::new() }
    }
}

impl CacheHttp {
    /// Tags to store responses with, beside the cache groups they name themselves (RFC 9875).
    pub fn tags(mut self, tags: impl Fn(&ServiceRequest) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.settings = self.settings.tags(tags);
        self
    }

    /// Which requests are looked up at all.
    pub fn condition(mut self, condition: impl Fn(&ServiceRequest) -> bool + Send + Sync + 'static) -> Self {
        self.settings = self.settings.condition(condition);
        self
    }

    /// Who asks: becomes part of the key, and lets responses to requests with credentials be stored (rule R4).
    pub fn identity(mut self, identity: impl Fn(&ServiceRequest) -> Option<String> + Send + Sync + 'static) -> Self {
        self.settings = self.settings.identity(identity);
        self
    }

    /// The statuses that are stored if they come with freshness (rule R3). Default: [`HTTP_STATUSES`].
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.settings = self.settings.statuses(statuses);
        self
    }

    /// Runs nothing for a request without a tenant: it is answered 400. The builder must know `tenant_of`.
    pub fn tenant_bound(mut self) -> Self {
        self.settings = self.settings.tenant_bound();
        self
    }

    /// The largest body that is stored, in bytes. Default 1 MiB; larger ones pass through.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.settings = self.settings.max_body(bytes);
        self
    }

    /// Says that the responses are the same for all callers, whatever credentials their requests carry.
    pub fn public(mut self) -> Self {
        self.settings = self.settings.public();
        self
    }

    /// Leaves cookies of these names out of what is stored, instead of refusing the responses that set them (rule R5).
    pub fn strip_cookies<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings = self.settings.strip_cookies(names);
        self
    }

    /// The most variants of one target. Default 32; responses to more pass and are not stored (rule R13).
    pub fn max_variants(mut self, count: u64) -> Self {
        self.settings = self.settings.max_variants(count);
        self
    }

    /// The most entries of one route, in each partition of the store. Default a million; responses beyond it pass and are
    /// not stored (rule R13).
    pub fn max_entries(mut self, count: u64) -> Self {
        self.settings = self.settings.max_entries(count);
        self
    }

    /// The longest a response is held in the memory of a node (L1): a duration such as `10s`, or `0s` for not at all.
    pub fn l1_ttl(mut self, duration: impl Into<String>) -> Self {
        self.settings = self.settings.l1_ttl(duration);
        self
    }

    /// Has every clear that covers a response wait until it is in effect on all nodes, whatever their coherence is.
    pub fn strict(mut self) -> Self {
        self.settings = self.settings.strict();
        self
    }

    /// The fields that go before `Cache-Control` and `Expires`, in their order (RFC 9213). Default: `App-Cache-Control`.
    /// They are meant for this cache: responses leave without them.
    pub fn target_fields<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.rules.targets = names.into_iter().map(|name| name.as_ref().to_ascii_lowercase()).collect();
        self
    }

    /// How long stale responses are kept to be revalidated. Default `10m`.
    pub fn keep(mut self, duration: impl Into<String>) -> Self {
        self.keep = Some(duration.into());
        self
    }

    /// Lets responses to requests with credentials be stored if they say `must-revalidate`, as RFC 9111 section 3.5 does.
    /// Default: only `public` and `s-maxage` do, because frameworks say `must-revalidate` of anything.
    pub fn trust_must_revalidate(mut self) -> Self {
        self.rules.trust_must_revalidate = true;
        self
    }

    /// Grants `stale-while-revalidate` and `stale-if-error` beside `s-maxage`, as many CDNs do. RFC 9111 section 5.2.2.10
    /// forbids it.
    pub fn s_maxage_allows_stale(mut self) -> Self {
        self.rules.s_maxage_allows_stale = true;
        self
    }

    /// Has a 304 change the stored `Content-Type` too. Default: it does not, because many servers put one on a 304 that
    /// has nothing to do with the response.
    pub fn merge_content_type(mut self) -> Self {
        self.rules.merge_content_type = true;
        self
    }

    /// When a response that is still fresh is made anew in the background: after a part of its freshness, such as `0.8`, or by
    /// chance, [`EarlyRefresh::XFETCH`].
    pub fn early_refresh(mut self, when: impl Into<EarlyRefresh>) -> Self {
        self.settings = self.settings.early_refresh(when);
        self
    }

    /// How long a request waits for the handler while there is a stale response to serve, within the windows that the response
    /// grants. The handler goes on in the background.
    pub fn soft_timeout(mut self, duration: impl Into<String>) -> Self {
        self.settings = self.settings.soft_timeout(duration);
        self
    }

    /// How long a request waits for the handler at all: then it is answered with a stale response, within the windows that the
    /// response grants, or with a 504. The handler goes on in the background.
    pub fn hard_timeout(mut self, duration: impl Into<String>) -> Self {
        self.settings = self.settings.hard_timeout(duration);
        self
    }

    /// Headers of a request that its background refresh carries beside those that `Vary` names (rule S6). Credentials are
    /// refused without an [`Self::identity`]: a refresh is made for everybody then.
    pub fn refresh_with<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings = self.settings.refresh_with(names);
        self
    }

    /// Obeys these directives of clients. Default: none of them, because with them any client can have the handler run.
    /// `no-store` and `only-if-cached` are always obeyed.
    pub fn honor_client(mut self, directives: impl IntoIterator<Item = ClientDirective>) -> Self {
        self.honored = directives.into_iter().collect();
        self
    }

    /// The storing rules these settings stand for, or what is wrong with them.
    fn store_rules(&self) -> Result<StoreRules, String> {
        let mut rules = self.settings.manager.rules_of(&self.settings)?;
        let mut http = self.rules.clone();
        if let Some(keep) = &self.keep {
            http.keep = parse_ttl(keep).map_err(|error| error.line_of("keep"))?;
        }
        for name in &http.targets {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(format!("target_fields: {name:?} is not the name of a header"));
            }
        }
        rules.freshness = Freshness::ByResponse(http);
        Ok(rules)
    }
}

impl<S, B> Transform<S, ServiceRequest> for CacheHttp
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = CacheHttpService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(match self.store_rules() {
            Ok(rules) => Ok(CacheHttpService { service: Rc::new(service), layer: Rc::new(Layer::new(self, rules)) }),
            Err(problem) => {
                start::refused("CacheHttp", self.settings.options.place, &problem);
                Err(())
            }
        })
    }
}

/// The running middleware.
#[derive(Debug)]
#[doc(hidden)]
pub struct CacheHttpService<S> {
    service: Rc<S>,
    layer: Rc<Layer>,
}

impl<S, B> Service<ServiceRequest> for CacheHttpService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (service, layer) = (self.service.clone(), self.layer.clone());
        Box::pin(async move { layer.answer(service, request).await })
    }
}
