//! The embedded store keeps the contract.

use cache_middleware::store::MemoryStore;
use cache_middleware::store::contract::{BEHAVIOURS, Harness};
use cache_middleware::time::ManualTime;

#[tokio::test]
async fn the_embedded_store_keeps_the_contract() {
    for behaviour in BEHAVIOURS {
        println!("{}", behaviour.name);
        let time = ManualTime::default();
        let store = MemoryStore::builder().time(time.clone()).build();
        let harness = Harness::new(store, move |by| {
            time.advance(by);
            Box::pin(async {})
        });
        (behaviour.check)(harness).await;
    }
}
