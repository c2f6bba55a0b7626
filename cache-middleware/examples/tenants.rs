//! Tenants: keys, tags, clears and quotas of one are not another's.
//!
//! ```sh
//! cargo run -p cache-middleware --example tenants    # at 127.0.0.1:8080, or the address that follows `--`
//! curl -i -H 'x-tenant: acme' 127.0.0.1:8080/plans    # fwd=uri-miss; stored
//! curl -i -H 'x-tenant: globex' 127.0.0.1:8080/plans    # fwd=uri-miss; stored
//! curl -i -H 'x-tenant: acme' 127.0.0.1:8080/plans    # hit; ttl=…
//! curl -i -H 'x-tenant: acme' -X POST 127.0.0.1:8080/plans    # 200
//! curl -i -H 'x-tenant: acme' 127.0.0.1:8080/plans    # fwd=uri-miss; stored
//! curl -i -H 'x-tenant: globex' 127.0.0.1:8080/plans    # hit; ttl=…
//! curl -i -H 'x-tenant: globex' 127.0.0.1:8080/usage    # 1 entries
//! curl -i 127.0.0.1:8080/plans    # 400
//! ```

use actix_web::{App, HttpServer, get, post};
use cache_middleware::{CacheError, CacheManager, cached, invalidates};

#[get("/plans")]
#[cached(ttl = "5m", tags = ["plans"], tenant_bound)]
async fn plans() -> &'static str {
    "the plans"
}

#[post("/plans")]
#[invalidates(tags = ["plans"], tenant_bound)]
async fn change() -> &'static str {
    "changed"
}

/// The manager that a handler takes is a handle of the request's tenant.
#[get("/usage")]
async fn usage(cache: CacheManager) -> Result<String, CacheError> {
    let usage = cache.usage().await?;
    Ok(format!("{} entries, {} bytes", usage.entries, usage.bytes))
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder()
        .tenant_of(|head| head.headers.get("x-tenant")?.to_str().ok().map(str::to_owned)) // from where you trust it
        .tenant_quota(64 << 20)
        .from_env()
        .build()
        .await?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let app = move || App::new().app_data(cache.clone()).service(plans).service(change).service(usage);
    HttpServer::new(app).bind(address)?.run().await
}
