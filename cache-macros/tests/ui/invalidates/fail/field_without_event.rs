use actix_web::{HttpResponse, put, web};
use cache_middleware::invalidates;

#[put("/{id}")]
#[invalidates(item_id = id)]
async fn handler(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    HttpResponse::NoContent().finish()
}

fn main() {
    let _ = actix_web::App::new().service(handler);
}
