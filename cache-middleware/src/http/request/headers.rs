//! Request headers, read where the cache sees it (rule K4).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::rc::Rc;
#[cfg(debug_assertions)]
use std::sync::{Mutex, PoisonError};

use actix_web::dev::{Extensions, Payload};
use actix_web::http::header::HeaderValue;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::key::{CacheKey, KeyWriter};
use crate::policy::is_credential;

/// An extractor through which a handler reads request headers. A response whose handler has read one that does not
/// select it is not stored, with the reason `unkeyed-header`: it could be another's. Debug builds name the header and
/// the route in the log.
///
/// ```
/// use actix_web::get;
/// use cache_middleware::{RequestHeaders, cached};
///
/// #[get("/greeting")]
/// #[cached(ttl = "5m", vary = ["accept-language"])]
/// async fn greeting(headers: RequestHeaders) -> &'static str {
///     match headers.get("accept-language") {
///         Some(language) if language.as_bytes().starts_with(b"de") => "Guten Tag",
///         _ => "Good day",
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct RequestHeaders {
    request: HttpRequest,
    read: Read,
}

/// The names that were read, in lower case.
#[derive(Debug, Clone, Default)]
struct Read(Rc<RefCell<BTreeSet<String>>>);

/// Has a request that stands in for another know what is read of that one, now and later.
pub(in crate::http) fn share(from: &Extensions, to: &mut Extensions) {
    if let Some(read) = from.get::<Read>() {
        to.insert(read.clone());
    }
}

impl RequestHeaders {
    /// The first line of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&HeaderValue> {
        self.get_all(name).next()
    }

    /// All lines of a header.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &HeaderValue> {
        self.read.0.borrow_mut().insert(name.to_ascii_lowercase());
        self.request.headers().get_all(name)
    }
}

impl FromRequest for RequestHeaders {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut extensions = request.extensions_mut();
        let read = extensions.get::<Read>().cloned().unwrap_or_default();
        extensions.insert(read.clone());
        ready(Ok(Self { request: request.clone(), read }))
    }
}

/// What is read is in the key by `vary`, or its response is not stored.
impl CacheKey for RequestHeaders {
    fn write_key(&self, _: &mut KeyWriter) {}
}

/// A header that was read and is not among those that select the response. What says who asks has rules of its own where
/// a policy keeps callers with credentials apart.
pub(in crate::http) fn unkeyed(
    request: &HttpRequest,
    selecting: &[impl AsRef<str>],
    kept_apart: bool,
) -> Option<String> {
    let read = request.extensions().get::<Read>().cloned()?;
    let read = read.0.borrow();
    let unkeyed = read.iter().find(|name| {
        let keyed = selecting.iter().any(|selecting| selecting.as_ref() == name.as_str());
        !(keyed || (kept_apart && is_credential(name)))
    });
    unkeyed.cloned()
}

/// Says once for each route and header what is wrong.
#[cfg(debug_assertions)]
pub(in crate::http) fn report(request: &HttpRequest, header: &str) {
    static REPORTED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
    let route = request.match_pattern().unwrap_or_else(|| request.path().to_owned());
    if REPORTED.lock().unwrap_or_else(PoisonError::into_inner).insert((route.clone(), header.to_owned())) {
        let way_out = if is_credential(header) {
            "Take who asks as an argument, or into the key by `.identity(..)`"
        } else {
            "Add it to `vary`, or take what it says into the key"
        };
        log::warn!(
            "{route} is not cached: its handler reads the request header {header:?}, which is not part of its key. {way_out}"
        );
    }
}

#[cfg(not(debug_assertions))]
pub(in crate::http) fn report(_: &HttpRequest, _: &str) {}
