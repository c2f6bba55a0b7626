//! Reads and writes through the middleware, and what of them is answered from where.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpRequest, HttpResponse};

use super::CacheResponse;
use super::only_look::only_look;
use crate::http::exchange::prepared::{Keys, PolicyOf, Prepared, note_passed};
use crate::http::exchange::refresh::detach;
use crate::http::exchange::time_limits::{Timely, within};
use crate::http::exchange::waiting::Waiting;
use crate::http::exchange::{Answer, Parts, answered_twice, call, failed};
use crate::http::field::date::Date;
use crate::http::request::layers::{Layers, was_cached_inside};
use crate::http::request::target::Target;
use crate::http::request::tenants::refusal;
use crate::http::request::{self, token};
use crate::http::response::freshness::Arrival;
use crate::http::response::{coding, tags, validate};
use crate::http::write::{Grouped, run_write};
use crate::key::{Key, KeySpace, KeyWriter};
use crate::manager::{Background, Begun, HitCounts, Judged, Missed, Probe, Served, Stopwatch};
use crate::outcome::{BypassReason, Outcome, RefusalReason};
use crate::policy::StoreRules;
use crate::time::Moment;

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) settings: CacheResponse,
    pub(super) rules: Rc<StoreRules>,
    pub(super) hits: Option<Arc<HitCounts>>,
}

/// What a run of the wrapped service is about.
struct RunOf<'a> {
    waiting: &'a Waiting,
    tags: Vec<String>,
    /// The layers of caching around this one.
    around: Layers,
    /// Whether the caller may be answered with something else than it gives.
    may_stand_in: bool,
}

/// Why the service runs in the background.
enum Purpose {
    /// For an entry that was served at an age.
    Refresh(Duration),
    /// To compare what it says with a hit.
    Compare(Probe),
}

/// What is known of a request once the memory of this node was looked at.
pub(super) enum Asked {
    /// The response to it.
    Answered(ServiceResponse<BoxBody>),
    /// The store, or the service, has to be asked.
    On(ServiceRequest, Stopwatch, OnWhat),
}

/// What is asked.
pub(super) enum OnWhat {
    /// The service, by a method that may change something.
    Write,
    /// The service: it is not looked up.
    Pass(Outcome),
    /// The store, and then the service, with these layers of caching around this one.
    Read(Rc<Prepared>, Layers, Option<Begun<HttpResponse>>),
}

impl Layer {
    /// Looks at the memory of this node.
    pub(super) fn ask(&self, request: ServiceRequest) -> Asked {
        let manager = &self.settings.manager;
        let watch = manager.stopwatch();
        if let Some(refusal) = refusal(manager, request.head(), self.settings.options.tenant_bound) {
            return Asked::Answered(request.into_response(refusal));
        }
        if !request.method().is_safe() {
            return Asked::On(request, watch, OnWhat::Write);
        }
        let around = Layers::of(&request);
        let prepared = match self.prepare(&request, around) {
            Ok(prepared) => prepared,
            Err(outcome) => {
                around.pass(&request);
                return Asked::On(request, watch, OnWhat::Pass(outcome));
            }
        };
        let begun = if prepared.only_looks() { None } else { prepared.begin_near() };
        // A layer around this one must know of it, and one inside; a hit that has neither tells nobody.
        if around.come_to > 0 || !matches!(begun, Some(Begun::Hit(_))) {
            around.enter(&request);
        }
        match begun {
            Some(Begun::Hit(hit)) => {
                let answer = prepared.hit(hit);
                Asked::Answered(self.answered(request.into_parts().0, &prepared, watch, answer))
            }
            begun => Asked::On(request, watch, OnWhat::Read(Rc::new(prepared), around, begun)),
        }
    }

    fn answered(
        &self,
        request: HttpRequest,
        prepared: &Prepared,
        watch: Stopwatch,
        answer: Answer,
    ) -> ServiceResponse<BoxBody> {
        if let Some(hits) = &self.hits {
            hits.note(&answer.outcome);
        }
        prepared.note(watch, &answer);
        let status_header = self.settings.manager.writes_status_header();
        ServiceResponse::new(request, answer.finish(Some(&prepared.asked), status_header))
    }

