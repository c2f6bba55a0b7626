//! Routes that are a tenant's (promise P7).

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;
use actix_web::http::header::ContentType;

use crate::manager::CacheManager;

pub(in crate::http) const NO_TENANT: &str = "this route is for tenants, and the request names none";

/// The refusal of a request to a route that runs for tenants alone, if the request names none.
pub(in crate::http) fn refusal(manager: &CacheManager, head: &RequestHead, tenant_bound: bool) -> Option<HttpResponse> {
    if !tenant_bound {
        return None;
    }
    match manager.for_request(head) {
        Ok(manager) if manager.current_tenant().is_some() => None,
        Ok(_) => Some(bad_request(NO_TENANT)),
        Err(error) => Some(bad_request(error.to_string())),
    }
}

/// The 400 for a request whose tenant is none, as the errors of extractors look.
pub(in crate::http) fn bad_request(why: impl Into<String>) -> HttpResponse {
    HttpResponse::BadRequest().content_type(ContentType::plaintext()).body(why.into())
}
