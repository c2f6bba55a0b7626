//! Declarative response caching for actix-web that never serves what a finished write has made wrong.
//!
//! Annotate a handler with [`cached`] and its responses are cached; annotate a write with [`invalidates`] and exactly
//! the right ones are cleared, before its response leaves. The store is Redis, shared by every node, or this process.
//!
//! ```standalone_crate
//! use actix_web::{App, HttpResponse, get, put, test, web};
//! use cache_middleware::{CacheManager, cached, invalidates};
//!
//! #[get("/rooms/{id}")]
//! #[cached(ttl = "room", tags = ["room:{id}", "rooms"])]
//! async fn room(id: web::Path<u64>) -> String {
//!     format!("room {id}")
//! }
//!
//! #[put("/rooms/{id}")]
//! #[invalidates(event = "room.updated", room_id = id)]
//! async fn update(id: web::Path<u64>) -> HttpResponse {
//!     HttpResponse::NoContent().finish()
//! }
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = CacheManager::builder()
//!     .ttl("room", "5m")
//!     .on("room.updated", ["room:{room_id}"])
//!     .from_env() // REDIS_URL set: Redis; unset: the embedded store
//!     .build()
//!     .await?; // an unknown TTL name, event or placeholder fails here, not at the first request
//!
//! let app = test::init_service(App::new().app_data(cache.clone()).service(room).service(update)).await;
//! let ask = async || {
//!     let response = test::call_service(&app, test::TestRequest::with_uri("/rooms/7").to_request()).await;
//!     response.headers().get("cache-status").unwrap().to_str().unwrap().split(';').nth(1).unwrap().trim().to_owned()
//! };
//! assert_eq!(ask().await, "fwd=uri-miss");
//! assert_eq!(ask().await, "hit");
//! test::call_service(&app, test::TestRequest::put().uri("/rooms/7").to_request()).await;
//! assert_eq!(ask().await, "fwd=uri-miss");
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Imports point up this list only; a test in the workspace reads it and checks that.
//!
//! - `error`, [`time`], [`outcome`], `digest`, `chance`, `backoff`, `breaker`, `seal`: errors, elapsed time, the words of verdicts, the one
//!   hash, random numbers, rests between attempts, circuit breakers, encryption
//! - `tenant`, `pattern`, [`policy`], [`telemetry`]: names and how they are written; TTLs and limits; what is counted
//! - [`tag`]: what entries depend on, and its marks
//! - `source`: who is asked for records
//! - `template`: text with placeholders
//! - [`key`], `event`: whose response this is; events and their rules
//! - [`entry`], `flight`, `annotation`, `preset`, `adaptive`: what is stored, and its bytes; one run per key; what attributes told at link time;
//!   settings of middlewares; what is learned of keys whose TTLs adapt
//! - [`store`], `map`: the port, its contract, the embedded store and the Redis store; what clears what
//! - `coherence`, `journal`, `chaos`: what may be served from the memory of this node; clears that the store has not acknowledged yet; faults on
//!   purpose (feature `test-util`)
//! - `l1`: the memory of this node
//! - `manager`: [`CacheManager`], its builder and checks, and the one path of look-up, flight and fill
//! - `http`, `private`, `fuzzing`, `warmer`, `write_behind`, `change`, `data`, `health`: requests into keys, responses into entries and back, the
//!   middlewares; what code written by the attributes may name; what takes bytes from outside, for fuzzers (feature `test-util`); entries
//!   that are made before anybody asks; changes that are written later; messages that records have changed; how data of a type are
//!   kept; verdicts
//! - `critical`, `reference`, `dashboard`: records that are all held, and records that are fetched when they are asked for; the page

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod adaptive;
mod annotation;
mod backoff;
#[cfg(any(feature = "redis", feature = "http-source"))]
mod breaker;
mod chance;
mod change;
#[cfg(feature = "test-util")]
pub mod chaos;
mod coherence;
mod critical;
#[cfg(feature = "dashboard")]
mod dashboard;
mod data;
mod digest;
pub mod entry;
mod error;
mod event;
mod flight;
#[cfg(feature = "test-util")]
pub mod fuzzing;
mod health;
mod http;
mod journal;
pub mod key;
mod l1;
mod manager;
mod map;
pub mod outcome;
mod pattern;
pub mod policy;
mod preset;
mod reference;
mod seal;
mod source;
pub mod store;
pub mod tag;
pub mod telemetry;
mod template;
mod tenant;
pub mod time;
mod warmer;
mod write_behind;

pub use adaptive::AdaptedTtl;
#[cfg(feature = "macros")]
pub use cache_macros::{CacheEvent, CacheKey, cached, invalidates};
pub use change::{
    ChangeConsumer, ChangeConsumerBuilder, ChangeData, ChangeMessage, ChangePublisher, ChangePublisherBuilder,
    ConsumerProgress, PublishReceipt,
};
pub use coherence::{Coherence, CoherenceReport, ReadYourWrites, Token};
pub use critical::{CriticalAnswer, CriticalCache, CriticalCacheBuilder, CriticalFreshness, PastLimit};
#[cfg(feature = "dashboard")]
pub use dashboard::{Dashboard, DashboardBuilder};
pub use data::{DataSet, DataStrategy};
pub use error::{CacheError, ConfigError, StoreError};
pub use event::{CacheEvent, Event};
pub use health::{
    CacheHealthMonitor, CacheHealthMonitorBuilder, Finding, Health, HealthReason, HealthThresholds, HealthVerdict,
    Limits,
};
pub use http::{CacheHttp, CacheResponse, CacheTags, ClientDirective, InvalidateCache, RateLimit, RequestHeaders};
pub use key::{CacheKey, Key, KeyWriter};
pub use manager::{
    CacheEventBus, CacheManager, CacheManagerBuilder, ClearReceipt, Difference, EntryAfterWrite, HitRatio,
    OnClearFailure, Removed, ValuePolicy, WrittenThrough,
};
pub use map::{CacheMap, MappedRead, MappedRule, MappedWrite};
pub use pattern::Pattern;
pub use policy::{AdaptiveTtl, Coding, EarlyRefresh};
pub use preset::{Preset, ResponseCaching};
pub use reference::{ReferenceAnswer, ReferenceCache, ReferenceCacheBuilder};
pub use seal::EncryptionKey;
#[cfg(feature = "http-source")]
pub use source::{HttpAnswer, HttpResource, HttpSource, HttpSourceBuilder};
pub use source::{Record, SourceError, SourceOfTruth};
pub use tag::{Tag, escape};
pub use template::{Template, TemplateError};
pub use tenant::Tenant;
pub use warmer::{CacheWarmer, Warm, WarmerProgress, Warming};
pub use write_behind::{
    Batch, FlushProgress, PutReceipt, Rejected, Sink, SinkError, Write, WriteBehind, WriteBehindBuilder,
};

/// The README's code compiles; `tests/suite/documents.rs` runs it.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ReadMe;
