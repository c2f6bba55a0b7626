use cache_middleware::CacheEvent;

#[derive(CacheEvent)]
struct Updated {
    id: u64,
}

fn main() {}
