use actix_web::web;
use cache_middleware::cached;

#[cached(ttl = "5m", tags = ["item:{out}"])]
async fn handler(out: web::Path<u64>) -> String {
    out.to_string()
}

fn main() {}
