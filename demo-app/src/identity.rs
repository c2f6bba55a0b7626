//! Who is calling.

use std::collections::BTreeMap;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use cache_middleware::CacheKey;

use crate::answer::ApiError;

/// The calling teacher. As an argument of a cached handler it is part of the key, and because it says *who* asks, the
/// responses may be stored although the requests carry credentials.
#[derive(Debug, Clone, Copy, CacheKey)]
#[cache_key(identity)]
pub(crate) struct Teacher {
    pub(crate) id: i64,
    pub(crate) school_id: i64,
}

/// The teachers who may call, and their schools.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) school_of: BTreeMap<i64, i64>,
}

impl FromRequest for Teacher {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(identify(request).ok_or(ApiError::Unauthorized))
    }
}

fn identify(request: &HttpRequest) -> Option<Teacher> {
    let credentials = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = credentials.split_once(' ')?;
    let id = token.strip_prefix("teacher-").filter(|_| scheme.eq_ignore_ascii_case("bearer"))?.parse().ok()?;
    let directory = request.app_data::<web::Data<Directory>>()?;
    directory.school_of.get(&id).map(|school_id| Teacher { id, school_id: *school_id })
}
