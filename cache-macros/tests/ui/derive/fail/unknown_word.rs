use cache_middleware::CacheKey;

#[derive(CacheKey)]
#[cache_key(identify)]
struct User {
    #[cache_key(skipp)]
    id: u64,
}

fn main() {}
