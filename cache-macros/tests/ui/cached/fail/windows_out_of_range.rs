use cache_middleware::cached;

#[cached(ttl = "5m", stale = "soon", jitter = 1.5, early_refresh = "sometimes", stale_if_error = "1m", soft_timeout = "2s", hard_timeout = "1s")]
async fn handler() -> &'static str {
    "ok"
}

#[cached(ttl = "5m", hard_timeout = "1s")]
async fn function(cache: &cache_middleware::CacheManager) -> u8 {
    1
}

fn main() {}
