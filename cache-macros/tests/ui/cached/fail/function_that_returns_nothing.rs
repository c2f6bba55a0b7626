use cache_middleware::{CacheManager, cached};

#[cached(ttl = "5m")]
async fn nothing(_cache: &CacheManager) {}

fn main() {
    let _ = nothing;
}
