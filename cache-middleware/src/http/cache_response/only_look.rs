//! What is looked up and fills nothing.

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpRequest};

use crate::http::exchange::prepared::Prepared;
use crate::http::exchange::refresh::stand_in;
use crate::http::exchange::time_limits::at_most;
use crate::http::exchange::{Answer, answered_twice, call};

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
        Err(outcome) => {
            let limits = prepared.limits();
            let leaving = limits.hard.map(|_| stand_in(&request));
            match (at_most(limits, call(service, request)).await, leaving) {
                (None, Some(leaving)) => Ok((leaving, Answer::timed_out(outcome.forward()))),
                (None, None) => Err(answered_twice()),
                (Some(parts), _) => {
                    let (request, response) = parts?;
                    Ok((request, Answer::from_handler(response, outcome, &prepared.asked)))
                }
            }
        }
    }
}
