//! Every attribute in a crate that forbids unsafe code and denies warnings.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub, missing_debug_implementations, unused)]

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, Responder, delete, get, post, web};
use cache_middleware::{CacheEvent, CacheKey, CacheManager, CacheTags, cached, invalidates};
use serde::{Deserialize, Serialize};

/// A page.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// Its number.
    pub page: u32,
}

/// An item.
#[derive(Debug, Serialize, Deserialize, CacheKey)]
pub struct Item {
    id: u64,
    #[cache_key(skip)]
    text: String,
}

/// A kind.
#[derive(Debug, CacheKey)]
pub enum Kind<T> {
    /// None.
    Nothing,
    /// One.
    One(T),
    /// Two.
    Two {
        /// One.
        a: T,
        /// Another.
        b: u8,
    },
}

#[derive(Debug, CacheEvent)]
#[cache_event("item.updated")]
struct ItemUpdated {
    id: u64,
}

#[get("/a/{id}")]
#[cached(ttl = "5m", tags = ["item:{id}", "page:{page}", "out:{out.id}"], vary = ["accept"], when = *page > 0, unless = out.id == 3)]
async fn with_patterns(id: Path<u64>, Query(Page { page }): Query<Page>, tags: CacheTags) -> Result<Json<Item>, actix_web::Error> {
    tags.add("more");
    Ok(Json(Item { id: *id, text: page.to_string() }))
}

#[cached(ttl = "named", statuses = [200, 404], max_body = "2KiB", public)]
#[get("/b")]
async fn above(mut body: Option<Json<Item>>) -> impl Responder {
    body.take().map(|item| item.text.clone()).unwrap_or_default()
}

#[cached(ttl = "1m", key = "menu:{org}")]
async fn menu(org: Path<String>) -> HttpResponse {
    HttpResponse::Ok().body(org.into_inner())
}

#[post("/c/{id}")]
#[invalidates(event = ItemUpdated { id: out.id }, tags = ["item:{id}"])]
#[invalidates(event = "item.seen", id = id, when = response.status().is_client_error())]
async fn write(id: Path<u64>, item: Json<Item>) -> Result<Json<Item>, actix_web::Error> {
    let _ = id;
    Ok(item)
}

#[invalidates(keys = ["menu:{org}"])]
#[delete("/d/{org}")]
async fn remove(org: Path<String>) -> HttpResponse {
    let _ = org;
    HttpResponse::NoContent().finish()
}

#[cached(ttl = "1h", tags = ["value:{name}"])]
async fn value(cache: &CacheManager, name: &str, kind: Kind<u8>) -> Result<Vec<String>, std::io::Error> {
    let _ = kind;
    if name.is_empty() {
        return Err(std::io::Error::other("empty"));
    }
    Ok(vec![name.parse::<String>().map_err(std::io::Error::other)?])
}

/// Names that the attributes use are the user's too.
mod names {
    use actix_web::{HttpResponse, get, post};
    use cache_middleware::{cached, invalidates};

    #[get("/out")]
    #[cached(ttl = "5m")]
    pub(crate) async fn out() -> String {
        String::new()
    }

    #[post("/response")]
    #[invalidates(tags = ["a"])]
    pub(crate) async fn response() -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

/// A handler that needs the manager is one all the same.
#[get("/clear/{tag}")]
#[cached(ttl = "5m")]
async fn with_manager(tag: Path<String>, cache: CacheManager) -> String {
    format!("{:?}", cache.clear_tag(&tag).await.is_ok())
}

fn main() {
    let _ = actix_web::App::new()
        .service(with_patterns)
        .service(above)
        .service(write)
        .service(remove)
        .service(names::out)
        .service(names::response)
        .service(with_manager)
        .route("/menu/{org}", web::get().to(menu));
    let _ = value;
    let _ = [Kind::Nothing, Kind::One(1), Kind::Two { a: 1, b: 2 }];
}
