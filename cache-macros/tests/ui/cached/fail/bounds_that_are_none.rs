use cache_middleware::{CacheManager, cached};

#[cached(ttl = "5m", adaptive_ttl = "10m..10s")]
async fn wrong_way_round(cache: &CacheManager) -> String {
    String::new()
}

#[cached(ttl = "5m", adaptive_ttl = "10s")]
async fn one_bound(cache: &CacheManager) -> String {
    String::new()
}

#[cached(ttl = "5m", adaptive_ttl = "10s..1m")]
async fn begins_outside(cache: &CacheManager) -> String {
    String::new()
}

fn main() {}
