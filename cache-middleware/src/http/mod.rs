//! HTTP: requests into keys, responses into entries and back, the two middlewares and the runtime of the attributes.
//!
//! The rules R, K and S named in comments are those of `docs/http.md`.

mod cache_http;
mod cache_response;
mod cached_handler;
mod capture;
mod coding;
mod conditions;
mod derive;
mod downstream;
mod draft;
mod error_response;
mod exchange;
mod field;
mod freshness;
#[cfg(feature = "test-util")]
mod fuzzing;
mod headers;
mod invalidate;
mod invalidate_cache;
mod layers;
mod manager_of;
mod names;
mod prepared;
mod rate_limit;
mod refresh;
mod request;
mod respond;
mod response;
mod selection;
mod start;
mod tags;
mod target;
mod tenants;
mod time_limits;
mod token;
mod validate;
mod waiting;
mod write;
mod written;

use crate::policy::Bounds;

/// The bounds of one caller's entries: where an identity is in the key, every caller has variants of their own.
fn bounds_of(bounds: Bounds, identity: bool) -> Bounds {
    Bounds { variants: if identity { bounds.entries } else { bounds.variants }, ..bounds }
}

pub use cache_http::{CacheHttp, ClientDirective};
pub use cache_response::CacheResponse;
pub use cached_handler::{CachedSpec, HandlerKey, Ran, run_cached};
#[cfg(feature = "test-util")]
pub use fuzzing::header as fuzz_header;
pub use headers::RequestHeaders;
pub(crate) use invalidate::clears;
pub use invalidate::{Invalidation, run_invalidating};
pub use invalidate_cache::InvalidateCache;
pub use rate_limit::RateLimit;
pub use tags::CacheTags;
