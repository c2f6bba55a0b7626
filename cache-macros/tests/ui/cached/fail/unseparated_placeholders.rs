use actix_web::{get, web};
use cache_middleware::cached;

#[get("/{org}/{report}")]
#[cached(ttl = "5m", key = "report:{path.0}-{path.1}")]
async fn handler(path: web::Path<(String, String)>) -> String {
    format!("{path:?}")
}

fn main() {
    let _ = actix_web::App::new().service(handler);
}
