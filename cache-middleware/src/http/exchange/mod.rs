//! What every way through the cache has in common: from a look-up to the response that leaves.

pub(in crate::http) mod prepared;
pub(in crate::http) mod refresh;
pub(in crate::http) mod time_limits;
pub(in crate::http) mod waiting;

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::{Error, HttpRequest, HttpResponse};

use crate::http::request::conditions::{answer_condition, answer_range};
use crate::http::request::{Asked, Fills};
use crate::http::response::{self, downstream, respond};
use crate::manager::{Hit, Judged};
use crate::outcome::{Forward, Outcome, RefusalReason};
use crate::policy::{Downstream, StoreRules};

/// What a wrapped service gave, and the request it gave it to.
pub(in crate::http) type Parts = Result<(HttpRequest, HttpResponse), Error>;

/// Has a wrapped service answer.
pub(in crate::http) async fn call<S, B>(
    service: &S,
    request: ServiceRequest,
) -> Result<(HttpRequest, HttpResponse), Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    Ok(service.call(request).await?.map_into_boxed_body().into_parts())
}

/// What an error of a wrapped service says, which takes the request with it.
pub(in crate::http) fn failed(error: Error, rules: &StoreRules) -> Judged<Option<Parts>> {
    match response::failure(error.as_response_error().status_code(), rules) {
        Some(failure) => Judged::Failed(Some(Err(error)), failure),
        None => Judged::Refuse(Some(Err(error)), RefusalReason::HandlerError),
    }
}

/// An entry is served without the run, and the run is what takes the request out.
pub(in crate::http) fn answered_twice() -> Error {
    actix_web::error::ErrorInternalServerError("a request was answered twice")
}

/// A response and how it came about.
pub(in crate::http) struct Answer {
    pub(in crate::http) response: HttpResponse,
    pub(in crate::http) outcome: Outcome,
    /// The age of the entry that it is from.
    pub(in crate::http) age: Option<Duration>,
    /// Whether it is whole, though the caller may want it only if it has changed, or a part of it: it is from an entry, or
    /// the handler was not shown what the caller wants.
    whole: bool,
}

impl Answer {
    /// From an entry.
    pub(in crate::http) fn from_hit(hit: Hit<HttpResponse>) -> Self {
        let mut response = hit.accepted;
        respond::add_age(response.headers_mut(), hit.age);
        Self { response, outcome: hit.outcome, age: Some(hit.age), whole: true }
    }

    /// From an entry whose policy says how long others may use it.
    pub(in crate::http) fn from_hit_of(hit: Hit<HttpResponse>, downstream: &Downstream, personal: bool) -> Self {
        let age = hit.age;
        let mut answer = Self::from_hit(hit);
        if downstream.client_ttl.is_some() || downstream.cdn_ttl.is_some() {
            downstream::renew_lifetimes(answer.response.headers_mut(), downstream, personal, age);
        }
        answer
    }

    /// From the handler, which saw the request as it is unless it was to fill an entry.
    pub(in crate::http) fn from_handler(response: HttpResponse, outcome: Outcome, asked: &Asked) -> Self {
        // A 304 would lose a cookie that is set.
        let whole = asked.fills == Fills::Yes && !response.headers().contains_key(header::SET_COOKIE);
        Self { response, outcome, age: None, whole }
    }

    /// A request that is not looked up.
    pub(in crate::http) fn passed(response: HttpResponse, outcome: Outcome) -> Self {
        Self { response, outcome, age: None, whole: false }
    }

    /// The 504 for a caller that wants what is stored or nothing (RFC 9111 section 5.2.1.7).
    pub(in crate::http) fn nothing_stored() -> Self {
        Self::passed(HttpResponse::GatewayTimeout().finish(), Outcome::OnlyIfCached)
    }

    /// The 504 of a handler that took too long.
    pub(in crate::http) fn timed_out(forward: Forward) -> Self {
        let response =
            HttpResponse::GatewayTimeout().body("the handler took longer than the hard timeout of its policy");
        Self::passed(response, Outcome::TimedOut { forward })
    }

    /// The response that leaves: what the caller wants of it, and what the cache did.
    pub(in crate::http) fn finish(self, asked: Option<&Asked>, status_header: bool) -> HttpResponse {
        let mut response = self.response;
        if let Some(asked) = asked.filter(|_| self.whole) {
            response = answer_range(answer_condition(response, &asked.conditions), &asked.conditions);
        }
        if status_header {
            respond::add_status(response.headers_mut(), &self.outcome);
        }
        response
    }
}
