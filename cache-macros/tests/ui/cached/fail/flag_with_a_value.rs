use actix_web::get;
use cache_middleware::cached;

#[get("/a")]
#[cached(ttl = "5m", public = true, surrogate_key = "teacher", tenant_bound = false)]
async fn a() -> String {
    String::new()
}

fn main() {}
