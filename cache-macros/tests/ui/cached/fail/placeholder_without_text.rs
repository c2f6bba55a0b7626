use actix_web::{get, web};
use cache_middleware::cached;

#[get("/")]
#[cached(ttl = "5m", tags = ["page:{page}"])]
async fn handler(page: web::Query<Option<u64>>) -> String {
    format!("{page:?}")
}

fn main() {
    // The handler itself is still there: the mistake is the only error.
    let _ = actix_web::App::new().service(handler);
}
