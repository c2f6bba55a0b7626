//! Reads: the look-up, the variants, and what is answered from where.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::{Error, HttpRequest, HttpResponse};

use super::refresh::refresh_later;
use super::run::Flying;
use super::{CacheHttp, ClientDirective};
use crate::coherence::Token;
use crate::entry::{Entry, Payload};
use crate::http::cache_response::CacheResponse;
use crate::http::exchange::prepared::{FAILED, UNMATCHED, note_passed};
use crate::http::exchange::time_limits::{Timely, call_in_time, within};
use crate::http::exchange::waiting::Waiting;
use crate::http::exchange::{Answer, answered_twice, call};
use crate::http::field::cache_control::{Directives, Seconds};
use crate::http::field::date::Date;
use crate::http::field::groups;
use crate::http::request::layers::Layers;
use crate::http::request::target::Target;
use crate::http::request::tenants::refusal;
use crate::http::request::{self, Asked, Fills, selection, token};
use crate::http::response::freshness::Arrival;
use crate::http::response::{self, respond};
use crate::http::write::{Grouped, run_write};
use crate::key::{Key, MAX_KEY_BYTES};
use crate::manager::{AskedFor, Asking, Begun, CacheManager, Demand, Hit, Served};
use crate::outcome::{BypassReason, Forward, Outcome, RefusalReason};
use crate::policy::{Freshness, HttpRules, StoreRules};
use crate::time::Moment;

/// What selects nothing.
pub(super) const BASE: &[&str] = &[];

/// A base key that selects, the variant it selects, and once more if the selection changed meanwhile.
const MOST_LOOKS: usize = 3;
/// A variant whose key has no room for the headers of the request.
const LONG_VARIANT: Outcome = Outcome::Refused { forward: Forward::VaryMiss, reason: RefusalReason::KeyTooLong };
/// What selects changes faster than it can be read.
const SELECTION_CHANGING: Outcome = Outcome::Refused { forward: Forward::VaryMiss, reason: RefusalReason::Vary };

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) settings: CacheResponse,
    pub(super) rules: StoreRules,
    pub(super) http: HttpRules,
    /// The fields that are meant for this cache.
    own_fields: Vec<HeaderName>,
    honored: Vec<ClientDirective>,
}

/// One request on its way through the cache.
pub(super) struct Exchange {
    pub(super) manager: CacheManager,
    pub(super) asked: Asked,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) identity: bool,
    pub(super) route: Option<String>,
    pub(super) around: Layers,
    token: Option<Token>,
    asked_for: Option<AskedFor>,
    demand: Demand,
}

impl Exchange {
    /// What it is counted as.
    fn route(&self) -> &str {
        self.route.as_deref().unwrap_or(UNMATCHED)
    }
}

/// What is stored under a key.
pub(super) enum Stored {
    Response(HttpResponse),
    /// The names of the headers that select among the variants.
    Selector(Vec<Arc<str>>),
}

impl Layer {
    pub(super) fn new(cache: &CacheHttp, rules: StoreRules) -> Self {
        let http = match &rules.freshness {
            Freshness::ByResponse(http) => http.clone(),
            Freshness::Ttl(_) => HttpRules::default(),
        };
        let own = http.targets.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        let invalidation = (!cache.settings.manager.forwards_groups()).then_some(groups::CACHE_GROUP_INVALIDATION);
        let own_fields = own.chain([groups::CACHE_GROUPS]).chain(invalidation).collect();
        let (settings, honored) = (cache.settings.clone(), cache.honored.clone());
        Self { settings, rules, http, own_fields, honored }
    }

