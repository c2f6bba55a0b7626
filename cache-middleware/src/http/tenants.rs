//! Routes that are a tenant's (promise P7).

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;

use crate::manager::CacheManager;

/// The refusal of a request to a route that runs for tenants alone, if the request names none.
pub(super) fn refusal(manager: &CacheManager, head: &RequestHead, tenant_bound: bool) -> Option<HttpResponse> {
    if !tenant_bound {
        return None;
    }
    match manager.for_request(head) {
        Ok(manager) if manager.current_tenant().is_some() => None,
        Ok(_) => Some(HttpResponse::BadRequest().body("this route is for tenants, and the request names none")),
        Err(error) => Some(HttpResponse::BadRequest().body(error.to_string())),
    }
}
