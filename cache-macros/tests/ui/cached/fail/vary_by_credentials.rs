use actix_web::{get, web};
use cache_middleware::cached;

#[get("/{id}")]
#[cached(ttl = "5m", vary = ["Cookie", "x-api-key"])]
async fn handler(id: web::Path<u64>) -> String {
    format!("{id}")
}

fn main() {
    // The handler itself is still there: the mistake is the only error.
    let _ = actix_web::App::new().service(handler);
}
