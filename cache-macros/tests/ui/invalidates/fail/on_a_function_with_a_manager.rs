use cache_middleware::{CacheManager, invalidates};

#[invalidates(tags = ["a"])]
async fn change(_cache: &CacheManager) {}

fn main() {
    let _ = change;
}
