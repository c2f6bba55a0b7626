use actix_web::web;
use cache_middleware::cached;

#[cached(ttl = "5m")]
fn handler(id: web::Path<u64>) -> String {
    format!("{id}")
}

fn main() {
    let _ = handler;
}
