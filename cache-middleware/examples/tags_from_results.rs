//! Tags that only the result knows: the members of a list, and what a handler finds out as it runs.
//!
//! ```sh
//! cargo run -p cache-middleware --example tags_from_results    # at 127.0.0.1:8080, or the address that follows `--`
//! curl -i 127.0.0.1:8080/orders/1    # fwd=uri-miss; stored
//! curl -i '127.0.0.1:8080/orders?most=2'    # fwd=uri-miss; stored
//! curl -i 127.0.0.1:8080/orders/1    # hit; ttl=…
//! curl -i '127.0.0.1:8080/orders?most=2'    # hit; ttl=…
//! curl -i -X POST 127.0.0.1:8080/customers/41/rename    # 200
//! curl -i 127.0.0.1:8080/orders/1    # fwd=uri-miss; stored
//! curl -i '127.0.0.1:8080/orders?most=2'    # fwd=uri-miss; stored
//! curl -i -X POST 127.0.0.1:8080/customers/99/rename    # 200
//! curl -i 127.0.0.1:8080/orders/1    # hit; ttl=…
//! ```

use actix_web::web::{Json, Path, Query};
use actix_web::{App, HttpServer, get, post};
use cache_middleware::{CacheManager, CacheTags, cached, invalidates};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct Order {
    id: u64,
    customer: u64,
}

#[derive(Deserialize)]
struct Page {
    most: u64,
}

fn load(id: u64) -> Order {
    Order { id, customer: 40 + id }
}

/// Nothing in the request says whose order it is; the answer does.
#[get("/orders/{id}")]
#[cached(ttl = "5m", tags = ["order:{id}", "customer:{out.customer}"])]
async fn one(id: Path<u64>) -> Result<Json<Order>, actix_web::Error> {
    Ok(Json(load(*id)))
}

/// A tag for each member of a list.
#[get("/orders")]
#[cached(ttl = "5m", tags = ["orders"], skip(tags))]
async fn list(page: Query<Page>, tags: CacheTags) -> Json<Vec<Order>> {
    let members: Vec<Order> = (1..=page.most.min(50)).map(load).collect();
    for member in &members {
        tags.add(format!("customer:{}", member.customer));
    }
    Json(members)
}

#[post("/customers/{id}/rename")]
#[invalidates(tags = ["customer:{id}"])]
async fn rename(id: Path<u64>) -> String {
    format!("customer {id} has another name")
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder().from_env().build().await?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let app = move || App::new().app_data(cache.clone()).service(one).service(list).service(rename);
    HttpServer::new(app).bind(address)?.run().await
}
