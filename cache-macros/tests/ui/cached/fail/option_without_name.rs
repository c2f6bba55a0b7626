use actix_web::{get, web};
use cache_middleware::cached;

#[get("/{id}")]
#[cached("5m")]
async fn handler(id: web::Path<u64>) -> String {
    format!("{id}")
}

fn main() {
    let _ = actix_web::App::new().service(handler);
}
