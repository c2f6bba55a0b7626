use actix_web::{FromRequest, HttpRequest, get};
use cache_middleware::{CacheKey, cached};

#[derive(CacheKey)]
struct User {
    id: u64,
}

impl FromRequest for User {
    type Error = actix_web::Error;
    type Future = std::future::Ready<Result<Self, Self::Error>>;

    fn from_request(_: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        std::future::ready(Ok(Self { id: 1 }))
    }
}

#[get("/")]
#[cached(ttl = "5m", tags = ["user:{user.idd}"])]
async fn handler(user: User) -> String {
    user.id.to_string()
}

fn main() {
    // The handler itself is still there: the mistake is the only error.
    let _ = actix_web::App::new().service(handler);
}
