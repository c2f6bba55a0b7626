//! The attributes and derives of `cache-middleware`, which re-exports them and documents them in context.
//!
//! # Layout
//!
//! - `options`: what may stand in an attribute, each value with its place in the source
//! - `template`: placeholders of a literal, checked against the arguments
//! - `function`: the annotated function and its arguments
//! - `expand`: the code that is written
//! - `derive`: `CacheKey` and `CacheEvent`
//! - `words`: the nearest right word
//!
//! The code that is written names nothing but `::cache_middleware::__private`.

mod derive;
mod expand;
mod function;
mod options;
mod template;
mod words;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;
use quote::quote;

/// Caches the responses of an actix-web handler, or the results of any `async fn` whose value is serialisable.
///
/// # On a handler
///
/// Above or below `#[get]` and the like. The key is the URI and *all* arguments; extractors run for every request, so
/// an argument that authenticates keeps doing so on hits.
///
/// | option | meaning | default |
/// | --- | --- | --- |
/// | `ttl = "session-list"` or `"5m"` | how long a response is fresh: a name registered with the manager, or a duration | required |
/// | `tags = ["teacher:{teacher.id}"]` | what clears it; placeholders are paths on arguments (by reference) or on `out`, the success value | none |
/// | `key = "menu:{org}"` | the key instead of URI and arguments | URI and arguments |
/// | `skip(request, clock)` | arguments on which the response does not depend | none |
/// | `vary = ["accept-language"]` | request headers that select a variant | none |
/// | `when = teacher.active` | look up at all? An expression over the arguments, by reference | always |
/// | `unless = out.is_empty()` | do not store? An expression over `out` | store |
/// | `statuses = [200, 404]` | which statuses are stored | 200 |
/// | `max_body = "1MiB"` | the largest body that is stored | 1 MiB |
/// | `l1_ttl = "10s"` | the longest it is held in the memory of a node; `"0s"`: not at all | 60 s |
/// | `coherence = "strict"` | every clear that covers it waits until it is in effect on all nodes | as the manager says |
/// | `public` | the response is the same for all callers, whatever credentials they send | keyed by identity, or not stored |
/// | `tenant_bound` | a request that names no tenant is refused (400) | it has entries of its own |
/// | `compress = ["br", "gzip"]` | codings in which it is stored as well (feature `compress`) | none |
/// | `max_variants = 8`, `max_entries = 1000` | the most entries of one target without an identity in its key, and of the route in each partition | 32, 1,000,000 |
/// | `client_ttl = "1m"`, `cdn_ttl = "1h"` | what clients and CDNs are told | to ask each time; a CDN what a client is |
/// | `surrogate_key`, `cache_tag`, `edge_cache_tag`, `cache_groups` | fields that tell CDNs the tags | none |
/// | `stale = "30s"`, `stale_if_error = "10m"` | how long after its end it is served while it is refreshed, and while the handler fails | not at all |
/// | `early_refresh = 0.8`, `early_refresh = "xfetch"` | when it is refreshed before its end | never |
/// | `adaptive_ttl = "10s..1h"` | the bounds of a TTL that follows how often it changes | the `ttl` |
/// | `jitter = 0.1` | by how much of it each TTL is shortened at most, by chance | none |
/// | `negative_ttl = "10s"` | how long answers that say that there is nothing are stored | as others, if they are at all |
/// | `soft_timeout = "200ms"`, `hard_timeout = "2s"` | when a stale response is served instead, and when the request ends (504) | never |
/// | `manager = self.cache` | where a function finds the manager | among its arguments |
///
/// # On another function
///
/// A function that has the manager among its arguments (`cache: &CacheManager`), or names it
/// (`manager = self.cache`), caches its value: of a `Result` the `Ok`, never the `Err`. Options that speak of requests, responses and time limits are
/// refused there.
///
/// ```standalone_crate
/// use actix_web::{get, web};
/// use cache_middleware::{CacheManager, cached};
///
/// #[get("/rooms/{id}")]
/// #[cached(ttl = "5m", tags = ["room:{id}", "rooms"])]
/// async fn room(id: web::Path<u64>) -> String {
///     format!("room {id}")
/// }
///
/// #[cached(ttl = "1h", tags = ["menu:{org}"], unless = out.is_empty())]
/// async fn menu(cache: &CacheManager, org: u64) -> Result<Vec<String>, std::io::Error> {
///     Ok(vec![format!("soup of {org}")])
/// }
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// assert_eq!(menu(&cache, 7).await?, ["soup of 7"]);
/// assert_eq!(cache.entries("menu:7", 10).await?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[proc_macro_attribute]
pub fn cached(options: TokenStream, item: TokenStream) -> TokenStream {
    written(expand::cached(options.into(), item.clone().into()), &item.into())
}

/// Clears what a successful write has made wrong, before its response leaves.
///
/// On an actix-web handler, above or below `#[post]` and the like; several may stack. Runs when the response is 2xx or
/// 3xx. The handler and its clears run to their end even if the client hangs up.
///
/// | option | meaning |
/// | --- | --- |
/// | `event = "session.created"` | publishes an event: what it clears is said by the rules of the manager |
/// | `event = SessionCreated { id: out.id }` | the same with a type that derives `CacheEvent` |
/// | `teacher_id = teacher.id` | a field of the event: an expression over the arguments (by reference), or over `out`, the success value |
/// | `tags = ["room:{id}"]` | tags to clear beside |
/// | `keys = ["menu:{org}"]` | keys to clear beside |
/// | `coherence = "strict"` | the response waits until the clear is in effect on every node |
/// | `when = response.status() == 409` | which responses clear, instead of 2xx and 3xx; `out` is then not there |
/// | `tenant_bound` | a request that names no tenant is refused (400) |
/// | `durable` | what it will clear is recorded before the handler runs, and carried out by another node if this one dies |
/// | `settle = "2s"` | for so long after the clear, answers to what it covers are given and not stored |
/// | `on_clear_failure = "error"` | a response whose clear is only journaled becomes a 503 |
///
/// ```
/// use actix_web::{HttpResponse, post, put, web};
/// use cache_middleware::invalidates;
///
/// #[put("/rooms/{id}")]
/// #[invalidates(event = "room.updated", id = id, tags = ["rooms"])]
/// async fn update(id: web::Path<u64>) -> HttpResponse {
///     HttpResponse::NoContent().finish()
/// }
/// ```
#[proc_macro_attribute]
pub fn invalidates(options: TokenStream, item: TokenStream) -> TokenStream {
    written(expand::invalidates(options.into(), item.clone().into()), &item.into())
}

/// Says what distinguishes one value of an argument from another. See the trait `CacheKey`.
#[proc_macro_derive(CacheKey, attributes(cache_key))]
pub fn derive_cache_key(item: TokenStream) -> TokenStream {
    written(derive::cache_key(item.into()), &TokenStream2::new())
}

/// Makes a struct an event. See the trait `CacheEvent`.
#[proc_macro_derive(CacheEvent, attributes(cache_event))]
pub fn derive_cache_event(item: TokenStream) -> TokenStream {
    written(derive::cache_event(item.into()), &TokenStream2::new())
}

/// The expansion; or the errors beside the item as it was, so that nothing that uses the item fails for their sake.
fn written(expansion: syn::Result<TokenStream2>, item: &TokenStream2) -> TokenStream {
    expansion
        .unwrap_or_else(|error| {
            let errors = error.to_compile_error();
            quote! { #item #errors }
        })
        .into()
}
