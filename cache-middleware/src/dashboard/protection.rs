//! Who is let in, and that what is done is meant.

use std::fmt;
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Dashboard;
use crate::error::ConfigError;

/// A header that pages of other sites cannot send without asking this one first (the Fetch standard's safelist does not have it), so
/// that they cannot have a browser clear on their behalf.
const MEANT: HeaderName = HeaderName::from_static("x-cache-dashboard");

/// The shortest password.
const SHORTEST: usize = 16;

pub(super) enum Protection {
    Password(String),
    By(Arc<dyn Fn(&HttpRequest) -> bool + Send + Sync>),
    None,
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::By(_) => "By",
            Self::None => "None",
        })
    }
}

impl Protection {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Password(password) if password.len() < SHORTEST => Err(ConfigError::new(format!(
                "the password of the dashboard is too easy to guess: it takes {SHORTEST} characters at least"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn admits(&self, request: &HttpRequest) -> bool {
        match self {
            Self::None => true,
            Self::By(admits) => admits(request),
            Self::Password(password) => {
                shown(request).is_some_and(|given| is_same(given.as_bytes(), password.as_bytes()))
            }
        }
    }
}

/// The password that a request shows (RFC 7617, RFC 6750).
fn shown(request: &HttpRequest) -> Option<String> {
    let (scheme, rest) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (_, password) = decoded.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some(password.to_owned())
}

/// In the same time wherever they differ, so that a guess does not show how far it was right.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Lets a request through, or refuses it; every answer says that it is for nobody else's memory and no frame.
pub(super) async fn admit<B: MessageBody>(
    dashboard: Dashboard,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let mut response = match refusal(&dashboard, request.request()) {
        Some(refusal) => request.into_response(refusal).map_into_right_body(),
        None => next.call(request).await?.map_into_left_body(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

fn refusal(dashboard: &Dashboard, request: &HttpRequest) -> Option<HttpResponse> {
    let protection = &dashboard.shared.protection;
    if !protection.admits(request) {
        return Some(match protection {
            Protection::Password(_) => HttpResponse::Unauthorized()
                .insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"cache dashboard\", charset=\"UTF-8\""))
                .body("the dashboard asks for its password\n"),
            _ => HttpResponse::Forbidden().body("you may not see the dashboard\n"),
        });
    }
    if request.method().is_safe() {
        return None;
    }
    if !dashboard.shared.clears {
        return Some(HttpResponse::Forbidden().body("this dashboard only shows: it clears nothing\n"));
    }
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    let elsewhere = !matches!(site, None | Some(b"same-origin" | b"none"));
    let meant = request.headers().contains_key(MEANT) && !elsewhere;
    (!meant).then(|| {
        HttpResponse::Forbidden().body(
            "what clears comes from the page itself: with the header `x-cache-dashboard: 1`, and from no other site\n",
        )
    })
}
