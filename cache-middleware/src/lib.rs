//! x
#[cfg(test)]
extern crate self as cache_middleware;
mod annotation;
mod digest;
pub mod entry;
mod error;
mod event;
mod flight;
mod http;
pub mod key;
mod manager;
pub mod outcome;
mod pattern;
pub mod policy;
mod preset;
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod store;
pub mod tag;
mod template;
mod tenant;
pub mod time;

#[cfg(feature = "macros")]
pub use cache_macros::{CacheEvent, CacheKey, cached, invalidates};
pub use error::{CacheError, ConfigError, StoreError};
pub use event::{CacheEvent, Event};
pub use http::{CacheResponse, CacheTags, InvalidateCache};
pub use key::{CacheKey, Key, KeyWriter};
pub use manager::{CacheEventBus, CacheManager, CacheManagerBuilder, ClearReceipt, ValuePolicy};
pub use pattern::Pattern;
pub use preset::{Preset, ResponseCaching};
pub use tag::{Tag, escape};
pub use template::{Template, TemplateError};
pub use tenant::Tenant;