    pub(super) async fn answer<S, B>(
        self: Rc<Self>,
        service: Rc<S>,
        request: ServiceRequest,
    ) -> Result<ServiceResponse<BoxBody>, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let watch = self.settings.manager.stopwatch();
        if let Some(refusal) = refusal(&self.settings.manager, request.head(), self.settings.options.tenant_bound) {
            return Ok(request.into_response(refusal));
        }
        if !request.method().is_safe() {
            let (request, response) = run_write(&self.settings.manager, service, request, Grouped::ByOrigin).await?;
            note_passed(&self.settings.manager, &request, watch, &Outcome::Method);
            return Ok(self.finish(request, Answer::passed(response, Outcome::Method), None));
        }
        let around = Layers::of(&request);
        let exchange = match self.prepare(&request, around) {
            Ok(exchange) => {
                around.enter(&request);
                Rc::new(exchange)
            }
            Err(outcome) => {
                around.pass(&request);
                let (request, response) = call(&*service, request).await?;
                note_passed(&self.settings.manager, &request, watch, &outcome);
                return Ok(self.finish(request, Answer::passed(response, outcome), None));
            }
        };
        let answered = if exchange.asked.fills == Fills::Yes && !exchange.asked.only_if_cached {
            self.look_or_run(&exchange, &service, request).await
        } else {
            self.only_look(&exchange, &service, request).await
        };
        let failed = |_: &Error| exchange.manager.note(exchange.route(), watch, &FAILED, None);
        let (request, answer) = answered.inspect_err(failed)?;
        exchange.manager.note(exchange.route(), watch, &answer.outcome, answer.age);
        Ok(self.finish(request, answer, Some(&exchange.asked)))
    }

    /// The response that leaves: without what is meant for this cache, and with what it did.
    pub(super) fn finish(
        &self,
        request: HttpRequest,
        answer: Answer,
        asked: Option<&Asked>,
    ) -> ServiceResponse<BoxBody> {
        let mut response = answer.finish(asked, self.settings.manager.writes_status_header());
        for field in &self.own_fields {
            response.headers_mut().remove(field);
        }
        ServiceResponse::new(request, response)
    }

    /// What is known of a request, with these layers of caching around this one.
    pub(super) fn prepare(&self, request: &ServiceRequest, around: Layers) -> Result<Exchange, Outcome> {
        let bypass = |reason| Outcome::Bypass { reason };
        let settings = &self.settings;
        let head = request.head();
        let asked = request::judge(head, token::is_only_cookie(&settings.manager, &head.headers))?;
        if settings.options.condition.as_ref().is_some_and(|condition| !condition(request)) {
            return Err(bypass(BypassReason::Condition));
        }
        let manager = settings.manager.for_request(head).map_err(|_| bypass(BypassReason::TenantInvalid))?;
        let identity = settings.options.identity.as_ref().and_then(|identity| identity(request));
        let tenant = manager.current_tenant();
        let target = Target::of(request, tenant, None, identity.as_deref(), around.come_to).map_err(bypass)?;
        if target.key(BASE, &head.headers).name().len() > MAX_KEY_BYTES {
            return Err(bypass(BypassReason::KeyTooLong));
        }
        Ok(Exchange {
            token: token::of_request(&manager, head),
            asked_for: request::asked_for(&manager, head),
            demand: self.demand(&head.headers),
            headers: head.headers.clone(),
            identity: identity.is_some(),
            route: request.match_pattern(),
            manager,
            asked,
            target,
            around,
        })
    }

    /// What the client says and is listened to (RFC 9111 section 5.2.1).
    fn demand(&self, headers: &HeaderMap) -> Demand {
        if self.honored.is_empty() {
            return Demand::default();
        }
        let said = Directives::of(headers);
        let honors = |directive| self.honored.contains(&directive);
        let seconds = |said: Option<Seconds>, directive| said.filter(|_| honors(directive)).map(Seconds::or_zero);
        Demand {
            no_cache: said.no_cache && honors(ClientDirective::NoCache),
            max_age: seconds(said.max_age, ClientDirective::MaxAge),
            min_fresh: seconds(said.min_fresh, ClientDirective::MinFresh),
            max_stale: said.max_stale.filter(|_| honors(ClientDirective::MaxStale)),
        }
    }

    pub(super) fn asking<'a>(&'a self, exchange: &'a Exchange, key: &'a Key, variant: bool) -> Asking<'a> {
        Asking {
            token: exchange.token.clone(),
            alone: exchange.asked.has_credentials() && !self.is_for_all(exchange),
            demand: exchange.demand,
            bounds: Some(self.rules.route.bounds.with_identity(exchange.identity)),
            windows: &self.rules.route.windows,
            asked: exchange.asked_for.as_ref(),
            route: exchange.route(),
            variant,
            ..Asking::new(key, self.rules.route.holding)
        }
    }

    /// Whether it does not matter who asks.
    pub(super) fn is_for_all(&self, exchange: &Exchange) -> bool {
        exchange.identity || self.rules.public
    }

    /// What an entry is to a request under a key: `None` if it must not answer it. A response that was made for other
    /// headers than these is none, wherever it comes from (S1); neither is one for others, if this caller has shown who
    /// they are (R4, S2).
    pub(super) fn accept(&self, exchange: &Exchange, key: &Key, entry: &Entry) -> Option<Stored> {
        if let Payload::Selector(names) = &entry.payload {
            return (entry.key == *key.name()).then(|| Stored::Selector(names.clone()));
        }
        let public_by = (exchange.asked.authorized && !self.is_for_all(exchange)).then_some(&self.rules.freshness);
        let response = respond::response_of(entry, public_by)?;
        if entry.key != *key.name() {
            let names = selection::names(response.headers())?;
            if *exchange.target.key(&names, &exchange.headers).name() != entry.key {
                return None;
            }
        }
        Some(Stored::Response(response))
    }

    /// Answers what fills: a GET of the whole.
    async fn look_or_run<S, B>(
        self: &Rc<Self>,
        exchange: &Rc<Exchange>,
        service: &Rc<S>,
        request: ServiceRequest,
    ) -> Result<(HttpRequest, Answer), Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let waiting = Rc::new(Waiting::new(request));
        let mut key = exchange.target.key(BASE, &exchange.headers);
        let (mut refreshes, mut passed) = (true, SELECTION_CHANGING);
        for look in 0..MOST_LOOKS {
            if key.name().len() > MAX_KEY_BYTES {
                passed = LONG_VARIANT;
                break;
            }
            let asking = Asking { refreshes, ..self.asking(exchange, &key, look > 0) };
            let begun = exchange.manager.begin(&asking, |entry| self.accept(exchange, &key, entry)).await;
            let (hit, refresh) = match begun {
                Begun::Hit(hit) | Begun::Probe(hit, _) => (hit, false),
                Begun::Refresh(hit) => (hit, true),
                Begun::Miss(missed) => {
                    let flying = Flying { layer: self.clone(), exchange: exchange.clone(), waiting: waiting.clone() };
                    let flying = Box::pin(flying.fly(service.clone(), key.clone(), look > 0, missed.clone()));
                    let for_others = || {
                        let useful = waiting.is_running() && !asking.alone;
                        useful.then(|| exchange.manager.goes_on(&key)).flatten()
                    };
                    match within(self.rules.route.limits, &missed, for_others, flying).await {
                        Timely::Landed(Served::Own { response, outcome }) => {
                            let (request, response) = response.ok_or_else(answered_twice)??;
                            return Ok((request, Answer::from_handler(response, outcome, &exchange.asked)));
                        }
                        Timely::Landed(Served::Entry(hit)) => (hit, false),
                        Timely::Landed(Served::Instead(hit, failed)) => {
                            if let Some(Ok((request, _))) = failed {
                                waiting.give_back(request);
                            }
                            (hit, false)
                        }
                        Timely::Late(limit, waited) => {
                            let accept = |entry: &Entry| self.accept(exchange, &key, entry);
                            let stale = missed.stale_after(waited);
                            match stale.and_then(|stale| stale.hit(accept, Outcome::StaleIfSlow { limit })) {
                                Some(hit) => (hit, false),
                                None => return Ok((waiting.leaving()?, Answer::timed_out(missed.forward))),
                            }
                        }
                    }
                }
            };
            match hit.accepted {
                Stored::Selector(names) => key = exchange.target.key(&names, &exchange.headers),
                Stored::Response(response) => {
                    let served_at = hit.age;
                    let answer = Answer::from_hit(Hit { accepted: response, age: hit.age, outcome: hit.outcome });
                    let Some(right) = refresh.then(|| exchange.manager.background()).flatten() else {
                        return Ok((waiting.leaving()?, answer));
                    };
                    let own = waiting.take().ok_or_else(answered_twice)?;
                    match refresh_later(self, service, own, (exchange, selecting(&answer.response), (served_at, right)))
                    {
                        Ok(leaving) => return Ok((leaving, answer)),
                        // Nobody can ask for it on this caller's behalf, so they wait for the handler.
                        Err(own) => {
                            waiting.put_back(own);
                            refreshes = false;
                        }
                    }
                }
            }
        }
        let request = waiting.take().ok_or_else(answered_twice)?;
        Ok(match call_in_time(self.rules.route.limits, &**service, request).await? {
            (request, Some(response)) => (request, Answer::passed(response, passed)),
            (request, None) => (request, Answer::timed_out(passed.forward())),
        })
    }

    /// Answers what does not fill, and brings a stale entry up to date by the response to a HEAD (RFC 9111 section 4.3.5).
    async fn only_look<S, B>(
        &self,
        exchange: &Exchange,
        service: &Rc<S>,
        request: ServiceRequest,
    ) -> Result<(HttpRequest, Answer), Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let asked = &exchange.asked;
        let mut key = exchange.target.key(BASE, &exchange.headers);
        let (mut outcome, mut outdated) = (SELECTION_CHANGING, None);
        for look in 0..MOST_LOOKS {
            if key.name().len() > MAX_KEY_BYTES {
                outcome = LONG_VARIANT;
                break;
            }
            let asking = self.asking(exchange, &key, look > 0);
            let accept = |entry: &Entry| self.accept(exchange, &key, entry);
            match exchange.manager.peek_or_stale(&asking, accept, response::not_filling(asked.fills)).await {
                Ok(hit) => match hit.accepted {
                    Stored::Response(response) => {
                        let hit = Hit { accepted: response, age: hit.age, outcome: hit.outcome };
                        return Ok((request.into_parts().0, Answer::from_hit(hit)));
                    }
                    Stored::Selector(names) => key = exchange.target.key(&names, &exchange.headers),
                },
                Err((missed, stale)) => {
                    (outcome, outdated) = (missed, stale);
                    break;
                }
            }
        }
        if asked.only_if_cached {
            return Ok((request.into_parts().0, Answer::nothing_stored()));
        }
        let began = Moment::now();
        let (request, response) = match call_in_time(self.rules.route.limits, &**service, request).await? {
            (request, Some(response)) => (request, response),
            (request, None) => return Ok((request, Answer::timed_out(outcome.forward()))),
        };
        if asked.fills == Fills::NotHead
            && response.status() == StatusCode::OK
            && let Some(outdated) = outdated
        {
            let arrival = Arrival { at: Date::now(), delay: Moment::now().since(began) };
            // Without a word on it, a handler for HEAD alone has an empty body.
            let length = match response.body().size() {
                BodySize::Sized(length) if length > 0 => Some(length),
                _ => response.headers().get(header::CONTENT_LENGTH).and_then(|said| said.to_str().ok()?.parse().ok()),
            };
            self.learn(exchange, &key, outdated, (response.headers(), length), arrival, &request).await;
        }
        Ok((request, Answer::from_handler(response, outcome, asked)))
    }
}

/// The names of the headers that a response was selected by.
pub(super) fn selecting(response: &HttpResponse) -> Vec<Arc<str>> {
    selection::names(response.headers()).unwrap_or_default()
}
