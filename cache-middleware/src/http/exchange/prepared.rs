//! One request on its way through a cache whose policy says how long: what the attribute and the middleware have in common.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::RequestHead;
use actix_web::{HttpRequest, HttpResponse};

use crate::coherence::Token;
use crate::entry::Entry;
use crate::http::exchange::Answer;
use crate::http::request::{Asked, Fills, asked_for, token};
use crate::http::response::derive::derive;
use crate::http::response::downstream::renew_lifetimes;
use crate::http::response::draft::Judge;
use crate::http::response::freshness::Arrival;
use crate::http::response::{self, respond};
use crate::key::{Key, MAX_KEY_BYTES};
use crate::manager::{
    AskedFor, Asking, Background, Begun, CacheManager, Draft, Hit, Judged, Missed, Probe, Served, Stopwatch,
};
use crate::outcome::{BypassReason, Forward, Outcome, RefusalReason, TimeLimit};
use crate::policy::{Coding, Freshness, RoutePolicy, StoreRules, TimeLimits};
use crate::tag::Tag;

/// What is told of a service that fails with an error.
pub(in crate::http) const FAILED: Outcome =
    Outcome::Refused { forward: Forward::UriMiss, reason: RefusalReason::HandlerError };

/// What requests are counted as that no route matches.
pub(in crate::http) const UNMATCHED: &str = "unmatched";

/// What responses say of their freshness says nothing, but for whether they are public.
pub(in crate::http) const BY_POLICY: Freshness = Freshness::Ttl(Duration::ZERO);

/// What is known of a request before it is looked up.
pub(in crate::http) struct Prepared {
    pub(in crate::http) manager: CacheManager,
    pub(in crate::http) asked: Asked,
    key: Key,
    /// The coding asked for, and the key of the response in its own.
    plain: Option<(Coding, Key)>,
    /// Whether the key holds who asks.
    identity: bool,
    route: String,
    policy: PolicyOf,
    /// Whether only what is the same for everybody is for the caller, who shows credentials without a word on who asks.
    alone: bool,
    token: Option<Token>,
    asked_for: Option<AskedFor>,
    /// Whether the handler runs for it.
    running: Cell<bool>,
}

/// The policy of a route, shared: it is large, and each request has one.
pub(in crate::http) enum PolicyOf {
    Attribute(&'static RoutePolicy),
    Middleware(Rc<StoreRules>),
}

impl Deref for PolicyOf {
    type Target = RoutePolicy;

    fn deref(&self) -> &RoutePolicy {
        match self {
            Self::Attribute(policy) => policy,
            Self::Middleware(rules) => &rules.route,
        }
    }
}

/// Under which keys a request is looked up.
pub(in crate::http) struct Keys {
    key: Key,
    /// The coding asked for, and the key without it.
    plain: Option<(Coding, Key)>,
}

impl Keys {
    pub(in crate::http) fn new(coding: Option<Coding>, key_in: impl Fn(Option<Coding>) -> Key) -> Self {
        Self { key: key_in(coding), plain: coding.map(|coding| (coding, key_in(None))) }
    }
}

/// Notes what became of a request that was not looked up.
pub(in crate::http) fn note_passed(manager: &CacheManager, request: &HttpRequest, watch: Stopwatch, outcome: &Outcome) {
    let route = request.match_pattern();
    let named = manager.for_request(request.head());
    named.as_ref().unwrap_or(manager).note(route.as_deref().unwrap_or(UNMATCHED), watch, outcome, None);
}

impl Prepared {
    pub(in crate::http) fn new(
        manager: CacheManager,
        head: &RequestHead,
        (asked, keys, identity, route): (Asked, Keys, bool, String),
        (public, policy): (bool, PolicyOf),
    ) -> Result<Self, Outcome> {
        if keys.key.name().len() > MAX_KEY_BYTES {
            return Err(Outcome::Bypass { reason: BypassReason::KeyTooLong });
        }
        let Keys { key, plain } = keys;
        Ok(Self {
            alone: asked.has_credentials() && !(identity || public),
            token: token::of_request(&manager, head),
            asked_for: asked_for(&manager, head),
            manager,
            asked,
            key,
            plain,
            identity,
            route,
            policy,
            running: Cell::new(false),
        })
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            token: self.token.clone(),
            alone: self.alone,
            bounds: Some(self.policy.bounds.with_identity(self.identity)),
            refreshes: !self.alone,
            probes: !self.alone,
            windows: &self.policy.windows,
            asked: self.asked_for.as_ref(),
            route: &self.route,
            ..Asking::new(&self.key, self.policy.holding)
        }
    }

