//! The middleware that caches the responses of whatever it wraps.

use std::cell::RefCell;
use std::future::{Ready, ready};
use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;

use super::coding;
use super::derive::derive;
use super::downstream::renew_lifetimes;
use super::draft::Judge;
use super::exchange::Answer;
use super::field::date::Date;
use super::freshness::Arrival;
use super::request::{self, Asked, Fills};
use super::target::Target;
use super::tenants::refusal;
use super::write::{Grouped, run_write};
use super::{bounds_of, respond, response, tags, token, validate};
use crate::entry::Entry;
use crate::key::{Key, KeySpace, KeyWriter, MAX_KEY_BYTES};
use crate::manager::{Asking, CacheManager, Judged, Served};
use crate::outcome::{BypassReason, Outcome, RefusalReason};
use crate::policy::{Coding, StoreRules};
use crate::preset::ResponseCaching;
use crate::time::Moment;

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
            Err(problem) => CacheResponse { problem: Some(problem), ..self.response("default") },
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
                Ok(CacheResponseService { service: Rc::new(service), layer: Rc::new(Layer { settings, rules }) })
            }
            Err(problem) => {
                log::error!("the CacheResponse made at {} cannot start: {problem}", self.place);
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

#[derive(Debug)]
struct Layer {
    settings: CacheResponse,
    rules: StoreRules,
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
        Box::pin(async move { layer.answer(service, request).await })
    }
}

/// What is known of a request before it is looked up.
struct Prepared {
    manager: CacheManager,
    asked: Asked,
    key: Key,
    /// The coding asked for, and the key of the response in its own.
    plain: Option<(Coding, Key)>,
    identity: bool,
    route: String,
    depth: u8,
}

impl Layer {
    async fn answer<S, B>(&self, service: Rc<S>, request: ServiceRequest) -> Result<ServiceResponse<BoxBody>, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let status_header = self.settings.manager.writes_status_header();
        if let Some(refusal) = refusal(&self.settings.manager, request.head(), self.settings.tenant_bound) {
            return Ok(request.into_response(refusal));
        }
        if !request.method().is_safe() {
            let (request, response) = run_write(&self.settings.manager, service, request, Grouped::ByName).await?;
            let response = Answer::passed(response, Outcome::Method).finish(None, status_header);
            return Ok(ServiceResponse::new(request, response));
        }
        let service = &*service;
        let Prepared { manager, asked, key, plain, identity, route, depth } = match self.prepare(&request) {
            Ok(prepared) => prepared,
            Err(outcome) => {
                let (request, response) = call(service, request).await?;
                let response = Answer::passed(response, outcome).finish(None, status_header);
                return Ok(ServiceResponse::new(request, response));
            }
        };
        // Without a word on who asks, only what is the same for everybody is for a caller with credentials.
        let alone = asked.has_credentials() && !(identity || self.rules.public);
        let token = token::of_request(&manager, request.head());
        let bounds = Some(bounds_of(self.rules.bounds, identity));
        let asking = Asking { token, alone, bounds, ..Asking::new(&key, self.rules.holding) };
        let accept = |entry: &Entry| respond::response_of(entry, alone.then_some(&self.rules.freshness));
        if asked.fills != Fills::Yes || asked.only_if_cached {
            let peeked = manager.peek(&asking, accept, response::not_filling(asked.fills)).await;
            let (request, answer) = match peeked {
                Ok(hit) => (request.into_parts().0, Answer::from_hit_of(hit, &self.rules.downstream, identity)),
                Err(_) if asked.only_if_cached => (request.into_parts().0, Answer::nothing_stored()),
                Err(outcome) => {
                    let (request, response) = call(service, request).await?;
                    (request, Answer::from_handler(response, outcome, &asked))
                }
            };
            return Ok(ServiceResponse::new(request, answer.finish(Some(&asked), status_header)));
        }

