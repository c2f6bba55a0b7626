//! The middleware that clears after successful writes.

use std::fmt;
use std::future::{Ready, ready};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ResponseHead, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::{Error, HttpRequest};
use futures_util::future::LocalBoxFuture;

use super::request::tenants::NO_TENANT;
use super::request::token;
use super::start;
use super::write::invalidate::{Invalidation, clears, joined, run_all, take_groups};
use crate::event::Event;
use crate::manager::{CacheManager, NO_RESOLVER, OnClearFailure};
use crate::policy::parse_settle;

type OfResponse<T> = Arc<dyn Fn(&HttpRequest, &ResponseHead) -> T + Send + Sync>;

/// The middleware that publishes an event after each successful response of whatever it wraps: from
/// [`CacheManager::invalidates`].
///
/// Successful is 2xx and 3xx, unless [`InvalidateCache::when`] says otherwise. GET, HEAD, OPTIONS and TRACE never clear.
/// What it wraps runs to its end even if the client hangs up.
///
/// ```
/// use actix_web::{App, HttpResponse, web};
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().on("room.updated", ["room:{id}"]).build().await?;
/// let room_updated = cache
///     .invalidates("room.updated")
///     .payload(|request, _| vec![("id", request.match_info().query("id").to_owned())]);
/// let app = App::new().service(
///     web::resource("/rooms/{id}").wrap(room_updated).route(web::put().to(HttpResponse::NoContent)),
/// );
/// # let _ = actix_web::test::init_service(app).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct InvalidateCache {
    manager: CacheManager,
    /// Where in the program it was made.
    place: &'static Location<'static>,
    event: String,
    payload: Option<OfResponse<Vec<(&'static str, String)>>>,
    tags: Option<OfResponse<Vec<String>>>,
    when: Option<OfResponse<bool>>,
    strict: bool,
    on_clear_failure: Option<OnClearFailure>,
    settle: Result<Duration, String>,
    tenant_bound: bool,
}

impl fmt::Debug for InvalidateCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvalidateCache").field("event", &self.event).finish_non_exhaustive()
    }
}

impl CacheManager {
    /// A middleware that publishes an event. An event without a rule or a subscriber is logged as an error when the app
    /// is built, and the app does not start.
    #[track_caller]
    pub fn invalidates(&self, event: impl Into<String>) -> InvalidateCache {
        let place = Location::caller();
        let (manager, event) = (self.clone(), event.into());
        InvalidateCache {
            manager,
            place,
            event,
            payload: None,
            tags: None,
            when: None,
            strict: false,
            on_clear_failure: None,
            settle: Ok(Duration::ZERO),
            tenant_bound: false,
        }
    }
}

impl InvalidateCache {
    /// The fields of the event.
    pub fn payload(
        mut self,
        payload: impl Fn(&HttpRequest, &ResponseHead) -> Vec<(&'static str, String)> + Send + Sync + 'static,
    ) -> Self {
        self.payload = Some(Arc::new(payload));
        self
    }

    /// Tags to clear beside those of the rules.
    pub fn tags(mut self, tags: impl Fn(&HttpRequest, &ResponseHead) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.tags = Some(Arc::new(tags));
        self
    }

    /// Which responses clear, instead of 2xx and 3xx.
    pub fn when(mut self, when: impl Fn(&HttpRequest, &ResponseHead) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(when));
        self
    }

    /// Runs no write for a request without a tenant: it is answered 400. The builder must know `tenant_of`.
    pub fn tenant_bound(mut self) -> Self {
        self.tenant_bound = true;
        self
    }

    /// Has the response wait until the clear is in effect on every node, whatever the manager's coherence is.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// What the client gets if the clear is only journaled, instead of what the manager says.
    pub fn on_clear_failure(mut self, what: OnClearFailure) -> Self {
        self.on_clear_failure = Some(what);
        self
    }

    /// Has the clear settle: for so long after it, such as `500ms`, answers to its tags are given but not stored. For databases
    /// that are read through replicas.
    pub fn settle(mut self, duration: impl Into<String>) -> Self {
        self.settle = parse_settle(&duration.into());
        self
    }

