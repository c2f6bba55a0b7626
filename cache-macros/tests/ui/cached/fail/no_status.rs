use actix_web::web;
use cache_middleware::cached;

#[cached(ttl = "5m", statuses = [], vary = ["Accept-Encoding"], compress = ["gzip"])]
async fn handler(id: web::Path<u64>) -> String {
    id.to_string()
}

fn main() {}
