use actix_web::get;
use cache_middleware::cached;

#[get("/a")]
#[cached(ttl = "5m", max_variants = 0, max_entries = "many")]
async fn a() -> String {
    String::new()
}

fn main() {}
