//! The routes: reads with `#[cached]`, writes with `#[invalidates]`.

mod debug;
mod schools;
mod sessions;
mod users;

use actix_web::web::{ServiceConfig, scope};

/// Mounts all of them.
pub(crate) fn mount(config: &mut ServiceConfig) {
    config.service(debug::counters).service(debug::coherence).service(
        scope("/api/v1")
            .service(sessions::list)
            .service(sessions::create)
            .service(sessions::detail)
            .service(sessions::update)
            .service(sessions::delete)
            .service(sessions::analytics)
            .service(users::me)
            .service(users::update_me)
            .service(schools::detail)
            .service(schools::roster),
    );
}
