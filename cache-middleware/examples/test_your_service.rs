//! What does your service answer when Redis takes no clears, or hangs? Ask it, with a store in front of which faults are injected.
//!
//! ```sh
//! cargo run -p cache-middleware --example test_your_service
//! ```
//!
//! It prints how each request was answered: a miss, a hit, a write whose clear is refused, a read that is not answered with what that covers,
//! and one while reads are refused.

use actix_web::web::Path;
use actix_web::{App, get, post, test};
use cache_middleware::chaos::{ChaosStore, Fault, Operation};
use cache_middleware::store::MemoryStore;
use cache_middleware::{CacheManager, cached, invalidates};

#[get("/rooms/{id}")]
#[cached(ttl = "5m", tags = ["room:{id}"])]
async fn room(id: Path<u64>) -> String {
    format!("room {id}")
}

#[post("/rooms/{id}")]
#[invalidates(tags = ["room:{id}"])]
async fn update(id: Path<u64>) -> String {
    format!("room {id} is another")
}

/// In a service, a function with `#[actix_web::test]`.
#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    // [dev-dependencies] cache-middleware = { version = "..", features = ["test-util"] }
    let store = ChaosStore::before(MemoryStore::default());
    let cache = CacheManager::builder().shared_store(store.clone()).without_annotation_checks().build().await?;
    let app = test::init_service(App::new().app_data(cache.clone()).service(room).service(update)).await;
    let said = async |request: test::TestRequest| {
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), 200);
        let said = response.headers().get("cache-status").and_then(|said| said.to_str().ok()).unwrap_or_default();
        println!(
            "{} {}",
            response.request().method(),
            if said.is_empty() { "(no Cache-Status: a write)" } else { said }
        );
        said.to_owned()
    };
    let get = || test::TestRequest::get().uri("/rooms/7");
    said(get()).await;
    assert!(said(get()).await.contains("hit"));

    store.inject(Operation::Clear, Fault::Error); // Redis takes no clears:
    assert!(cache.clear_tag("room:7").await?.journaled); // what does your service answer now?
    said(test::TestRequest::post().uri("/rooms/7")).await;
    assert!(said(get()).await.contains("detail=clear-pending"), "nothing that the clear covers");

    store.heal();
    store.inject(Operation::Read, Fault::Error); // Redis does not answer:
    assert!(!said(get()).await.contains("hit"), "the handler does");
    Ok(())
}
