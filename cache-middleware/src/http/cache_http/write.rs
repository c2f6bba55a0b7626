//! Writes: what a successful response to an unsafe method makes wrong is cleared before it leaves (RFC 9111 section 4.4).

use std::rc::Rc;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::ErrorBadRequest;

use super::layer::Layer;
use crate::http::cache_response::call;
use crate::http::exchange::Answer;
use crate::http::field::groups;
use crate::http::invalidate::{clears, joined};
use crate::http::target::Target;
use crate::http::token;
use crate::manager::CacheManager;
use crate::outcome::Outcome;
use crate::store::Target as ClearTarget;
use crate::tag::Tag;

impl Layer {
    /// Runs a write and then its clears, to the end, even if the client hangs up.
    pub(super) async fn write<S, B>(
        self: Rc<Self>,
        service: Rc<S>,
        request: ServiceRequest,
    ) -> Result<ServiceResponse<BoxBody>, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let manager = self.settings.manager.for_request(request.head());
        let manager = manager.map_err(|error| ErrorBadRequest(error.to_string()))?;
        let target = Target::of(&request, manager.current_tenant(), None, 0).ok();
        let task = actix_web::rt::spawn(async move {
            let (request, mut response) = call(&*service, request).await?;
            if let Some(target) = target.filter(|_| clears(response.status())) {
                let mut targets = target.cleared_by(response.headers());
                for group in groups::names(response.headers(), &groups::CACHE_GROUP_INVALIDATION) {
                    match Tag::new(&target.tag_of_group(&group)) {
                        Ok(tag) => targets.push(ClearTarget::Tag(manager.current_tenant().cloned(), tag)),
                        // Nothing was stored with it either.
                        Err(error) => log::warn!("a cache group clears nothing: {error}"),
                    }
                }
                clear(&manager, targets, &mut response).await;
            }
            Ok(self.finish(request, Answer::passed(response, Outcome::Method), None))
        });
        joined(task).await
    }
}

/// What cannot be acknowledged is kept and retried by the manager; the response leaves as it is, because the write has
/// happened.
async fn clear(manager: &CacheManager, targets: Vec<ClearTarget>, response: &mut actix_web::HttpResponse) {
    match manager.clear(targets).await {
        Ok(receipt) => token::tell_response(manager, response, receipt.token().as_ref()),
        Err(error) => log::error!("the clear of a write is not acknowledged yet and will be retried: {error}"),
    }
}
