use actix_web::{FromRequest, HttpRequest, get};
use cache_middleware::cached;

struct Session;

impl FromRequest for Session {
    type Error = actix_web::Error;
    type Future = std::future::Ready<Result<Self, Self::Error>>;

    fn from_request(_: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        std::future::ready(Ok(Self))
    }
}

#[get("/")]
#[cached(ttl = "5m")]
async fn handler(request: HttpRequest, session: Session) -> String {
    let _ = session;
    request.path().to_owned()
}

fn main() {
    // The handler itself is still there: the mistake is the only error.
    let _ = actix_web::App::new().service(handler);
}
