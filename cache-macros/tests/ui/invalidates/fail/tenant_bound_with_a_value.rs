use actix_web::{HttpResponse, put};
use cache_middleware::invalidates;

#[put("/")]
#[invalidates(tags = ["teachers"], tenant_bound = true)]
async fn handler() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

fn main() {}