        let tags = self.settings.tags.as_ref().map(|tags| tags(&request)).unwrap_or_default();
        // The handler's run takes the request out; a hit leaves it for the response. The request must not be cloned:
        // the router needs it to itself.
        let request = RefCell::new(Some(request));
        let coding = plain.as_ref().map(|(coding, plain)| (*coding, plain));
        let judged = async |_| {
            let Some(mut request) = request.take() else { return Judged::Refuse(None, RefusalReason::HandlerError) };
            if let Some(coding) = coding {
                let public_by = alone.then_some(&self.rules.freshness);
                if let Some((mut response, draft)) = derive(&manager, &asking, coding, public_by).await {
                    let age = draft.life.initial_age;
                    renew_lifetimes(response.headers_mut(), &self.rules.downstream, identity, age);
                    return Judged::Store(Some(Ok((request.into_parts().0, response))), Box::new(draft));
                }
            }
            validate::remove_conditions(request.headers_mut());
            // HTTP/2 announces no body (R7): what fills an entry has none.
            request.set_payload(Payload::None);
            let began = Moment::now();
            let (request, response) = match call(service, request).await {
                Ok(parts) => parts,
                Err(error) => return Judged::Refuse(Some(Err(error)), RefusalReason::HandlerError),
            };
            let arrival = Arrival { at: Date::now(), delay: Moment::now().since(began) };
            // What is cached inside has tags that are not known here: a clear of them would not reach this entry.
            if respond::was_cached_inside(&request, depth) {
                return Judged::Refuse(Some(Ok((request, response))), RefusalReason::CachedInside);
            }
            let tags = tags::of_response(tags, &request, response.headers());
            let (manager, asked, rules, route) = (&manager, &asked, &self.rules, Some(route.as_str()));
            let judge = Judge { manager, asked, rules, identity, route, variant: None, coding };
            match judge.draft(&request, response, arrival, tags).await {
                Ok((response, draft)) => Judged::Store(Some(Ok((request, response))), Box::new(draft)),
                Err((response, reason)) => Judged::Refuse(Some(Ok((request, response))), reason),
            }
        };
        let served = manager.serve(&asking, accept, judged).await;
        let (request, answer) = match (served, request.take()) {
            (Served::Entry(hit) | Served::Stale(hit, _), Some(request)) => {
                (request.into_parts().0, Answer::from_hit_of(hit, &self.rules.downstream, identity))
            }
            (Served::Own { response: Some(parts), outcome }, _) => {
                let (request, response) = parts?;
                (request, Answer::from_handler(response, outcome, &asked))
            }
            // An entry is served without the run, and the run is what takes the request out.
            (Served::Entry(_) | Served::Stale(..), None) | (Served::Own { response: None, .. }, _) => {
                return Err(actix_web::error::ErrorInternalServerError("a request was answered twice"));
            }
        };
        Ok(ServiceResponse::new(request, answer.finish(Some(&asked), status_header)))
    }

    fn prepare(&self, request: &ServiceRequest) -> Result<Prepared, Outcome> {
        let bypass = |reason| Outcome::Bypass { reason };
        let Self { settings, rules } = self;
        let head = request.head();
        let asked = request::judge(head, token::is_only_cookie(&settings.manager, &head.headers))?;
        let route = request.match_pattern().ok_or(bypass(BypassReason::UnmatchedRoute))?;
        if settings.condition.as_ref().is_some_and(|condition| !condition(request)) {
            return Err(bypass(BypassReason::Condition));
        }
        let manager = settings.manager.for_request(head).map_err(|_| bypass(BypassReason::TenantInvalid))?;
        let depth = respond::enter(&mut request.extensions_mut());
        let identity = settings.identity.as_ref().and_then(|identity| identity(request));
        let mut owner = route.clone();
        if depth > 0 {
            owner.push_str(&format!("#{depth}"));
        }
        let tenant = manager.current_tenant();
        let coding = coding::negotiate(&head.headers, &rules.compress);
        let (key, plain) = match &settings.key {
            Some(key) => {
                let mut framed = KeyWriter::new();
                // The identity stands beside the route, so that `clear_key` finds the text as the closure gave it.
                framed.field(&owner);
                framed.nested(|inner| {
                    if let Some(identity) = &identity {
                        inner.field(identity);
                    }
                });
                let (space, text) = (framed.finish(), key(request));
                let key_in = |coding| {
                    let variant = request::variant(&rules.vary, &head.headers, coding);
                    Key::new(tenant, KeySpace::Named(&space), variant.as_deref(), &text)
                };
                (key_in(coding), coding.map(|coding| (coding, key_in(None))))
            }
            None => {
                let target = Target::of(request, tenant, Some(&owner), identity.as_deref(), depth).map_err(bypass)?;
                let key_in = |coding| target.key_in(coding, &rules.vary, &head.headers);
                (key_in(coding), coding.map(|coding| (coding, key_in(None))))
            }
        };
        if key.name().len() > MAX_KEY_BYTES {
            return Err(bypass(BypassReason::KeyTooLong));
        }
        Ok(Prepared { manager, asked, key, plain, identity: identity.is_some(), route, depth })
    }
}

pub(super) async fn call<S, B>(service: &S, request: ServiceRequest) -> Result<(HttpRequest, HttpResponse), Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    Ok(service.call(request).await?.map_into_boxed_body().into_parts())
}
