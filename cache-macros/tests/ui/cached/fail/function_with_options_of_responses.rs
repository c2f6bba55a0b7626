use cache_middleware::{CacheManager, cached};

#[cached(ttl = "5m", tenant_bound)]
async fn doubled(_cache: &CacheManager, number: u64) -> u64 {
    number * 2
}

#[cached(ttl = "5m", client_ttl = "1m")]
async fn tripled(_cache: &CacheManager, number: u64) -> u64 {
    number * 3
}

fn main() {}
