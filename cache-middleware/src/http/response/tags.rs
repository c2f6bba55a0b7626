//! Tags that a handler adds while it runs.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::http::field::groups;
use crate::key::{CacheKey, KeyWriter};
use crate::outcome::RefusalReason;
use crate::tag::Tag;

/// An extractor through which a handler adds tags to its response.
///
/// ```
/// use actix_web::{get, web};
/// use cache_middleware::{CacheTags, cached};
///
/// #[get("/rooms/{id}")]
/// #[cached(ttl = "5m", tags = ["rooms"])]
/// async fn room(id: web::Path<u64>, tags: CacheTags) -> String {
///     let floor = id.into_inner() / 100;
///     tags.add(format!("floor:{floor}"));
///     format!("on floor {floor}")
/// }
/// ```
///
/// In a handler that is not cached it does nothing.
#[derive(Debug, Clone, Default)]
pub struct CacheTags {
    added: Rc<RefCell<Vec<String>>>,
}

impl CacheTags {
    /// Adds a tag. A text that is no tag keeps the response from being stored, with the reason `tag-invalid`: it could
    /// not be cleared.
    pub fn add(&self, tag: impl Into<String>) {
        self.added.borrow_mut().push(tag.into());
    }

    /// What was added to a request's responses.
    pub(in crate::http) fn of(request: &HttpRequest) -> Vec<String> {
        request.extensions().get::<Self>().map(|tags| tags.added.borrow().clone()).unwrap_or_default()
    }
}

impl FromRequest for CacheTags {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut extensions = request.extensions_mut();
        if !extensions.contains::<Self>() {
            extensions.insert(Self::default());
        }
        ready(Ok(extensions.get::<Self>().cloned().unwrap_or_default()))
    }
}

impl CacheKey for CacheTags {
    fn write_key(&self, _: &mut KeyWriter) {}
}

/// All tags of a response: those of its policy, those that its handler added, and the groups it names (RFC 9875), which are
/// tags by another name.
pub(in crate::http) fn of_response(
    own: Vec<String>,
    request: &HttpRequest,
    response: &HeaderMap,
) -> Result<Vec<Tag>, RefusalReason> {
    let grouped = groups::names(response, &groups::CACHE_GROUPS);
    parse_all(own.into_iter().chain(CacheTags::of(request)).chain(grouped))
}

/// Checks the texts of tags.
pub(in crate::http) fn parse_all(texts: impl IntoIterator<Item = String>) -> Result<Vec<Tag>, RefusalReason> {
    texts
        .into_iter()
        .map(|text| {
            Tag::new(&text).map_err(|error| {
                log::warn!("a response is not stored: {error}");
                RefusalReason::TagInvalid
            })
        })
        .collect()
}
