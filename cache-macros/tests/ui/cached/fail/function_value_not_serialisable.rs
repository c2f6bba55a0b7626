use cache_middleware::{CacheManager, cached};

struct Opaque;

#[cached(ttl = "5m")]
async fn opaque(_cache: &CacheManager) -> Opaque {
    Opaque
}

fn main() {
    let _ = opaque;
}
