//! The Redis store keeps the contract, on one partition and on several. (The embedded store's run is beside it, in
//! `cache-middleware/tests/memory_store.rs`.)

use cache_middleware::store::contract::{BEHAVIOURS, Harness};
use cache_suite::{RedisServer, redis_at};

async fn keeps_the_contract(partitions: u16) {
    let server = RedisServer::start();
    for behaviour in BEHAVIOURS {
        println!("{}", behaviour.name);
        let store =
            redis_at(server.url()).namespace(behaviour.name).partitions(partitions).connect().await.expect("a store");
        (behaviour.check)(Harness::new(store, |by| Box::pin(tokio::time::sleep(by)))).await;
    }
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    keeps_the_contract(1).await;
}

#[tokio::test]
async fn redis_keeps_the_contract_on_several_partitions() {
    keeps_the_contract(4).await;
}
