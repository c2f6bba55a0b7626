use cache_middleware::CacheEvent;

#[derive(CacheEvent)]
#[cache_event("item.updated")]
struct Updated(u64);

fn main() {}
