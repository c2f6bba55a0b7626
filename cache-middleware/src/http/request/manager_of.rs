//! Finds the manager that an app was given.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use crate::key::{CacheKey, KeyWriter};
use crate::manager::CacheManager;

/// What to do about a missing manager.
pub(in crate::http) const MISSING: &str = "the app holds no CacheManager: add `.app_data(cache.clone())` to the App (or to the scope of this route), where `cache` is what \
     `build().await?` has given";

/// The manager in the app data, by itself or in a `web::Data`.
pub(in crate::http) fn manager_of(request: &HttpRequest) -> Option<&CacheManager> {
    request.app_data::<CacheManager>().or_else(|| request.app_data::<web::Data<CacheManager>>().map(web::Data::get_ref))
}

/// A handler that needs the manager takes it by value: the handle of the request's tenant, if there is one.
impl FromRequest for CacheManager {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match manager_of(request) {
            Some(manager) => manager.for_request(request.head()).map_err(actix_web::error::ErrorBadRequest),
            None => {
                log::error!("{} asks for the manager, but {MISSING}", request.path());
                Err(actix_web::error::ErrorInternalServerError(MISSING))
            }
        })
    }
}

/// The manager tells no callers apart.
impl CacheKey for CacheManager {
    fn write_key(&self, _: &mut KeyWriter) {}
}
