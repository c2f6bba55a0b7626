//! A request that the wrapped service has not seen yet, and what stands in for it if that keeps it.

use std::cell::{Cell, RefCell};

use actix_web::dev::ServiceRequest;
use actix_web::{Error, HttpRequest};

use crate::http::exchange::answered_twice;
use crate::http::exchange::refresh::stand_in;

/// The run of the handler takes the request out; a hit leaves it for the response. It must not be cloned: the router needs
/// it to itself.
pub(in crate::http) struct Waiting {
    request: RefCell<Option<ServiceRequest>>,
    /// What looks like it, or is it again, for a response that is not the service's own.
    leaving: RefCell<Option<HttpRequest>>,
    running: Cell<bool>,
}

impl Waiting {
    pub(in crate::http) fn new(request: ServiceRequest) -> Self {
        Self { request: RefCell::new(Some(request)), leaving: RefCell::new(None), running: Cell::new(false) }
    }

    pub(in crate::http) fn take(&self) -> Option<ServiceRequest> {
        self.request.take()
    }

    pub(in crate::http) fn put_back(&self, request: ServiceRequest) {
        self.request.replace(Some(request));
    }

    /// The request for the service, which may fail or be late; where something may `stand_in` for its response, something
    /// stays here to leave with.
    pub(in crate::http) fn take_for_run(&self, may_stand_in: bool) -> Option<ServiceRequest> {
        let request = self.take()?;
        self.running.set(true);
        if may_stand_in {
            self.leaving.replace(Some(stand_in(&request)));
        }
        Some(request)
    }

    /// What the service has given back.
    pub(in crate::http) fn give_back(&self, request: HttpRequest) {
        self.leaving.replace(Some(request));
    }

    /// Whether the service has it.
    pub(in crate::http) fn is_running(&self) -> bool {
        self.running.get()
    }

    /// The request for a response to leave with.
    pub(in crate::http) fn leaving(&self) -> Result<HttpRequest, Error> {
        let own = self.request.take().map(|request| request.into_parts().0);
        own.or_else(|| self.leaving.take()).ok_or_else(answered_twice)
    }
}
