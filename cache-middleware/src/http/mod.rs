//! HTTP: requests into keys, responses into entries and back, the middlewares and the runtime of the attributes. Imports point up this list
//! only; a test in the workspace checks it.
//!
//! - `field`: header fields, as their specifications have them
//! - `request`: what a request says before anyone looks at the store: whose it is, its names, its key
//! - `response`: may it be stored, for how long, and as what; an entry back into a response
//! - `exchange`: what every way through the cache has in common, from a look-up to the response that leaves
//! - `write`: what a successful write makes wrong
//! - `cached_handler`, `cache_response`, `cache_http`, `invalidate_cache`, `rate_limit`: the ways in
//!
//! The rules R, K and S named in comments are those of `docs/http.md`.

mod cache_http;
mod cache_response;
mod cached_handler;
mod exchange;
mod field;
#[cfg(feature = "test-util")]
mod fuzzing;
mod invalidate_cache;
mod rate_limit;
mod request;
mod response;
mod start;
mod write;

pub use cache_http::{CacheHttp, ClientDirective};
pub use cache_response::CacheResponse;
pub use cached_handler::{CachedSpec, HandlerKey, Ran, run_cached};
#[cfg(feature = "test-util")]
pub use fuzzing::header as fuzz_header;
pub use invalidate_cache::InvalidateCache;
pub use rate_limit::RateLimit;
pub use request::headers::RequestHeaders;
pub use response::tags::CacheTags;
pub(crate) use write::invalidate::clears;
pub use write::invalidate::{Invalidation, run_invalidating};
