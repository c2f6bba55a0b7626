use cache_middleware::cached;

#[cached(ttl = "5m", soft_timeout = "200ms")]
async fn handler() -> &'static str {
    "ok"
}

fn main() {}
