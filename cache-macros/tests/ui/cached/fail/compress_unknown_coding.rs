use actix_web::get;
use cache_middleware::cached;

#[get("/a")]
#[cached(ttl = "5m", compress = ["brotli", "deflate"])]
async fn a() -> String {
    String::new()
}

#[get("/b")]
#[cached(ttl = "5m", compress = [])]
async fn b() -> String {
    String::new()
}

#[get("/twice")]
#[cached(ttl = "5m", compress = ["gzip", "gzip"])]
async fn twice() -> String {
    String::new()
}

#[get("/c")]
#[cached(ttl = "5m", compress = "br")]
async fn c() -> String {
    String::new()
}

fn main() {}