    /// What a response has to say, if anything.
    fn after<B>(&self, response: &ServiceResponse<B>) -> Vec<Invalidation> {
        let (request, head) = (response.request(), response.response().head());
        let clears = match &self.when {
            Some(when) => when(request, head),
            None => clears(head.status),
        };
        if request.method().is_safe() || !clears {
            return Vec::new();
        }
        let fields = self.payload.as_ref().map(|payload| payload(request, head)).unwrap_or_default();
        let event =
            fields.into_iter().fold(Event::new(self.event.clone()), |event, (name, value)| event.with(name, value));
        let tags = self.tags.as_ref().map(|tags| tags(request, head)).unwrap_or_default();
        vec![Invalidation { tags, ..self.invalidation(event) }]
    }

    fn invalidation(&self, event: Event) -> Invalidation {
        Invalidation {
            event: Some(event),
            strict: self.strict,
            on_clear_failure: self.on_clear_failure,
            // Checked at the start.
            settle: self.settle.clone().unwrap_or_default(),
            ..Invalidation::default()
        }
    }

    /// A redirect that a middleware inside returned as an error is a success, but it took the request with it: the event is
    /// published if nothing of the request is in it.
    async fn after_error(&self, manager: &CacheManager, error: Error) -> Error {
        // Some errors give their response only once.
        let mut response = error.error_response();
        if self.payload.is_some() || self.tags.is_some() || self.when.is_some() {
            log::error!(
                "a {} that a middleware returned as an error took its request with it, and the event {:?} of the \
                 InvalidateCache made at {} is not published: return the response instead of an error",
                response.status(),
                self.event,
                self.place
            );
        } else {
            let event = self.invalidation(Event::new(self.event.clone()));
            let status = response.status();
            let groups = take_groups(manager, &Method::POST, status, response.headers_mut());
            let invalidations = [event].into_iter().chain(groups).collect();
            let told = run_all(manager, &self.event, invalidations).await;
            if let Some(instead) = told.instead() {
                response = instead;
            } else if let Some(token) = told.token {
                token::tell(manager, response.headers_mut(), &token);
            }
        }
        InternalError::from_response(error, response).into()
    }
}

impl<S, B> Transform<S, ServiceRequest> for InvalidateCache
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = InvalidateCacheService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let unbound = self.tenant_bound && !self.manager.has_resolver();
        let checked = if unbound { Err(NO_RESOLVER.to_owned()) } else { self.manager.check_event(&self.event) };
        let checked = checked.and(self.settle.as_ref().map(|_| ()).map_err(|problem| format!("settle: {problem}")));
        ready(match checked {
            Ok(()) => Ok(InvalidateCacheService { service: Rc::new(service), layer: Rc::new(self.clone()) }),
            Err(problem) => {
                start::refused("InvalidateCache", self.place, &problem);
                Err(())
            }
        })
    }
}

/// The running middleware.
#[derive(Debug)]
#[doc(hidden)]
pub struct InvalidateCacheService<S> {
    service: Rc<S>,
    layer: Rc<InvalidateCache>,
}

impl<S, B> Service<ServiceRequest> for InvalidateCacheService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        if request.method().is_safe() {
            return Box::pin(self.service.call(request));
        }
        let manager = match self.layer.manager.for_request(request.head()) {
            Ok(manager) => manager,
            Err(error) => return Box::pin(ready(Err(actix_web::error::ErrorBadRequest(error.to_string())))),
        };
        if self.layer.tenant_bound && manager.current_tenant().is_none() {
            return Box::pin(ready(Err(actix_web::error::ErrorBadRequest(NO_TENANT))));
        }
        let (service, layer) = (self.service.clone(), self.layer.clone());
        let task = actix_web::rt::spawn(async move {
            let mut response = match service.call(request).await {
                Ok(response) => response,
                Err(error) if clears(error.as_response_error().status_code()) => {
                    return Err(layer.after_error(&manager, error).await);
                }
                Err(error) => return Err(error),
            };
            let mut invalidations = layer.after(&response);
            let (method, status) = (response.request().method().clone(), response.status());
            invalidations.extend(take_groups(&manager, &method, status, response.headers_mut()));
            let told = run_all(&manager, &layer.event, invalidations).await;
            if let Some(instead) = told.instead() {
                return Err(InternalError::from_response("a clear is journaled", instead).into());
            }
            if let Some(token) = told.token {
                token::tell(&manager, response.headers_mut(), &token);
            }
            Ok(response)
        });
        Box::pin(joined(task))
    }
}
