//! Finds the manager that an app was given.

use actix_web::{HttpRequest, web};

use crate::manager::CacheManager;

/// What to do about a missing manager.
pub(super) const MISSING: &str =
    "the app holds no CacheManager: add `.app_data(cache.clone())` to the App (or to the scope of this route)";

/// The manager in the app data, by itself or in a `web::Data`.
pub(super) fn manager_of(request: &HttpRequest) -> Option<&CacheManager> {
    request.app_data::<CacheManager>().or_else(|| request.app_data::<web::Data<CacheManager>>().map(web::Data::get_ref))
}
