//! Writes whose clients go away, over real sockets.

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, post, web};
use cache_middleware::{CacheManager, invalidates};
use cache_suite::{Kind, TestStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

#[derive(Debug)]
struct Gates {
    written: Semaphore,
    go_on: Semaphore,
}

async fn write(gates: web::Data<Gates>) -> HttpResponse {
    // The write has happened; its answer has not.
    gates.written.add_permits(1);
    gates.go_on.acquire().await.expect("the gate").forget();
    HttpResponse::NoContent().finish()
}

#[post("/attribute")]
#[invalidates(tags = ["written"])]
async fn by_attribute(gates: web::Data<Gates>) -> HttpResponse {
    write(gates).await
}

/// Fails when the write runs in the future that the server drops with its client (`rt::spawn` in `http/invalidate.rs` and
/// `http/invalidate_cache.rs`).
#[actix_web::test]
async fn p5_a_write_whose_client_hangs_up_still_clears() {
    for (kind, path) in Kind::ALL.into_iter().flat_map(|kind| [(kind, "/attribute"), (kind, "/middleware")]) {
        let test = TestStore::open(kind).await;
        let cache = CacheManager::builder()
            .shared_store(test.store.clone())
            .on("written", ["written"])
            .without_annotation_checks()
            .build()
            .await
            .expect("a manager");
        let gates = web::Data::new(Gates { written: Semaphore::new(0), go_on: Semaphore::new(0) });
        let policy = cache.policy("5m").and_then(|policy| policy.tag("written")).expect("a policy");
        cache.set("k", &policy, &1).await.expect("a set");

        let (data, manager) = (gates.clone(), cache.clone());
        let server =
            HttpServer::new(move || {
                App::new().app_data(manager.clone()).app_data(data.clone()).service(by_attribute).service(
                    web::resource("/middleware").wrap(manager.invalidates("written")).route(web::post().to(write)),
                )
            })
            .workers(1)
            .bind("127.0.0.1:0")
            .expect("a port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);

        let mut client = TcpStream::connect(address).await.expect("a connection");
        let request = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
        client.write_all(request.as_bytes()).await.expect("a request that is taken");
        gates.written.acquire().await.expect("the write").forget();
        client.set_zero_linger().expect("a socket option");
        drop(client);
        // The server learns of the reset and drops what belongs to the connection.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(cache.get::<u32>("k").await, Some(1));
        gates.go_on.add_permits(1);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while cache.get::<u32>("k").await.is_some() {
            assert!(std::time::Instant::now() < deadline, "{kind:?}, {path}: the clear is lost");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        handle.stop(false).await;
    }
}
