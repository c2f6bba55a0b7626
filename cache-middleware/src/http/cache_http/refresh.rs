//! The refresh of a stale response in the background (RFC 5861 section 3, rule S6).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName};
use actix_web::test::TestRequest;
use actix_web::{Error, HttpMessage, HttpRequest};

use super::layer::{BASE, Layer, Stored};
use crate::entry::Entry;
use crate::http::names::{FORWARDING, OTHER_FORWARDING};
use crate::http::target::Target;

/// Has the handler run for a stale response that is served meanwhile; gives a request for that response to leave with, or
/// the request back if what is left of it would not be about the same entry: whose it is was read from what it loses.
///
/// The request itself goes to the handler, because only it knows the app's data and its way through the routers. Before
/// that it loses all that says who asked: what is left is method, URI, host, the headers that selected the response, and
/// those that the service names. What middlewares outside have put into its extensions stays with the response.
pub(super) fn refresh_later<S, B>(
    layer: &Rc<Layer>,
    service: &Rc<S>,
    mut request: ServiceRequest,
    selecting: &[Arc<str>],
    target: &Target,
) -> Result<HttpRequest, ServiceRequest>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let leaving = stand_in(&request);
    std::mem::swap(&mut *leaving.extensions_mut(), &mut *request.extensions_mut());
    let kept = |name: &HeaderName| {
        *name == header::HOST
            || FORWARDING.contains(&name.as_str())
            || OTHER_FORWARDING.contains(&name.as_str())
            || selecting.iter().any(|selecting| **selecting == *name.as_str())
            || layer.refresh_with.iter().any(|named| named == name.as_str())
    };
    let dropped: Vec<HeaderName> = request.headers().keys().filter(|name| !kept(name)).cloned().collect();
    for name in &dropped {
        request.headers_mut().remove(name);
    }
    let same = layer.prepare(&request).is_ok_and(|exchange| exchange.target == *target);
    if !same {
        std::mem::swap(&mut *leaving.extensions_mut(), &mut *request.extensions_mut());
        for name in &dropped {
            for value in leaving.headers().get_all(name) {
                request.headers_mut().append(name.clone(), value.clone());
            }
        }
        return Err(request);
    }
    // The next to prepare it is the first.
    request.extensions_mut().clear();
    let (layer, service) = (layer.clone(), service.clone());
    actix_web::rt::spawn(async move { layer.refresh(service, request).await });
    Ok(leaving)
}

/// A request that looks like another, for a response to leave with.
pub(super) fn stand_in(request: &ServiceRequest) -> HttpRequest {
    let head = request.head();
    let mut like = TestRequest::default().method(head.method.clone()).version(head.version).uri(&head.uri.to_string());
    if let Some(address) = head.peer_addr {
        like = like.peer_addr(address);
    }
    for line in &head.headers {
        like = like.append_header(line);
    }
    like.to_http_request()
}

impl Layer {
    async fn refresh<S, B>(self: Rc<Self>, service: Rc<S>, request: ServiceRequest)
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let Ok(exchange) = self.prepare(&request) else { return };
        let request = RefCell::new(Some(request));
        let base = exchange.target.key(BASE, &exchange.headers);
        let asking = self.asking(&exchange, &base, false);
        let accept = |entry: &Entry| self.accept(&exchange, &base, entry);
        let selected = exchange.manager.peek(&asking, accept, crate::outcome::RefusalReason::Method).await;
        let key = match selected.map(|hit| hit.accepted) {
            Ok(Stored::Selector(names)) => exchange.target.key(&names, &exchange.headers),
            // Somebody was faster.
            Ok(Stored::Response(_)) => return,
            Err(_) => base,
        };
        let asking = self.asking(&exchange, &key, false);
        let accept = |entry: &Entry| self.accept(&exchange, &key, entry);
        let run = async |stale| self.run(&exchange, &*service, &request, stale).await;
        exchange.manager.refresh(&asking, accept, run).await;
    }
}
