//! What is looked up and fills nothing.

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpRequest};

use crate::http::exchange::Answer;
use crate::http::exchange::prepared::Prepared;
use crate::http::exchange::time_limits::call_in_time;

/// Answers what does not fill.
pub(super) async fn only_look<S, B>(
    prepared: &Prepared,
    service: &S,
    request: ServiceRequest,
) -> Result<(HttpRequest, Answer), Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    match prepared.peek().await {
        Ok(hit) => Ok((request.into_parts().0, prepared.hit(hit))),
        Err(_) if prepared.asked.only_if_cached => Ok((request.into_parts().0, Answer::nothing_stored())),
        Err(outcome) => Ok(match call_in_time(prepared.limits(), service, request).await? {
            (request, Some(response)) => (request, Answer::from_handler(response, outcome, &prepared.asked)),
            (request, None) => (request, Answer::timed_out(outcome.forward())),
        }),
    }
}
