//! The runtime of `#[cached]` on a handler.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};

use super::coding;
use super::derive::derive;
use super::downstream::renew_lifetimes;
use super::draft::Judge;
use super::exchange::Answer;
use super::field::date::Date;
use super::freshness::Arrival;
use super::manager_of::{MISSING, manager_of};
use super::request::{self, Asked, Fills};
use super::tenants::refusal;
use super::{bounds_of, names, respond, response, tags, token};
use crate::entry::Entry;
use crate::key::{Key, KeySpace, KeyWriter, MAX_KEY_BYTES};
use crate::manager::{Asking, CacheManager, Judged, Served};
use crate::outcome::{BypassReason, Outcome, RefusalReason};
use crate::policy::{Bounds, Coding, Downstream, Freshness, Holding, StoreRules, Ttl};
use crate::time::Moment;

/// What responses say of their freshness says nothing, but for whether they are public.
const BY_POLICY: Freshness = Freshness::Ttl(Duration::ZERO);

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
    /// How many entries it may have.
    pub bounds: Bounds,
    /// What the caches of others may do with it.
    pub downstream: Downstream,
    /// How it is held in L1.
    pub holding: Holding,
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
    fn rules(&self, manager: &CacheManager) -> Result<StoreRules, String> {
        Ok(StoreRules {
            freshness: Freshness::Ttl(manager.resolve(self.ttl)?),
            statuses: self.statuses.to_vec(),
            max_body: self.max_body,
            public: self.public,
            vary: self.vary.iter().map(|&header| header.to_owned()).collect(),
            strip_cookies: Vec::new(),
            compress: self.compress.to_vec(),
            bounds: self.bounds,
            downstream: self.downstream,
            holding: self.holding,
        })
    }
}

/// Answers a request to a cached handler. `owner` tells it from every other, generic ones by their types; `when` is what the attribute's condition said; `run` runs the handler, and is
/// polled only if it has to.
pub async fn run_cached(
    request: HttpRequest,
    spec: &'static CachedSpec,
    owner: &'static str,
    key: HandlerKey,
    when: bool,
    run: impl Future<Output = Ran>,
) -> HttpResponse {
    let Some(manager) = manager_of(&request) else {
        tell_once(spec.handler);
        let outcome = Outcome::Bypass { reason: BypassReason::NoManager };
        return Answer::passed(run.await.response, outcome).finish(None, true);
    };
    if let Some(refusal) = refusal(manager, request.head(), spec.tenant_bound) {
        return refusal;
    }
    let status_header = manager.writes_status_header();
    let prepared = prepare(manager, &request, spec, owner, key, when);
    let Prepared { manager, asked, key, plain, identity, route } = match prepared {
        Ok(prepared) => prepared,
        Err(outcome) => return Answer::passed(run.await.response, outcome).finish(None, status_header),
    };
    respond::mark_cached(&request);
    // Without a word on who asks, only what is the same for everybody is for a caller with credentials.
    let alone = asked.has_credentials() && !(identity || spec.public);
    let token = token::of_request(&manager, request.head());
    let bounds = Some(bounds_of(spec.bounds, identity));
    let asking = Asking { token, alone, bounds, ..Asking::new(&key, spec.holding) };
    let accept = |entry: &Entry| respond::response_of(entry, alone.then_some(&BY_POLICY));
    if asked.fills != Fills::Yes || asked.only_if_cached {
        let answer = match manager.peek(&asking, accept, response::not_filling(asked.fills)).await {
            Ok(hit) => Answer::from_hit_of(hit, &spec.downstream, identity),
            Err(_) if asked.only_if_cached => Answer::nothing_stored(),
            Err(outcome) => Answer::from_handler(run.await.response, outcome, &asked),
        };
        return answer.finish(Some(&asked), status_header);
    }
    let coding = plain.as_ref().map(|(coding, plain)| (*coding, plain));
    let judged = async |_| {
        if let Some(coding) = coding {
            let public_by = alone.then_some(&BY_POLICY);
            if let Some((mut response, draft)) = derive(&manager, &asking, coding, public_by).await {
                renew_lifetimes(response.headers_mut(), &spec.downstream, identity, draft.life.initial_age);
                return Judged::Store(response, Box::new(draft));
            }
        }
        let began = Moment::now();
        let Ran { response, tags, unless } = run.await;
        let arrival = Arrival { at: Date::now(), delay: Moment::now().since(began) };
        if unless && response.error().is_none() {
            return Judged::Refuse(response, RefusalReason::Unless);
        }
        let rules = match spec.rules(&manager) {
            Ok(rules) => rules,
            Err(problem) => {
                // `build()` refuses this, unless it was told not to look at the annotations.
                log::error!("{} is not cached: {problem}", spec.handler);
                return Judged::Refuse(response, RefusalReason::TtlUnknown);
            }
        };
        let tags = tags::of_response(tags, &request, response.headers());
        let (manager, asked, rules, route) = (&manager, &asked, &rules, Some(route.as_str()));
        let judge = Judge { manager, asked, rules, identity, route, variant: None, coding };
        match judge.draft(&request, response, arrival, tags).await {
            Ok((response, draft)) => Judged::Store(response, Box::new(draft)),
            Err((response, reason)) => Judged::Refuse(response, reason),
        }
    };
    let answer = match manager.serve(&asking, accept, judged).await {
        Served::Entry(hit) | Served::Stale(hit, _) => Answer::from_hit_of(hit, &spec.downstream, identity),
        Served::Own { response, outcome } => Answer::from_handler(response, outcome, &asked),
    };
    answer.finish(Some(&asked), status_header)
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
    spec: &CachedSpec,
    owner: &str,
    key: HandlerKey,
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
    let (space, text, identity) = match key {
        HandlerKey::Named { text, identity } => (KeySpace::Named(owner), text, identity),
        HandlerKey::Default { arguments, identity } => {
            let mut text = KeyWriter::new();
            text.field(owner);
            if spec.sees_request {
                names::write_origin(&mut text, head, request.app_config().secure());
            } else {
                names::write_host_name(&mut text, head, request.app_config().secure());
            }
            request::write_target(&mut text, head);
            (KeySpace::Request, text.finish() + &arguments, identity)
        }
    };
    let key_in = |coding| {
        let variant = request::variant(spec.vary, &head.headers, coding);
        Key::new(tenant, space, variant.as_deref(), &text)
    };
    let coding = coding::negotiate(&head.headers, spec.compress);
    let (key, plain) = (key_in(coding), coding.map(|coding| (coding, key_in(None))));
    if key.name().len() > MAX_KEY_BYTES {
        return Err(bypass(BypassReason::KeyTooLong));
    }
    Ok(Prepared { manager, asked, key, plain, identity, route })
}
