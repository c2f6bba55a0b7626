use actix_web::web;
use cache_middleware::{CacheManager, cached};

#[cached(ttl = "5m")]
async fn search(_cache: &CacheManager, query: web::Query<String>) -> String {
    query.into_inner()
}

fn main() {
    let _ = search;
}
