//! The request of a refresh in the background (RFC 5861 section 3, rule S6).

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderName};
use actix_web::test::TestRequest;
use actix_web::{HttpMessage, HttpRequest};

use crate::http::request::headers;
use crate::http::request::layers::Layers;
use crate::http::request::names::{FORWARDING, OTHER_FORWARDING};

/// Splits a request into one for the response to leave with, and one for a refresh; gives it back if what is left for the
/// refresh would not be about the same entry, as `same` says: whose it is was read from what it loses.
///
/// The request itself goes to the refresh, because only it knows the app's data and its way through the routers. Before
/// that it loses all that says who asked: what is left is method, URI, host, and the headers that `kept` names. What
/// middlewares outside have put into its extensions stays with the response.
pub(in crate::http) fn detach(
    mut request: ServiceRequest,
    kept: impl Fn(&str) -> bool,
    same: impl FnOnce(&ServiceRequest) -> bool,
) -> Result<(HttpRequest, ServiceRequest), ServiceRequest> {
    let leaving = stand_in(&request);
    std::mem::swap(&mut *leaving.extensions_mut(), &mut *request.extensions_mut());
    // This layer has been entered already, and is entered again.
    let around = Layers::of(&leaving).without_last();
    around.set(&mut request.extensions_mut());
    let stays = |name: &HeaderName| {
        let text = name.as_str();
        *name == header::HOST || FORWARDING.contains(&text) || OTHER_FORWARDING.contains(&text) || kept(text)
    };
    let dropped: Vec<HeaderName> = request.headers().keys().filter(|name| !stays(name)).cloned().collect();
    for name in &dropped {
        request.headers_mut().remove(name);
    }
    if !same(&request) {
        std::mem::swap(&mut *leaving.extensions_mut(), &mut *request.extensions_mut());
        for name in &dropped {
            for value in leaving.headers().get_all(name) {
                request.headers_mut().append(name.clone(), value.clone());
            }
        }
        return Err(request);
    }
    {
        let mut extensions = request.extensions_mut();
        extensions.clear();
        around.set(&mut extensions);
    }
    Ok((leaving, request))
}

/// A request that looks like another, for a response to leave with.
pub(in crate::http) fn stand_in(request: &ServiceRequest) -> HttpRequest {
    let head = request.head();
    let mut like = TestRequest::default().method(head.method.clone()).version(head.version).uri(&head.uri.to_string());
    if let Some(address) = head.peer_addr {
        like = like.peer_addr(address);
    }
    for line in &head.headers {
        like = like.append_header(line);
    }
    let like = like.to_http_request();
    // What looks at it from outside must not take a response that was cached inside for the service's own, or miss which
    // headers were read for it.
    {
        let (from, mut to) = (request.extensions(), like.extensions_mut());
        Layers::in_extensions(&from).set(&mut to);
        headers::share(&from, &mut to);
    }
    like
}
