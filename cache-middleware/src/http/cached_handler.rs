//! The runtime of `#[cached]` on a handler.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;

use super::exchange::Answer;
use super::exchange::prepared::{Keys, PolicyOf, Prepared, note_passed};
use super::exchange::time_limits::{Timely, at_most, within};
use super::field::date::Date;
use super::request::manager_of::{MISSING, manager_of};
use super::request::tenants::refusal;
use super::request::{self, layers, names, token};
use super::response::freshness::Arrival;
use super::response::{coding, tags};
use crate::key::{Key, KeySpace, KeyWriter};
use crate::manager::{Begun, CacheManager, Judged, Missed, Served, Stopwatch};
use crate::outcome::{BypassReason, Outcome, RefusalReason};
use crate::policy::{Coding, DEFAULT_MAX_BODY, Freshness, RoutePolicy, StoreRules, Ttl};
use crate::time::Moment;

/// What a `#[cached]` attribute says, as far as it is the same for every request.
#[derive(Debug)]
pub struct CachedSpec {
    /// The path of the function, for messages.
    pub handler: &'static str,
    /// How long.
    pub ttl: Ttl,
    /// The statuses that are stored.
    pub statuses: &'static [u16],
    /// The largest body that is stored.
    pub max_body: usize,
    /// Whether it runs for tenants alone.
    pub tenant_bound: bool,
    /// Whether credentials do not matter.
    pub public: bool,
    /// Whether an argument shows the handler the whole request, and with it every name of the host.
    pub sees_request: bool,
    /// The request headers that select a variant.
    pub vary: &'static [&'static str],
    /// The codings it is stored in beside its own.
    pub compress: &'static [Coding],
    /// Bounds, lifetimes, windows and limits.
    pub policy: RoutePolicy,
}

/// The key of a request, as the attribute's code put it together.
#[derive(Debug)]
pub enum HandlerKey {
    /// URI and arguments.
    Default {
        /// The arguments, framed.
        arguments: String,
        /// Whether one of them says who asks.
        identity: bool,
    },
    /// A template of the user.
    Named {
        /// The rendered text.
        text: String,
        /// Whether a placeholder says who asks.
        identity: bool,
    },
}

/// What the handler gave.
#[derive(Debug)]
pub struct Ran {
    /// Its response.
    pub response: HttpResponse,
    /// The rendered tags.
    pub tags: Vec<String>,
    /// What `unless` said.
    pub unless: bool,
}

impl CachedSpec {
    /// What holds unless an attribute says otherwise.
    #[must_use]
    pub const fn new(handler: &'static str, ttl: Ttl) -> Self {
        Self {
            handler,
            ttl,
            statuses: &[200],
            max_body: DEFAULT_MAX_BODY,
            tenant_bound: false,
            public: false,
            sees_request: false,
            vary: &[],
            compress: &[],
            policy: RoutePolicy::DEFAULT,
        }
    }

    fn rules(&self, manager: &CacheManager) -> Result<StoreRules, String> {
        Ok(StoreRules {
            freshness: Freshness::Ttl(manager.resolve(self.ttl)?),
            statuses: self.policy.windows.statuses(self.statuses),
            max_body: self.max_body,
            public: self.public,
            vary: self.vary.iter().map(|&header| header.to_owned()).collect(),
            strip_cookies: Vec::new(),
            compress: self.compress.to_vec(),
            route: self.policy,
        })
    }
}

/// The annotated handler with its arguments, ready to run once: for the caller who waits, or in the background.
struct Handler {
    spec: &'static CachedSpec,
    request: HttpRequest,
    run: LocalBoxFuture<'static, Ran>,
}

impl Handler {
    /// Runs it, and judges what it gave.
    async fn judged(self, prepared: &Prepared) -> Judged<HttpResponse> {
        let Self { spec, request, run } = self;
        let began = Moment::now();
        let Ran { response, tags, unless } = run.await;
        let arrival = Arrival { at: Date::now(), delay: Moment::now().since(began) };
        if unless && response.error().is_none() {
            return Judged::Refuse(response, RefusalReason::Unless);
        }
        let rules = match spec.rules(&prepared.manager) {
            Ok(rules) => rules,
            Err(problem) => {
                // `build()` refuses this, unless it was told not to look at the annotations.
                log::error!("{} is not cached: {problem}", spec.handler);
                return Judged::Refuse(response, RefusalReason::TtlUnknown);
            }
        };
        let tags = tags::of_response(tags, &request, response.headers());
        prepared.judge(&rules, &request, response, arrival, tags).await
    }
}

