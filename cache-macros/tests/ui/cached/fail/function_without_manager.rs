use cache_middleware::cached;

#[cached(ttl = "5m")]
async fn doubled(number: u64) -> String {
    (number * 2).to_string()
}

fn main() {
    let _ = doubled;
}
