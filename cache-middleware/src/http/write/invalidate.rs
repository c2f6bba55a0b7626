//! What follows a successful write: its clears are acknowledged before its response leaves.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;

use crate::coherence::Token;
use crate::error::CacheError;
use crate::event::Event;
use crate::http::field::groups;
use crate::http::request::manager_of::{MISSING, manager_of};
use crate::http::request::tenants::{bad_request, refusal};
use crate::http::request::token;
use crate::manager::{CacheManager, ClearReceipt, Intent, OnClearFailure};
use crate::store::Target;
use crate::tag::Tag;

/// What one `#[invalidates]`, or one `InvalidateCache`, has to say about a response.
#[derive(Debug, Default)]
pub struct Invalidation {
    /// The event to publish.
    pub event: Option<Event>,
    /// Tags to clear.
    pub tags: Vec<String>,
    /// Keys to clear.
    pub keys: Vec<String>,
    /// Whether to wait until the clear is in effect on every node.
    pub strict: bool,
    /// What the client gets if the clear is only journaled; `None`: what the manager says.
    pub on_clear_failure: Option<OnClearFailure>,
    /// For how long after the clear what it covers is not stored.
    pub settle: Duration,
    /// Whether it speaks of a result that there is not, because the handler has returned an error, though one that redirects: then it holds
    /// what is known without it.
    pub incomplete: bool,
}

/// What came of the clears of a response.
#[derive(Debug, Default)]
pub(in crate::http) struct Told {
    /// What the caller shows to other nodes.
    pub(in crate::http) token: Option<Token>,
    /// Whether a clear is not acknowledged yet.
    waits: bool,
    /// Whether the client is to be told so, instead of the response.
    failed: bool,
}

impl Told {
    /// Notes how a clear ended.
    pub(in crate::http) fn note(
        &mut self,
        item: &str,
        result: Result<ClearReceipt, CacheError>,
        on_clear_failure: OnClearFailure,
    ) {
        let waits = match result {
            Ok(receipt) if receipt.journaled => {
                log::error!("{item}: a clear is journaled, and will be retried until it is acknowledged");
                true
            }
            // One after the other: the clocks of the last are the newest.
            Ok(receipt) => {
                self.token = receipt.token().or(self.token.take());
                false
            }
            Err(error @ (CacheError::Journal(_) | CacheError::Store(_))) => {
                log::error!("{item}: {error}");
                true
            }
            Err(error) => {
                log::error!("{item}: a clear was not done: {error}");
                false
            }
        };
        self.waits |= waits;
        self.failed |= waits && on_clear_failure == OnClearFailure::Error;
    }

    /// The response that leaves instead, if one does.
    pub(in crate::http) fn instead(&self) -> Option<HttpResponse> {
        self.failed.then(|| HttpResponse::ServiceUnavailable().body(NOT_CLEARED))
    }
}

const NOT_RECORDED: &str = "nothing was written: what the write would have cleared cannot be recorded before it";
const NOT_CLEARED: &str = "the write has happened, but its clear is not acknowledged yet: others may still be answered with \
     what was before";

impl Invalidation {
    /// Nothing to clear.
    pub const DEFAULT: Self = Self {
        event: None,
        tags: Vec::new(),
        keys: Vec::new(),
        strict: false,
        on_clear_failure: None,
        settle: Duration::ZERO,
        incomplete: false,
    };

    fn parsed_tags(&self) -> Vec<Tag> {
        let mut tags = Vec::new();
        for text in &self.tags {
            match Tag::new(text) {
                Ok(tag) => tags.push(tag),
                // No entry has it: one that names such a tag is refused.
                Err(error) => log::warn!("nothing is cleared by a tag that is none: {error}"),
            }
        }
        tags
    }

    /// Clears in one step what the event's rules name and what is named here, then tells the subscribers.
    async fn run(self, manager: &CacheManager, item: &str) -> Result<ClearReceipt, CacheError> {
        let manager = manager.settling(self.settle);
        let manager = if self.strict { manager.strictly() } else { manager };
        if self.incomplete {
            return manager.clear_known_of(self.event.as_ref(), self.parsed_tags(), self.keys).await;
        }
        let (cleared, wrong) = manager.clear_for(self.event.as_ref(), self.parsed_tags(), self.keys).await;
        if let Some(wrong) = wrong {
            log::error!("{item}: {wrong}");
        }
        cleared
    }

    /// What it would clear.
    fn targets(&self, manager: &CacheManager) -> Vec<Target> {
        manager.targets_for(self.event.as_ref(), self.parsed_tags(), self.keys.clone()).0
    }

    fn on_clear_failure(&self, manager: &CacheManager) -> OnClearFailure {
        self.on_clear_failure.unwrap_or(manager.on_clear_failure())
    }
}

