//! The page and its parts, as they are in this folder.

use actix_web::{HttpRequest, HttpResponse, web};

use super::Dashboard;

const PAGE: &str = include_str!("assets/page.html");
const SCRIPT: &str = include_str!("assets/app.js");
const STYLE: &str = include_str!("assets/style.css");

/// The page, with the address of its parts: as this application sees it, whether or not the browser's ends with a slash, unless another
/// was given.
pub(super) async fn page(request: HttpRequest, dashboard: web::Data<Dashboard>) -> HttpResponse {
    let path = dashboard.shared.public_path.as_deref().unwrap_or_else(|| request.path());
    // It stands in an attribute.
    let parts = path.split('/').map(crate::tag::escape);
    let base = format!("{}/", parts.collect::<Vec<_>>().join("/").trim_end_matches('/'));
    let clears = if dashboard.shared.clears { "yes" } else { "no" };
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(PAGE.replace("{base}", &base).replace("{clears}", clears))
}

pub(super) async fn script() -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(SCRIPT)
}

pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body(STYLE)
}