/// What is known of a request once the memory of this node was looked at.
enum Asked {
    /// The response to it.
    Answered(HttpResponse),
    /// The store, or the handler, has to be asked.
    On(Stopwatch, OnWhat),
}

/// What is asked.
enum OnWhat {
    /// The handler: it is not looked up.
    Pass(Outcome),
    /// The store, and then the handler.
    Read(Rc<Prepared>, Option<Begun<HttpResponse>>),
}

/// Answers a request to a cached handler. `owner` tells it from every other, generic ones by their types; `when` is what
/// the attribute's condition said; `run` runs the handler, and is called only if it has to: what that needs has no room in this future.
pub async fn run_cached(
    request: HttpRequest,
    spec: &'static CachedSpec,
    owner: Cow<'static, str>,
    key: HandlerKey,
    when: bool,
    run: impl FnOnce() -> LocalBoxFuture<'static, Ran> + 'static,
) -> HttpResponse {
    let Some(manager) = manager_of(&request) else {
        tell_once(spec.handler);
        let outcome = Outcome::Bypass { reason: BypassReason::NoManager };
        return Answer::passed(run().await.response, outcome).finish(None, true);
    };
    match ask(manager, &request, spec, &owner, &key, when) {
        Asked::Answered(response) => response,
        // On the heap, and only for those that need it: all that may happen after a miss has room in this future, and each
        // request moves it several times. The handler by itself, so that what goes on is compiled once and not for each of them.
        Asked::On(watch, on) => {
            let (manager, run) = (manager.clone(), run());
            Box::pin(go_on(manager, watch, on, Handler { spec, request, run })).await
        }
    }
}

/// Looks at the memory of this node.
fn ask(
    manager: &CacheManager,
    request: &HttpRequest,
    spec: &'static CachedSpec,
    owner: &str,
    key: &HandlerKey,
    when: bool,
) -> Asked {
    if let Some(refusal) = refusal(manager, request.head(), spec.tenant_bound) {
        return Asked::Answered(refusal);
    }
    let watch = manager.stopwatch();
    let prepared = match prepare(manager, request, spec, owner, key, when) {
        Ok(prepared) => prepared,
        Err(outcome) => return Asked::On(watch, OnWhat::Pass(outcome)),
    };
    layers::mark_cached(request);
    if prepared.only_looks() {
        return Asked::On(watch, OnWhat::Read(Rc::new(prepared), None));
    }
    match prepared.begin_near() {
        Some(Begun::Hit(hit)) => {
            let answer = prepared.hit(hit);
            prepared.note(watch, &answer);
            Asked::Answered(answer.finish(Some(&prepared.asked), manager.writes_status_header()))
        }
        begun => Asked::On(watch, OnWhat::Read(Rc::new(prepared), begun)),
    }
}

/// Asks the store, or the handler.
async fn go_on(manager: CacheManager, watch: Stopwatch, on: OnWhat, handler: Handler) -> HttpResponse {
    let status_header = manager.writes_status_header();
    match on {
        OnWhat::Pass(outcome) => {
            note_passed(&manager, &handler.request, watch, &outcome);
            Answer::passed(handler.run.await.response, outcome).finish(None, status_header)
        }
        OnWhat::Read(prepared, begun) => {
            let answer = answer(&prepared, begun, handler).await;
            prepared.note(watch, &answer);
            answer.finish(Some(&prepared.asked), status_header)
        }
    }
}

