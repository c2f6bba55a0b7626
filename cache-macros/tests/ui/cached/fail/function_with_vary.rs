use cache_middleware::{CacheManager, cached};

#[cached(ttl = "5m", vary = ["accept-language"])]
async fn doubled(_cache: &CacheManager, number: u64) -> u64 {
    number * 2
}

fn main() {
    let _ = doubled;
}