    fn public_by(&self) -> Option<&'static Freshness> {
        self.alone.then_some(&BY_POLICY)
    }

    fn accept(&self, entry: &Entry) -> Option<HttpResponse> {
        respond::response_of(entry, self.public_by())
    }

    /// Whether it is only looked up: its response would fill no entry, or is not wanted.
    pub(in crate::http) fn only_looks(&self) -> bool {
        self.asked.fills != Fills::Yes || self.asked.only_if_cached
    }

    pub(in crate::http) async fn peek(&self) -> Result<Hit<HttpResponse>, Outcome> {
        let reason = response::not_filling(self.asked.fills);
        self.manager.peek(&self.asking(), |entry| self.accept(entry), reason).await
    }

    /// The first look, at the memory of this node, for which nobody waits.
    pub(in crate::http) fn begin_near(&self) -> Option<Begun<HttpResponse>> {
        self.manager.begin_near(&self.asking(), |entry| self.accept(entry))
    }

    /// The second, at the store; without `refreshes`, nobody can refresh an entry for this caller.
    pub(in crate::http) async fn begin_far(&self, refreshes: bool) -> Begun<HttpResponse> {
        let asking = self.asking();
        let asking = Asking { refreshes: asking.refreshes && refreshes, probes: asking.probes && refreshes, ..asking };
        self.manager.begin_far(&asking, |entry| self.accept(entry)).await
    }

    /// Answers by somebody's run of the handler.
    pub(in crate::http) async fn fly<R>(
        &self,
        missed: Missed,
        run: impl AsyncFnOnce() -> Judged<R>,
    ) -> Served<R, HttpResponse> {
        let run = async |_| {
            self.running.set(true);
            run().await
        };
        self.manager.fly(&self.asking(), |entry| self.accept(entry), missed, run).await
    }

    /// Has the handler run for an entry that was served at an age.
    pub(in crate::http) async fn refresh<R>(&self, served_at: Duration, run: impl AsyncFnOnce() -> Judged<R>) {
        let run = async |_| run().await;
        self.manager.refresh(&self.asking(), |entry| self.accept(entry), served_at, run).await;
    }

    /// Whether it is about the same entry as another.
    pub(in crate::http) fn is_same(&self, other: &Self) -> bool {
        self.key.name() == other.key.name()
    }

    pub(in crate::http) fn limits(&self) -> TimeLimits {
        self.policy.limits
    }

    /// The right to go on when nobody waits any more, if the handler runs for it and others can use what it brings.
    pub(in crate::http) fn goes_on(&self) -> Option<Background> {
        let for_others = self.running.get() && !self.alone;
        for_others.then(|| self.manager.goes_on(&self.key)).flatten()
    }

    /// The response in the coding asked for, made of the entry that holds its own bytes.
    pub(in crate::http) async fn derived(&self) -> Option<(HttpResponse, Draft)> {
        let (coding, plain) = self.plain.as_ref()?;
        let (mut response, draft) = derive(&self.manager, &self.asking(), (*coding, plain), self.public_by()).await?;
        renew_lifetimes(
            response.headers_mut(),
            &self.policy.downstream,
            self.identity,
            draft.life.initial_age.duration(),
        );
        Some((response, draft))
    }

    /// Judges what the handler gave.
    pub(in crate::http) async fn judge(
        &self,
        rules: &StoreRules,
        request: &HttpRequest,
        response: HttpResponse,
        arrival: Arrival,
        tags: Result<Vec<Tag>, RefusalReason>,
    ) -> Judged<HttpResponse> {
        if let Some(failure) = response::failure(response.status(), rules) {
            return Judged::Failed(response, failure);
        }
        let judge = Judge {
            manager: &self.manager,
            asked: &self.asked,
            rules,
            identity: self.identity,
            route: Some(&self.route),
            variant: None,
            coding: self.plain.as_ref().map(|(coding, plain)| (*coding, plain)),
        };
        match judge.draft(request, response, arrival, tags).await {
            Ok((response, draft)) => Judged::Store(response, Box::new(draft)),
            Err((response, reason)) => Judged::Refuse(response, reason),
        }
    }

    /// Compares a hit with what the handler has said.
    pub(in crate::http) fn compared<R>(&self, probe: &Probe, judged: &Judged<R>) {
        self.manager.compared(&self.route, probe, judged);
    }

    /// Notes a request whose service has failed with an error instead of a response.
    pub(in crate::http) fn note_failed(&self, watch: Stopwatch) {
        self.manager.note(&self.route, watch, &FAILED, None);
    }

    /// Notes what became of the request.
    pub(in crate::http) fn note(&self, watch: Stopwatch, answer: &Answer) {
        self.manager.note(&self.route, watch, &answer.outcome, answer.age);
    }

    /// The answer of an entry.
    pub(in crate::http) fn hit(&self, hit: Hit<HttpResponse>) -> Answer {
        Answer::from_hit_of(hit, &self.policy.downstream, self.identity)
    }

    /// The answer when a time limit is over: of the stale entry, or a 504.
    pub(in crate::http) fn late(&self, limit: TimeLimit, missed: &Missed, waited: Duration) -> Answer {
        let stale = missed.stale_after(waited);
        let hit = stale.and_then(|stale| stale.hit(|entry| self.accept(entry), Outcome::StaleIfSlow { limit }));
        match hit {
            Some(hit) => self.hit(hit),
            None => Answer::timed_out(missed.forward),
        }
    }
}
