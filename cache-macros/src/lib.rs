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
///
/// # On another function
///
/// A function that has the manager among its arguments (`cache: &CacheManager`), or names it
/// (`manager = self.cache`), caches its value: of a `Result` the `Ok`, never the `Err`. It takes `ttl`, `tags`, `key`,
/// `skip`, `when`, `unless`, `l1_ttl` and `coherence`.
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
