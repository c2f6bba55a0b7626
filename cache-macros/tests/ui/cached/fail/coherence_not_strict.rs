use actix_web::get;
use cache_middleware::cached;

#[get("/a")]
#[cached(ttl = "5m", coherence = "eventual")]
async fn a() -> String {
    String::new()
}

#[get("/b")]
#[cached(ttl = "5m", l1_ttl = "soon")]
async fn b() -> String {
    String::new()
}

fn main() {}
