use actix_web::web;
use cache_middleware::invalidates;

#[invalidates(event = "note.created", user = id, setle = "500ms", durble, on_clear_failur = "error")]
async fn handler(id: web::Path<u64>) -> String {
    id.to_string()
}

fn main() {}
