use cache_middleware::CacheKey;

#[derive(CacheKey)]
enum Kind {
    #[cache_key(skip)]
    One(u64),
}

fn main() {}
