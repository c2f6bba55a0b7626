//! Writes: what a successful response to an unsafe method makes wrong is cleared before it leaves (RFC 9111 section 4.4).

pub(in crate::http) mod invalidate;

use std::rc::Rc;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorBadRequest, InternalError};
use actix_web::{Error, HttpRequest, HttpResponse};

use self::invalidate::{Told, clears, joined};
use crate::http::exchange::call;
use crate::http::field::groups;
use crate::http::request::target::Target;
use crate::http::request::token;
use crate::manager::CacheManager;
use crate::store::Target as ClearTarget;
use crate::tag::Tag;

/// By which tags the groups of a response are known (RFC 9875).
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum Grouped {
    /// By their names: the service is one origin.
    ByName,
    /// By origin and name: what is behind may be many.
    ByOrigin,
}

impl Grouped {
    /// `None`: of an origin that is none, and has nothing stored.
    pub(in crate::http) fn tag(self, target: Option<&Target>, group: String) -> Option<String> {
        match self {
            Self::ByName => Some(group),
            Self::ByOrigin => target.map(|target| target.tag_of_group(&group)),
        }
    }
}

/// Runs a write and then its clears, to the end, even if the client hangs up: the target, what `Location` and
/// `Content-Location` name of the same origin, and the groups that the response names.
pub(in crate::http) async fn run_write<S, B>(
    manager: &CacheManager,
    service: Rc<S>,
    request: ServiceRequest,
    grouped: Grouped,
) -> Result<(HttpRequest, HttpResponse), Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let manager = manager.for_request(request.head()).map_err(|error| ErrorBadRequest(error.to_string()))?;
    let target = Target::of(&request, manager.current_tenant(), None, None, 0).ok();
    let task = actix_web::rt::spawn(async move {
        match call(&*service, request).await {
            Ok((request, mut response)) => {
                clear_after(&manager, target.as_ref(), grouped, &mut response).await;
                Ok((request, response))
            }
            // A redirect may be made as an error, and is a success all the same. Some errors give their response only once.
            Err(error) if clears(error.as_response_error().status_code()) => {
                let mut response = error.error_response();
                clear_after(&manager, target.as_ref(), grouped, &mut response).await;
                Err(InternalError::from_response(error, response).into())
            }
            Err(error) => Err(error),
        }
    });
    joined(task).await
}

/// Clears what a response to a write makes wrong.
async fn clear_after(manager: &CacheManager, target: Option<&Target>, grouped: Grouped, response: &mut HttpResponse) {
    if clears(response.status()) {
        let mut targets = target.map(|target| target.cleared_by(response.headers())).unwrap_or_default();
        let groups = groups::names(response.headers(), &groups::CACHE_GROUP_INVALIDATION);
        for group in groups.into_iter().filter_map(|group| grouped.tag(target, group)) {
            match Tag::new(&group) {
                Ok(tag) => targets.push(ClearTarget::Tag(manager.current_tenant().cloned(), tag)),
                // Nothing was stored with it either.
                Err(error) => log::warn!("a cache group clears nothing: {error}"),
            }
        }
        if !targets.is_empty() {
            let mut told = Told::default();
            told.note("a write", manager.clear(targets).await, manager.on_clear_failure());
            if let Some(instead) = told.instead() {
                *response = instead;
                return;
            }
            token::tell_response(manager, response, told.token.as_ref());
        }
    }
    if !manager.forwards_groups() {
        response.headers_mut().remove(groups::CACHE_GROUP_INVALIDATION);
    }
}
