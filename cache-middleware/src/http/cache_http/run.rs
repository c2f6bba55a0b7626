//! The handler's run: what it confirms, what it fails at, and what a HEAD of it teaches.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload as NoPayload, Service, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{Error, HttpRequest, HttpResponse};

use super::layer::{BASE, Exchange, Layer, Stored};
use crate::entry::{Entry, MarkRef, Payload, StoredResponse};
use crate::http::exchange::waiting::Waiting;
use crate::http::exchange::{Parts, call, failed};
use crate::http::field::date::Date;
use crate::http::field::groups;
use crate::http::request::layers::was_cached_inside;
use crate::http::request::{Asked, Fills};
use crate::http::response::draft::Judge;
use crate::http::response::freshness::Arrival;
use crate::http::response::tags::{CacheTags, parse_all};
use crate::http::response::{self, is_public, validate};
use crate::http::write::Grouped;
use crate::key::Key;
use crate::manager::{Draft, Judged, Missed, Outdated, Served, Stale};
use crate::outcome::RefusalReason;
use crate::tag::{MAX_TAGS, Mark};
use crate::time::Moment;

/// As many as two responses may have, and those of the cache's own beside them.
const MOST_MARKS: usize = 2 * MAX_TAGS + 16;

/// All that a flight needs, which may go on when nobody waits for it any more.
pub(super) struct Flying {
    pub(super) layer: Rc<Layer>,
    pub(super) exchange: Rc<Exchange>,
    pub(super) waiting: Rc<Waiting>,
}

impl Flying {
    /// Answers by somebody's run of the handler.
    pub(super) async fn fly<S, B>(
        self,
        service: Rc<S>,
        key: Key,
        variant: bool,
        missed: Missed,
    ) -> Served<Option<Parts>, Stored>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let Self { layer, exchange, waiting } = self;
        let asking = layer.asking(&exchange, &key, variant);
        let accept = |entry: &Entry| layer.accept(&exchange, &key, entry);
        let run = async |stale| layer.run(&exchange, &*service, &waiting, stale).await;
        exchange.manager.fly(&asking, accept, missed, run).await
    }
}

impl Layer {
    pub(super) fn tags(&self, request: &ServiceRequest) -> Vec<String> {
        self.settings.options.tags.as_ref().map(|tags| tags(request)).unwrap_or_default()
    }

    /// Runs the handler, which may confirm a stale entry.
    pub(super) async fn run<S, B>(
        &self,
        exchange: &Exchange,
        service: &S,
        waiting: &Waiting,
        stale: Option<Stale>,
    ) -> Judged<Option<Parts>>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let stored = stale.as_ref().and_then(|stale| Some((stale, response_in(&stale.entry)?)));
        let may_stand_in = stored.is_some() || self.rules.route.limits.any();
        let Some(mut request) = waiting.take_for_run(may_stand_in) else {
            return Judged::Refuse(None, RefusalReason::HandlerError);
        };
        validate::remove_conditions(request.headers_mut());
        // HTTP/2 announces no body (R7): what fills an entry has none.
        request.set_payload(NoPayload::None);
        let asked_back = stored.is_some_and(|(_, stored)| validate::add_conditions(request.headers_mut(), stored));
        let tags = self.tags(&request);
        let began = Moment::now();
        let (request, response) = match call(service, request).await {
            Ok(parts) => parts,
            Err(error) => return failed(error, &self.rules),
        };
        let arrival = Arrival { at: Date::now(), delay: Moment::now().since(began) };
        let status = response.status();
        if let Some(failure) = response::failure(status, &self.rules) {
            return Judged::Failed(Some(Ok((request, response))), failure);
        }
        if was_cached_inside(&request, exchange.around) {
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

/// What cleared an entry before still clears what it has become. `false` if that is too much: an origin may name other
/// groups with each confirmation.
fn keep_marks(draft: &mut Draft, entry: &Entry) -> bool {
    let missing = |mark: &MarkRef<'_>| !draft.marks.iter().any(|has| MarkRef::of(has) == *mark);
    let missing: Vec<Mark> = entry.marks.iter().filter(missing).map(MarkRef::to_mark).collect();
    draft.marks.extend(missing);
    draft.marks.len() <= MOST_MARKS
}
