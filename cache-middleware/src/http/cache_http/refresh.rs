//! The refresh of a response in the background (RFC 5861 section 3, rule S6).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::Error;
use actix_web::HttpRequest;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};

use super::layer::{BASE, Exchange, Layer, Stored};
use crate::entry::Entry;
use crate::http::exchange::refresh::detach;
use crate::http::exchange::waiting::Waiting;
use crate::http::request::layers::Layers;
use crate::manager::Background;
use crate::outcome::RefusalReason;

/// Has the handler run for a response that is served meanwhile, at an age; gives a request for that response to leave with,
/// or the request back if nobody can ask on this caller's behalf.
pub(super) fn refresh_later<S, B>(
    layer: &Rc<Layer>,
    service: &Rc<S>,
    request: ServiceRequest,
    (exchange, selecting, (served_at, right)): (&Exchange, Vec<Arc<str>>, (Duration, Background)),
) -> Result<HttpRequest, ServiceRequest>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let tags = layer.tags(&request);
    let kept = |name: &str| {
        selecting.iter().any(|selecting| **selecting == *name)
            || layer.settings.options.refresh_with.iter().any(|named| named == name)
    };
    // A clear that names what the tags have lost would not reach the entry.
    let same = |request: &ServiceRequest| {
        let other = layer.prepare(request, Layers::of(request));
        other.is_ok_and(|other| other.target == exchange.target) && layer.tags(request) == tags
    };
    let (leaving, request) = detach(request, kept, same)?;
    let (layer, service) = (layer.clone(), service.clone());
    actix_web::rt::spawn(right.run(layer.refresh(service, request, served_at)));
    Ok(leaving)
}

impl Layer {
    async fn refresh<S, B>(self: Rc<Self>, service: Rc<S>, request: ServiceRequest, served_at: Duration)
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let around = Layers::of(&request);
        let Ok(exchange) = self.prepare(&request, around) else { return };
        around.enter(&request);
        let waiting = Waiting::new(request);
        let base = exchange.target.key(BASE, &exchange.headers);
        let asking = self.asking(&exchange, &base, false);
        let accept = |entry: &Entry| self.accept(&exchange, &base, entry);
        let selected = exchange.manager.peek(&asking, accept, RefusalReason::Method).await;
        let key = match selected.map(|hit| hit.accepted) {
            Ok(Stored::Selector(names)) => exchange.target.key(&names, &exchange.headers),
            Ok(Stored::Response(_)) | Err(_) => base,
        };
        let asking = self.asking(&exchange, &key, false);
        let accept = |entry: &Entry| self.accept(&exchange, &key, entry);
        let run = async |stale| self.run(&exchange, &*service, &waiting, stale).await;
        exchange.manager.refresh(&asking, accept, served_at, run).await;
    }
}
