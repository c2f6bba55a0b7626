//! The handler's run: what it confirms, what it fails at, and what a HEAD of it teaches.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload as NoPayload, Service, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{Error, HttpRequest, HttpResponse};

use super::layer::{BASE, Exchange, Layer, Parts};
use super::refresh::stand_in;
use crate::entry::{Entry, Payload, StoredResponse};
use crate::http::cache_response::call;
use crate::http::draft::Judge;
use crate::http::field::date::Date;
use crate::http::field::groups;
use crate::http::freshness::Arrival;
use crate::http::request::{Asked, Fills};
use crate::http::response::is_public;
use crate::http::tags::{CacheTags, parse_all};
use crate::http::write::Grouped;
use crate::http::{respond, validate};
use crate::key::Key;
use crate::manager::{Draft, Judged, Outdated, Stale};
use crate::outcome::RefusalReason;
use crate::tag::{MAX_TAGS, Mark};
use crate::time::Moment;

/// As many as two responses may have, and those of the cache's own beside them.
const MOST_MARKS: usize = 2 * MAX_TAGS + 16;

impl Layer {
    /// Runs the handler, which may confirm a stale entry, or fail where one may stand in.
    pub(super) async fn run<S, B>(
        &self,
        exchange: &Exchange,
        service: &S,
        request: &RefCell<Option<ServiceRequest>>,
        stale: Option<Stale>,
    ) -> Judged<Option<Parts>>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let Some(mut request) = request.take() else { return Judged::Refuse(None, RefusalReason::HandlerError) };
        validate::remove_conditions(request.headers_mut());
        // HTTP/2 announces no body (R7): what fills an entry has none.
        request.set_payload(NoPayload::None);
        let stored = stale.as_ref().and_then(|stale| Some((stale, response_in(&stale.entry)?)));
        let asked_back = stored.is_some_and(|(_, stored)| validate::add_conditions(request.headers_mut(), stored));
        // An error takes the request with it.
        let stand_in = stored.filter(|(stale, _)| stale.serves_if_error()).map(|_| stand_in(&request));
        let tags = self.settings.tags.as_ref().map(|tags| tags(&request)).unwrap_or_default();
        let (began, base) = (Moment::now(), exchange.target.key(BASE, &exchange.headers));
        let store = exchange.manager.store();
        let asked_at = store.now_ms(&base);
        // What may stand in is as old as it is when the handler has failed.
        let fallback = || {
            let waited = Duration::from_millis(store.now_ms(&base).saturating_sub(asked_at));
            let (stale, stored) = stored?;
            let stale = stale.after(waited);
            stale.serves_if_error().then(|| (aged(&stale, stored), stale.age))
        };
        let (request, response) = match call(service, request).await {
            Ok(parts) => parts,
            Err(error) => {
                let status = error.as_response_error().status_code();
                let instead = stand_in.filter(|_| is_failure(status)).zip(fallback());
                return match instead {
                    Some((request, (Some(response), age))) => {
                        Judged::StaleIfError(Some(Ok((request, response))), status.as_u16(), age)
                    }
                    _ => Judged::Refuse(Some(Err(error)), RefusalReason::HandlerError),
                };
            }
        };
        let arrival = Arrival { at: Date::now(), delay: Moment::now().since(began) };
        let status = response.status();
        if is_failure(status)
            && let Some((Some(instead), age)) = fallback()
        {
            return Judged::StaleIfError(Some(Ok((request, instead))), status.as_u16(), age);
        }
        if respond::was_cached_inside(&request, exchange.depth) {
            return Judged::Refuse(Some(Ok((request, response))), RefusalReason::CachedInside);
        }
        let confirmed =
            stored.filter(|_| asked_back && status == StatusCode::NOT_MODIFIED).and_then(|(stale, stored)| {
                Some((stale, stored, validate::merge(stored, response.headers(), &self.http)?))
            });
        let (confirmed, response) = match confirmed {
            Some((stale, stored, merged)) => {
                let refused = if !self.is_for_everybody(exchange, response.headers()) {
                    Some(RefusalReason::Credentials)
                } else if !validate::is_about_stored(stored, response.headers()) {
                    Some(RefusalReason::ValidatorMismatch)
                } else {
                    None
                };
                if let Some(reason) = refused {
                    return Judged::Refuse(Some(Ok((request, merged))), reason);
                }
                (Some(stale), merged)
            }
            None => (None, response),
        };
        match self.draft(exchange, &exchange.asked, response, arrival, tags, &request).await {
            Ok((response, mut draft)) => {
                if let Some(stale) = confirmed {
                    draft.revalidated = true;
                    if !keep_marks(&mut draft, &stale.entry) {
                        return Judged::Refuse(Some(Ok((request, response))), RefusalReason::TooManyTags);
                    }
                }
                Judged::Store(Some(Ok((request, response))), Box::new(draft))
            }
            Err((response, reason)) => Judged::Refuse(Some(Ok((request, response))), reason),
        }
    }

    async fn draft(
        &self,
        exchange: &Exchange,
        asked: &Asked,
        response: HttpResponse,
        arrival: Arrival,
        tags: Vec<String>,
        request: &HttpRequest,
    ) -> Result<(HttpResponse, Draft), (HttpResponse, RefusalReason)> {
        let grouped = groups::names(response.headers(), &groups::CACHE_GROUPS);
        let grouped = grouped.into_iter().filter_map(|group| Grouped::ByOrigin.tag(Some(&exchange.target), group));
        let tags = parse_all(tags.into_iter().chain(CacheTags::of(request)).chain(grouped));
        let base = exchange.target.key(BASE, &exchange.headers);
        let variant = |names: &[Arc<str>]| exchange.target.key(names, &exchange.headers);
        let judge = Judge {
            manager: &exchange.manager,
            asked,
            rules: &self.rules,
            identity: exchange.identity,
            route: exchange.route.as_deref(),
            variant: Some((&base, &variant)),
            coding: None,
        };
        judge.draft(request, response, arrival, tags).await
    }

    /// Whether what a response says is not for its caller alone: what is stored already does not vouch for it (R4).
    fn is_for_everybody(&self, exchange: &Exchange, headers: &HeaderMap) -> bool {
        let shown = exchange.asked.has_credentials() && !self.is_for_all(exchange);
        !shown || is_public(headers, &self.rules.freshness)
    }

    /// Brings a stale entry up to date by the response to a HEAD (RFC 9111 section 4.3.5): by its header fields, or by
    /// nothing, if it is about other bytes.
    pub(super) async fn learn(
        &self,
        exchange: &Exchange,
        key: &Key,
        outdated: Outdated,
        (head, length): (&HeaderMap, Option<u64>),
        arrival: Arrival,
        request: &HttpRequest,
    ) {
        if !self.is_for_everybody(exchange, head) {
            return;
        }
        let entry = outdated.entry.clone();
        let Some(stored) = response_in(&entry) else { return };
        let merged = match validate::is_about(stored, head, length) {
            Some(true) => validate::merge(stored, head, &self.http),
            Some(false) => None,
            None => return,
        };
        let draft = match merged {
            None => None,
            Some(merged) => {
                let asked = Asked { fills: Fills::Yes, ..exchange.asked.clone() };
                match self.draft(exchange, &asked, merged, arrival, Vec::new(), request).await {
                    Ok((_, mut draft)) => keep_marks(&mut draft, &entry).then_some(draft),
                    Err((_, reason)) if reason.is_of_request() => return,
                    Err(_) => None,
                }
            }
        };
        exchange.manager.update(&self.asking(exchange, key, false), outdated, draft).await;
    }
}

fn response_in(entry: &Entry) -> Option<&StoredResponse> {
    match &entry.payload {
        Payload::Response(stored) => Some(stored),
        Payload::Selector(_) | Payload::Value(_) => None,
    }
}

/// A stale response as it is served.
fn aged(stale: &Stale, stored: &StoredResponse) -> Option<HttpResponse> {
    let mut response = respond::response_of_stored(stored)?;
    respond::add_age(response.headers_mut(), stale.age);
    Some(response)
}

/// Statuses that a stale response may stand in for (RFC 5861 section 4).
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

/// What cleared an entry before still clears what it has become. `false` if that is too much: an origin may name other
/// groups with each confirmation.
fn keep_marks(draft: &mut Draft, entry: &Entry) -> bool {
    let missing: Vec<Mark> = entry.marks.iter().filter(|mark| !draft.marks.contains(mark)).cloned().collect();
    draft.marks.extend(missing);
    draft.marks.len() <= MOST_MARKS
}
