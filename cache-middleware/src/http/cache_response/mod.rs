//! The middleware that caches the responses of whatever it wraps.

mod layer;
mod only_look;

use std::future::{Ready, ready};
use std::rc::Rc;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use futures_util::future::LocalBoxFuture;

use self::layer::{Asked, Layer};
use super::start;
use crate::manager::CacheManager;
use crate::preset::ResponseCaching;

/// The middleware that caches responses: from [`CacheManager::response`] or [`CacheManager::preset`].
///
/// Mount it on an app, a scope, a resource or a route, inside of whatever authenticates: a hit does not run what is
/// wrapped. Without [`ResponseCaching::key`] the key is scheme, host, path and query.
///
/// ```
/// use actix_web::{App, HttpResponse, test, web};
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().ttl("menu", "5m").build().await?;
/// let app = App::new().service(
///     web::resource("/menu")
///         .wrap(cache.response("menu").tags(|_| vec!["menu".to_owned()]))
///         .route(web::get().to(async || HttpResponse::Ok().body("soup"))),
/// );
/// let app = test::init_service(app).await;
/// for expected in ["cache-middleware; fwd=uri-miss; stored", "cache-middleware; hit; ttl=299; detail=l2"] {
///     let request = test::TestRequest::with_uri("/menu").to_request();
///     let response = test::call_service(&app, request).await;
///     let status = response.headers().get("cache-status").unwrap().to_str()?;
///     assert_eq!(status.split("ttl").next(), expected.split("ttl").next());
/// }
/// # Ok(())
/// # }
/// ```
pub type CacheResponse = ResponseCaching<CacheManager>;

impl CacheManager {
    /// A middleware that keeps responses for a TTL: a registered name, or a duration such as `5m`.
    ///
    /// A setting that is wrong is logged as an error when the app is built, and the app does not start.
    #[track_caller]
    pub fn response(&self, ttl: impl Into<String>) -> CacheResponse {
        ResponseCaching::with_manager(self.clone(), ttl.into())
    }

    /// The middleware whose settings the builder got under a name. A name that is not there is logged as an error when
    /// the app is built, and the app does not start.
    #[track_caller]
    pub fn preset(&self, name: &str) -> CacheResponse {
        match self.stored_preset(name) {
            Ok(preset) => preset.clone().handed_to(self.clone()),
            // Refused in `new_transform`, where the app can be kept from starting.
            Err(problem) => {
                let mut middleware = self.response("default");
                middleware.options.problem = Some(problem);
                middleware
            }
        }
    }
}

impl<S, B> Transform<S, ServiceRequest> for CacheResponse
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = CacheResponseService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(match self.manager.rules_of(self) {
            Ok(rules) => {
                let settings = self.clone();
                let counted = self.options.counted_as.as_ref();
                let hits = counted.map(|(data_type, target)| self.manager.hits_of(data_type, Some(*target)));
                let layer = Layer { settings, rules: Rc::new(rules), hits };
                Ok(CacheResponseService { service: Rc::new(service), layer: Rc::new(layer) })
            }
            Err(problem) => {
                start::refused("CacheResponse", self.options.place, &problem);
                Err(())
            }
        })
    }
}

/// The running middleware.
#[derive(Debug)]
#[doc(hidden)]
pub struct CacheResponseService<S> {
    service: Rc<S>,
    layer: Rc<Layer>,
}

impl<S, B> Service<ServiceRequest> for CacheResponseService<S>
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
        // Not before it is polled: a middleware around this one may call it, and then clear, or enter the scope that its
        // closures ask who the caller is. What goes on is on the heap by itself, so that a hit does not move it.
        Box::pin(async move {
            match layer.ask(request) {
                Asked::Answered(response) => Ok(response),
                Asked::On(request, watch, on) => Box::pin(layer.go_on(service, request, watch, on)).await,
            }
        })
    }
}