async fn answer(prepared: &Rc<Prepared>, begun: Option<Begun<HttpResponse>>, handler: Handler) -> Answer {
    if prepared.only_looks() {
        return Box::pin(only_look(prepared, handler)).await;
    }
    let begun = match begun {
        Some(begun) => begun,
        None => prepared.begin_far(true).await,
    };
    match begun {
        Begun::Hit(hit) => prepared.hit(hit),
        Begun::Probe(hit, probe) => {
            if let Some(right) = prepared.manager.background() {
                let prepared = prepared.clone();
                actix_web::rt::spawn(right.run(async move {
                    let judged = handler.judged(&prepared).await;
                    prepared.compared(&probe, &judged);
                }));
            }
            prepared.hit(hit)
        }
        Begun::Refresh(hit) => {
            let (refreshed, served_at) = (prepared.clone(), hit.age);
            if let Some(right) = prepared.manager.background() {
                actix_web::rt::spawn(right.run(async move {
                    refreshed.refresh(served_at, async || handler.judged(&refreshed).await).await;
                }));
            }
            prepared.hit(hit)
        }
        // Again on the heap: a hit in the store does not move what a flight takes.
        Begun::Miss(missed) => Box::pin(fly(prepared, missed, handler)).await,
    }
}

/// Answers what does not fill.
async fn only_look(prepared: &Prepared, handler: Handler) -> Answer {
    match prepared.peek().await {
        Ok(hit) => prepared.hit(hit),
        Err(_) if prepared.asked.only_if_cached => Answer::nothing_stored(),
        Err(outcome) => match at_most(prepared.limits(), handler.run).await {
            Some(ran) => Answer::from_handler(ran.response, outcome, &prepared.asked),
            None => Answer::timed_out(outcome.forward()),
        },
    }
}

/// Answers by somebody's run of the handler.
async fn fly(prepared: &Rc<Prepared>, missed: Missed, handler: Handler) -> Answer {
    prepared.manager.learn_route(handler.spec.handler, &handler.request);
    let (flying, missed_too) = (prepared.clone(), missed.clone());
    let flying = Box::pin(async move {
        let run = async || match flying.derived().await {
            Some((response, draft)) => Judged::Store(response, Box::new(draft)),
            None => handler.judged(&flying).await,
        };
        flying.fly(missed_too, run).await
    });
    match within(prepared.limits(), &missed, || prepared.goes_on(), flying).await {
        Timely::Landed(Served::Entry(hit) | Served::Instead(hit, _)) => prepared.hit(hit),
        Timely::Landed(Served::Own { response, outcome }) => Answer::from_handler(response, outcome, &prepared.asked),
        Timely::Late(limit, waited) => prepared.late(limit, &missed, waited),
    }
}

/// Says once for each handler that it is not cached.
fn tell_once(handler: &'static str) {
    static TOLD: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(handler) {
        log::error!("{handler} is not cached: {MISSING}");
    }
}

fn prepare(
    manager: &CacheManager,
    request: &HttpRequest,
    spec: &'static CachedSpec,
    owner: &str,
    key: &HandlerKey,
    when: bool,
) -> Result<Prepared, Outcome> {
    let bypass = |reason| Outcome::Bypass { reason };
    let head = request.head();
    let asked = request::judge(head, token::is_only_cookie(manager, &head.headers))?;
    if !when {
        return Err(bypass(BypassReason::Condition));
    }
    let route = request.match_pattern().ok_or(bypass(BypassReason::UnmatchedRoute))?;
    let manager = manager.for_request(head).map_err(|_| bypass(BypassReason::TenantInvalid))?;
    let tenant = manager.current_tenant();
    let (space, identity) = match key {
        HandlerKey::Named { identity, .. } => (KeySpace::Named(owner), *identity),
        HandlerKey::Default { identity, .. } => (KeySpace::Request, *identity),
    };
    let write_text = |text: &mut KeyWriter| match key {
        HandlerKey::Named { text: named, .. } => text.framed(named),
        HandlerKey::Default { arguments, .. } => {
            text.field(owner);
            if spec.sees_request {
                names::write_origin(text, head, request.app_config().secure());
            } else {
                names::write_host_name(text, head, request.app_config().secure());
            }
            request::write_target(text, head);
            text.framed(arguments);
        }
    };
    let keys = Keys::new(coding::negotiate(&head.headers, spec.compress), |coding| {
        let variant = request::variant(spec.vary, &head.headers, coding);
        Key::written(tenant, space, variant.as_deref(), write_text)
    });
    Prepared::new(
        manager.clone(),
        head,
        (asked, keys, identity, route),
        (spec.public, PolicyOf::Attribute(&spec.policy)),
    )
}
