//! What a client is told if a handler passes an error of the cache on.

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, ResponseError};

use crate::error::CacheError;
use crate::source::SourceError;

/// `?` in a handler answers 503 if the store failed, and 500 if the call was wrong. The cause is logged: it may name tags
/// and addresses, which are not for clients.
impl ResponseError for CacheError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Store(_) | Self::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        log::warn!("a handler failed because of a call on the cache: {self}");
        told(self.status_code())
    }
}

/// `?` in a handler answers 503 if the source is away, and 502 if it has answered with something that is of no use.
impl ResponseError for SourceError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unsupported(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused(_) | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
        }
    }

    fn error_response(&self) -> HttpResponse {
        log::warn!("a handler failed because of a source: {self}");
        told(self.status_code())
    }
}

/// No more than the status says.
fn told(status: StatusCode) -> HttpResponse {
    HttpResponse::build(status).content_type(ContentType::plaintext()).body(status.canonical_reason().unwrap_or(""))
}