/// Whether a response of this status clears, unless told otherwise: 2xx and 3xx.
pub(crate) fn clears(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// Runs all that a response has to say. What the store does not acknowledge waits in the journal.
pub(in crate::http) async fn run_all(manager: &CacheManager, item: &str, invalidations: Vec<Invalidation>) -> Told {
    let mut told = Told::default();
    for invalidation in invalidations {
        let on_clear_failure = invalidation.on_clear_failure(manager);
        told.note(item, invalidation.run(manager, item).await, on_clear_failure);
    }
    told
}

/// The tags of the groups that a response makes wrong, by its own word (RFC 9875 section 3): of one to a safe method, or of
/// a failure, none. The field is taken out, because it is meant for this cache, unless it is to go on to others.
pub(in crate::http) fn take_groups(
    manager: &CacheManager,
    method: &Method,
    status: StatusCode,
    headers: &mut HeaderMap,
) -> Option<Invalidation> {
    let tags = groups::names(headers, &groups::CACHE_GROUP_INVALIDATION);
    if !manager.forwards_groups() {
        headers.remove(groups::CACHE_GROUP_INVALIDATION);
    }
    let makes_wrong = !method.is_safe() && clears(status) && !tags.is_empty();
    makes_wrong.then(|| Invalidation { tags, ..Invalidation::default() })
}

/// Runs a write and then its clears; what is `durable` of them is recorded before. A client that hangs up does not stop either: a write that has happened while its
/// clears have not would leave wrong responses behind.
pub async fn run_invalidating(
    request: HttpRequest,
    item: &'static str,
    tenant_bound: bool,
    durable: Vec<Invalidation>,
    run: impl FnOnce() -> LocalBoxFuture<'static, (HttpResponse, Vec<Invalidation>)> + 'static,
) -> HttpResponse {
    let Some(manager) = manager_of(&request) else {
        log::error!("{item} is refused, because its clears would be lost: {MISSING}");
        return HttpResponse::InternalServerError().body(MISSING);
    };
    if let Some(refusal) = refusal(manager, request.head(), tenant_bound) {
        return refusal;
    }
    let manager = match manager.for_request(request.head()) {
        Ok(manager) => manager,
        Err(error) => return bad_request(error.to_string()),
    };
    manager.learn_route(item, &request);
    let method = request.method().clone();
    // The handler on the heap by itself, so that the rest is compiled once and not for each of them.
    joined(actix_web::rt::spawn(write(manager, method, item, durable, run()))).await
}

async fn write(
    manager: CacheManager,
    method: Method,
    item: &'static str,
    durable: Vec<Invalidation>,
    run: LocalBoxFuture<'static, (HttpResponse, Vec<Invalidation>)>,
) -> HttpResponse {
    let intent = match intend(&manager, item, &durable).await {
        Ok(intent) => intent,
        Err(refusal) => return refusal,
    };
    let (mut response, mut invalidations) = run.await;
    let status = response.status();
    invalidations.extend(take_groups(&manager, &method, status, response.headers_mut()));
    // Nobody knows what a handler has done that fails. If it panics, what it was about to clear is cleared when it is due.
    if status.is_server_error() {
        invalidations.extend(durable);
    }
    let told = run_all(&manager, item, invalidations).await;
    if let Some(intent) = intent.filter(|_| !told.waits) {
        intent.withdraw();
    }
    if let Some(instead) = told.instead() {
        return instead;
    }
    token::tell_response(&manager, &mut response, told.token.as_ref());
    response
}

/// Records what a write is about to clear; `Err` is the response of one that must not run without that.
async fn intend(manager: &CacheManager, item: &str, durable: &[Invalidation]) -> Result<Option<Intent>, HttpResponse> {
    let targets: Vec<Target> = durable.iter().flat_map(|invalidation| invalidation.targets(manager)).collect();
    if targets.is_empty() {
        return Ok(None);
    }
    let settle =
        durable.iter().map(|invalidation| invalidation.settle.max(manager.settle_of(invalidation.event.as_ref())));
    let settle = settle.max().unwrap_or_default();
    match manager.settling(settle).intend(targets).await {
        Ok(intent) => Ok(Some(intent)),
        Err(error) => {
            let must = |invalidation: &Invalidation| invalidation.on_clear_failure(manager) == OnClearFailure::Error;
            if durable.iter().any(must) {
                log::error!("{item} does not run, because what it would clear cannot be recorded: {error}");
                return Err(HttpResponse::ServiceUnavailable().body(NOT_RECORDED));
            }
            log::error!(
                "{item} runs, and if this process dies before its clear, no other node clears, because it cannot be recorded: {error}"
            );
            Ok(None)
        }
    }
}

/// Waits for a task; its panic goes on here.
pub(in crate::http) async fn joined<T>(task: actix_web::rt::task::JoinHandle<T>) -> T {
    match task.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Nobody cancels the task but the runtime when it ends, and then this future is not polled again.
            Err(_) => std::future::pending().await,
        },
    }
}
