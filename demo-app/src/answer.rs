//! Answers: `{"success":true,"data":…}`, or `{"success":false,"error":{…}}`.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use serde::Serialize;

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    status: StatusCode,
    pub(crate) data: T,
}

#[derive(Serialize)]
struct Envelope<T> {
    success: bool,
    data: T,
}

/// What handlers return.
pub(crate) type Answered<T> = Result<Answer<T>, ApiError>;

impl<T> Answer<T> {
    pub(crate) fn ok(data: T) -> Self {
        Self { status: StatusCode::OK, data }
    }

    pub(crate) fn accepted(data: T) -> Self {
        Self { status: StatusCode::ACCEPTED, data }
    }

    pub(crate) fn created(data: T) -> Self {
        Self { status: StatusCode::CREATED, data }
    }
}

impl<T: Serialize> Responder for Answer<T> {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::build(self.status).json(Envelope { success: true, data: self.data })
    }
}

#[derive(Serialize)]
struct FailureEnvelope<'a> {
    success: bool,
    error: Failure<'a>,
}

#[derive(Serialize)]
struct Failure<'a> {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a String>,
}

/// An unsuccessful one.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// No caller, or an unknown one.
    Unauthorized,
    /// Not there, or not the caller's.
    NotFound(&'static str),
    /// A field that is wrong, and why.
    Invalid { field: String, message: String },
    /// No session, or one that has ended.
    NoSession,
    /// Something that others have to be there for.
    Unavailable(String),
    /// Something of ours.
    Internal(String),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => f.write_str("send `Authorization: Bearer teacher-<n>` with n from 1 to 50"),
            Self::NotFound(what) => write!(f, "there is no such {what}"),
            Self::Invalid { field, message } => write!(f, "`{field}` {message}"),
            Self::NoSession => f.write_str(
                "log in with POST /api/v1/{tenant}/login, and send the token as `Authorization: Bearer <token>`",
            ),
            Self::Unavailable(_) => f.write_str("not now: try again in a moment"),
            // The cause is for the log.
            Self::Internal(_) => f.write_str("something went wrong"),
        }
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Unauthorized | Self::NoSession => StatusCode::UNAUTHORIZED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Internal(cause) => log::error!("{cause}"),
            Self::Unavailable(cause) => log::warn!("{cause}"),
            _ => {}
        }
        let field = match self {
            Self::Invalid { field, .. } => Some(field),
            _ => None,
        };
        let error = Failure { message: self.to_string(), field };
        let mut response = HttpResponse::build(self.status_code());
        if matches!(self, Self::Unauthorized | Self::NoSession) {
            response.insert_header(("www-authenticate", "Bearer"));
        }
        response.json(FailureEnvelope { success: false, error })
    }
}