    /// Asks the store, or the service.
    pub(super) async fn go_on<S, B>(
        self: Rc<Self>,
        service: Rc<S>,
        request: ServiceRequest,
        watch: Stopwatch,
        on: OnWhat,
    ) -> Result<ServiceResponse<BoxBody>, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let manager = &self.settings.manager;
        let ((request, response), outcome) = match on {
            OnWhat::Write => (run_write(manager, service, request, Grouped::ByName).await?, Outcome::Method),
            OnWhat::Pass(outcome) => (call(&*service, request).await?, outcome),
            OnWhat::Read(prepared, around, begun) => {
                let answered = if prepared.only_looks() {
                    only_look(&prepared, &*service, request).await
                } else {
                    self.look_or_run(&prepared, &service, request, (around, begun)).await
                };
                let (request, answer) = answered.inspect_err(|_| prepared.note_failed(watch))?;
                return Ok(self.answered(request, &prepared, watch, answer));
            }
        };
        note_passed(manager, &request, watch, &outcome);
        let response = Answer::passed(response, outcome).finish(None, manager.writes_status_header());
        Ok(ServiceResponse::new(request, response))
    }

    async fn look_or_run<S, B>(
        self: &Rc<Self>,
        prepared: &Rc<Prepared>,
        service: &Rc<S>,
        mut request: ServiceRequest,
        (around, mut begun): (Layers, Option<Begun<HttpResponse>>),
    ) -> Result<(HttpRequest, Answer), Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let mut refreshes = true;
        let missed = loop {
            let begun = match begun.take() {
                Some(begun) => begun,
                None => prepared.begin_far(refreshes).await,
            };
            match begun {
                Begun::Hit(hit) => return Ok((request.into_parts().0, prepared.hit(hit))),
                Begun::Probe(hit, probe) => {
                    let Some(right) = prepared.manager.background() else {
                        return Ok((request.into_parts().0, prepared.hit(hit)));
                    };
                    let leaving = self.run_later(prepared, service, request, (Purpose::Compare(probe), right));
                    let leaving = leaving.unwrap_or_else(|own| own.into_parts().0);
                    return Ok((leaving, prepared.hit(hit)));
                }
                Begun::Refresh(hit) => {
                    let Some(right) = prepared.manager.background() else {
                        return Ok((request.into_parts().0, prepared.hit(hit)));
                    };
                    match self.run_later(prepared, service, request, (Purpose::Refresh(hit.age), right)) {
                        Ok(leaving) => return Ok((leaving, prepared.hit(hit))),
                        // Nobody can ask for it on this caller's behalf. What is fresh is an answer all the same.
                        Err(own) if !hit.outcome.is_stale() => return Ok((own.into_parts().0, prepared.hit(hit))),
                        Err(own) => (request, refreshes) = (own, false),
                    }
                }
                Begun::Miss(missed) => break missed,
            }
        };
        // On the heap: a hit in the store does not move what a flight takes.
        Box::pin(self.fly(prepared, service, request, (around, missed))).await
    }

    /// Answers by somebody's run of the service.
    async fn fly<S, B>(
        self: &Rc<Self>,
        prepared: &Rc<Prepared>,
        service: &Rc<S>,
        request: ServiceRequest,
        (around, missed): (Layers, Missed),
    ) -> Result<(HttpRequest, Answer), Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let tags = self.tags(&request);
        let waiting = Rc::new(Waiting::new(request));
        let parts = (self.clone(), service.clone(), prepared.clone(), waiting.clone(), missed.clone());
        let flying = Box::pin(async move {
            let (layer, service, prepared, waiting, missed) = parts;
            // Something stale may also be found later.
            let windows = &layer.rules.route.windows;
            let stale = !windows.stale.max(windows.stale_if_error).is_zero();
            let may_stand_in = layer.rules.route.limits.any() || stale;
            let run_of = RunOf { waiting: &waiting, tags, around, may_stand_in };
            let run = async || match prepared.derived().await {
                Some((response, draft)) => match waiting.take_for_run(true) {
                    Some(request) => Judged::Store(Some(Ok((request.into_parts().0, response))), Box::new(draft)),
                    None => Judged::Refuse(None, RefusalReason::HandlerError),
                },
                None => layer.run(&prepared, &*service, run_of).await,
            };
            prepared.fly(missed, run).await
        });
        match within(prepared.limits(), &missed, || prepared.goes_on().filter(|_| waiting.is_running()), flying).await {
            Timely::Landed(Served::Entry(hit)) => Ok((waiting.leaving()?, prepared.hit(hit))),
            Timely::Landed(Served::Instead(hit, failed)) => {
                if let Some(Ok((request, _))) = failed {
                    waiting.give_back(request);
                }
                Ok((waiting.leaving()?, prepared.hit(hit)))
            }
            Timely::Landed(Served::Own { response, outcome }) => {
                let (request, response) = response.ok_or_else(answered_twice)??;
                Ok((request, Answer::from_handler(response, outcome, &prepared.asked)))
            }
            Timely::Late(limit, waited) => Ok((waiting.leaving()?, prepared.late(limit, &missed, waited))),
        }
    }

    /// Has the service run in the background while an entry is served; gives a request for the response to
    /// leave with, or the request back if nobody can ask on this caller's behalf.
    fn run_later<S, B>(
        self: &Rc<Self>,
        prepared: &Rc<Prepared>,
        service: &Rc<S>,
        request: ServiceRequest,
        (purpose, right): (Purpose, Background),
    ) -> Result<HttpRequest, ServiceRequest>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let tags = self.tags(&request);
        let codes = !self.rules.compress.is_empty();
        let kept = |name: &str| {
            let selects = self.rules.vary.iter().any(|selecting| selecting == name);
            selects
                || (codes && name == "accept-encoding")
                || self.settings.options.refresh_with.iter().any(|kept| kept == name)
        };
        // A clear that names what the tags have lost would not reach the entry.
        let same = |request: &ServiceRequest| {
            let other = self.prepare(request, Layers::of(request));
            other.is_ok_and(|other| other.is_same(prepared)) && self.tags(request) == tags
        };
        let (leaving, request) = detach(request, kept, same)?;
        let (layer, service) = (self.clone(), service.clone());
        actix_web::rt::spawn(right.run(async move {
            let around = Layers::of(&request);
            let Ok(prepared) = layer.prepare(&request, around) else { return };
            around.enter(&request);
            let waiting = Waiting::new(request);
            let run_of = RunOf { waiting: &waiting, tags, around, may_stand_in: false };
            match purpose {
                Purpose::Refresh(served_at) => {
                    prepared.refresh(served_at, async || layer.run(&prepared, &*service, run_of).await).await;
                }
                Purpose::Compare(probe) => {
                    let judged = layer.run(&prepared, &*service, run_of).await;
                    prepared.compared(&probe, &judged);
                }
            }
        }));
        Ok(leaving)
    }

    /// Runs the wrapped service, and judges what it gave.
    async fn run<S, B>(&self, prepared: &Prepared, service: &S, run_of: RunOf<'_>) -> Judged<Option<Parts>>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let RunOf { waiting, tags, around, may_stand_in } = run_of;
        let Some(mut request) = waiting.take_for_run(may_stand_in) else {
            return Judged::Refuse(None, RefusalReason::HandlerError);
        };
        validate::remove_conditions(request.headers_mut());
        // HTTP/2 announces no body (R7): what fills an entry has none.
        request.set_payload(Payload::None);
        let began = Moment::now();
        let (request, response) = match call(service, request).await {
            Ok(parts) => parts,
            Err(error) => return failed(error, &self.rules),
        };
        let arrival = Arrival { at: Date::now(), delay: Moment::now().since(began) };
        // What is cached inside has tags that are not known here: a clear of them would not reach this entry.
        if was_cached_inside(&request, around) {
            return Judged::Refuse(Some(Ok((request, response))), RefusalReason::CachedInside);
        }
        let tags = tags::of_response(tags, &request, response.headers());
        match prepared.judge(&self.rules, &request, response, arrival, tags).await {
            Judged::Store(response, draft) => Judged::Store(Some(Ok((request, response))), draft),
            Judged::Refuse(response, reason) => Judged::Refuse(Some(Ok((request, response))), reason),
            Judged::Failed(response, failure) => Judged::Failed(Some(Ok((request, response))), failure),
        }
    }

    fn tags(&self, request: &ServiceRequest) -> Vec<String> {
        self.settings.options.tags.as_ref().map(|tags| tags(request)).unwrap_or_default()
    }

    /// What is known of a request, with these layers of caching around this one.
    fn prepare(&self, request: &ServiceRequest, around: Layers) -> Result<Prepared, Outcome> {
        let bypass = |reason| Outcome::Bypass { reason };
        let Self { settings, rules, .. } = self;
        let head = request.head();
        let asked = request::judge(head, token::is_only_cookie(&settings.manager, &head.headers))?;
        if settings.options.condition.as_ref().is_some_and(|condition| !condition(request)) {
            return Err(bypass(BypassReason::Condition));
        }
        let route = request.match_pattern().ok_or(bypass(BypassReason::UnmatchedRoute))?;
        let manager = settings.manager.for_request(head).map_err(|_| bypass(BypassReason::TenantInvalid))?;
        let identity = settings.options.identity.as_ref().and_then(|identity| identity(request));
        let owner = match around.come_to {
            0 => Cow::Borrowed(&route),
            depth => Cow::Owned(format!("{route}#{depth}")),
        };
        let tenant = manager.current_tenant();
        let coding = coding::negotiate(&head.headers, &rules.compress);
        let keys = match &settings.options.key {
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
                Keys::new(coding, |coding| {
                    let variant = request::variant(&rules.vary, &head.headers, coding);
                    Key::new(tenant, KeySpace::Named(&space), variant.as_deref(), &text)
                })
            }
            None => {
                let target = Target::of(request, tenant, Some(&owner), identity.as_deref(), around.come_to);
                let target = target.map_err(bypass)?;
                Keys::new(coding, |coding| target.key_in(coding, &rules.vary, &head.headers))
            }
        };
        let policy = PolicyOf::Middleware(rules.clone());
        Prepared::new(manager, head, (asked, keys, identity.is_some(), route), (rules.public, policy))
    }
}
