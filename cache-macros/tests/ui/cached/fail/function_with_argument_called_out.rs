use cache_middleware::{CacheManager, cached};

#[cached(ttl = "5m", tags = ["menu:{out}"])]
async fn price(cache: &CacheManager, out: u64) -> u64 {
    let _ = cache;
    out
}

#[cached(ttl = "5m", when = out > 1)]
async fn size(cache: &CacheManager, id: u64) -> u64 {
    let _ = cache;
    id
}

fn main() {}
