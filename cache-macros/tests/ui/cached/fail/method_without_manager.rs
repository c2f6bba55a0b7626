use cache_middleware::cached;

struct Service;

impl Service {
    #[cached(ttl = "5m")]
    async fn doubled(&self, number: u64) -> u64 {
        number * 2
    }
}

fn main() {
    let _ = Service.doubled(1);
}
