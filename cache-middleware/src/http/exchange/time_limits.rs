//! Time limits: who waits for a handler, and how long. What is late goes on in the background if others can use it.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpRequest, HttpResponse};
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, timeout_at};

use super::refresh::stand_in;
use super::{answered_twice, call};
use crate::manager::{Background, Missed};
use crate::outcome::TimeLimit;
use crate::policy::TimeLimits;

/// How waiting for a flight has ended.
pub(in crate::http) enum Timely<T> {
    Landed(T),
    /// A limit is over, after so long.
    Late(TimeLimit, Duration),
}

/// Waits for a flight within the limits of its policy. It is on the heap once, because thousands may wait for one. `for_others` gives the right to go on, if the handler runs by then and
/// others than the caller can use what it brings.
pub(in crate::http) async fn within<T: 'static>(
    limits: TimeLimits,
    missed: &Missed,
    for_others: impl Fn() -> Option<Background>,
    mut flying: LocalBoxFuture<'static, T>,
) -> Timely<T> {
    if !limits.any() {
        return Timely::Landed(flying.await);
    }
    let began = Instant::now();
    for (limit, after) in [(TimeLimit::Soft, limits.soft), (TimeLimit::Hard, limits.hard)] {
        let Some(after) = after else { continue };
        if let Ok(landed) = timeout_at(began + after, &mut flying).await {
            return Timely::Landed(landed);
        }
        let waited = began.elapsed();
        if limit == TimeLimit::Hard || missed.stale_after(waited).is_some() {
            // Others wait for it, or ask next. A run for this caller alone ends here.
            if let Some(right) = for_others() {
                actix_web::rt::spawn(right.run(flying));
            }
            return Timely::Late(limit, waited);
        }
    }
    Timely::Landed(flying.await)
}

/// Waits for a run that is for its caller alone, at most for the hard limit: then it ends.
pub(in crate::http) async fn at_most<T>(limits: TimeLimits, run: impl Future<Output = T>) -> Option<T> {
    match limits.hard {
        Some(hard) => tokio::time::timeout(hard, run).await.ok(),
        None => Some(run.await),
    }
}

/// Runs a wrapped service within the hard limit; without its response if that is over.
pub(in crate::http) async fn call_in_time<S, B>(
    limits: TimeLimits,
    service: &S,
    request: ServiceRequest,
) -> Result<(HttpRequest, Option<HttpResponse>), Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    let leaving = limits.hard.map(|_| stand_in(&request));
    match (at_most(limits, call(service, request)).await, leaving) {
        (Some(parts), _) => parts.map(|(request, response)| (request, Some(response))),
        (None, Some(leaving)) => Ok((leaving, None)),
        (None, None) => Err(answered_twice()),
    }
}
