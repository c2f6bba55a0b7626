use actix_web::get;
use cache_middleware::cached;

#[get("/a")]
#[cached(ttl = "5m", client_ttl = "0s", cdn_ttl = "a while")]
async fn a() -> String {
    String::new()
}

fn main() {}
