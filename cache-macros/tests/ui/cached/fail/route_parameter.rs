use actix_web::{get, web};
use cache_middleware::cached;

#[get("/rooms/{floor}/{number}")]
#[cached(ttl = "5m", tags = ["floor:{floor}"])]
async fn one(path: web::Path<(u64, u64)>) -> String {
    format!("{path:?}")
}

#[get("/halls/{floor}/{number}")]
#[cached(ttl = "5m", tags = ["floor:{id}"])]
async fn other(id: web::Path<(u64, u64)>) -> String {
    format!("{id:?}")
}

fn main() {}
