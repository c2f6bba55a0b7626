use cache_middleware::cached;

#[cached(ttl = "5m")]
struct Handler;

fn main() {
    let _ = Handler;
}
