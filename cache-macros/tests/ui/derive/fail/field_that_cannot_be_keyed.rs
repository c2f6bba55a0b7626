use cache_middleware::CacheKey;

struct Opaque;

#[derive(CacheKey)]
struct User {
    opaque: Opaque,
}

fn main() {}
