//! The routes: reads with `#[cached]`, writes with `#[invalidates]`.

mod accounts;
mod crm;
mod debug;
mod pantry;
mod schools;
mod sessions;
mod users;

use actix_web::web::{ServiceConfig, scope};

pub(crate) use self::accounts::Tenants;
pub(crate) use self::pantry::Pantry;
use crate::observe;

/// Mounts all of them.
pub(crate) fn mount(config: &mut ServiceConfig) {
    config.service(debug::counters).service(debug::coherence).service(debug::hybrid);
    config.service(observe::metrics).service(observe::live).service(observe::ready);
    config.service(
        scope("/api/v1")
            .service(observe::cache_health)
            .service(sessions::list)
            .service(sessions::create)
            .service(sessions::detail)
            .service(sessions::update)
            .service(sessions::delete)
            .service(sessions::analytics)
            .service(users::me)
            .service(users::update_me)
            .service(schools::detail)
            .service(schools::roster)
            // Behind those whose first word could be a tenant's name.
            .service(accounts::login)
            .service(accounts::logout)
            .service(accounts::me)
            .service(accounts::show_config)
            .service(accounts::set_config)
            .service(accounts::show_project),
    );
    config.service(
        scope("/api")
            .service(crm::create_lead)
            .service(crm::validate)
            .service(crm::check)
            .service(crm::show_user)
            .service(crm::show_profile)
            .service(crm::permission)
            .service(pantry::show_menu)
            .service(pantry::show_item)
            .service(pantry::update_item)
            .service(pantry::update_category)
            .service(pantry::view)
            .service(pantry::order_status)
            .service(pantry::set_order_status),
    );
}
