use actix_web::{HttpResponse, put, web};
use cache_middleware::{CacheEvent, invalidates};

#[derive(CacheEvent)]
#[cache_event("item.updated")]
struct Updated {
    id: u64,
}

#[put("/{id}")]
#[invalidates(event = Updated { idd: id })]
async fn handler(id: web::Path<u64>) -> HttpResponse {
    let _ = id;
    HttpResponse::NoContent().finish()
}

fn main() {
    let _ = actix_web::App::new().service(handler);
}
