//! Measures what counting and timing requests costs on the hit path, beside the same hits without it.
//!
//! ```sh
//! cargo run --release -p cache-suite --bin telemetry
//! ```

use std::time::{Duration, Instant};

use actix_web::dev::{Service, ServiceResponse};
use actix_web::{App, Error, get, test};
use cache_middleware::{CacheManager, Coherence, cached};
use cache_suite::{RedisServer, redis_at};

const ROUNDS: usize = 61;
const REQUESTS: u32 = 20_000;

#[get("/api/v1/sessions")]
#[cached(ttl = "5m", tags = ["sessions"])]
async fn sessions() -> String {
    "x".repeat(2_048)
}

async fn manager(url: &str, counts: bool) -> CacheManager {
    CacheManager::builder()
        .store(redis_at(url.to_owned()).connect().await.expect("a store"))
        .coherence(Coherence::Bounded(Duration::from_secs(10)))
        .without_annotation_checks()
        .request_metrics(counts)
        .build()
        .await
        .expect("a manager")
}

/// Nanoseconds for each of many hits.
async fn round<B>(app: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>) -> f64 {
    let began = Instant::now();
    for _ in 0..REQUESTS {
        let request = test::TestRequest::get().uri("/api/v1/sessions").to_request();
        let response = app.call(request).await.expect("a response");
        assert!(response.headers().contains_key("age"), "a hit");
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(REQUESTS)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[actix_web::main]
async fn main() {
    let server = RedisServer::start();
    let (with, without) = (manager(&server.url(), true).await, manager(&server.url(), false).await);
    let app = |cache: CacheManager| test::init_service(App::new().app_data(cache).service(sessions));
    let (with, without) = (app(with).await, app(without).await);
    // Fills it, and has it held.
    for _ in 0..2 {
        for app in [&with, &without] {
            app.call(test::TestRequest::get().uri("/api/v1/sessions").to_request()).await.expect("a response");
        }
    }
    let (mut counted, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..ROUNDS {
        // Who goes first takes turns.
        let (a, b) = if turn % 2 == 0 {
            (round(&with).await, round(&without).await)
        } else {
            let b = round(&without).await;
            (round(&with).await, b)
        };
        counted.push(a);
        bare.push(b);
        ratios.push(a / b - 1.0);
    }
    println!("| hits, ns each (medians of {ROUNDS} rounds of {REQUESTS}) | counted | not counted | cost |");
    println!("| --- | --- | --- | --- |");
    let cost = median(&mut ratios) * 100.0;
    println!(
        "| L1 through `#[cached]`, 2 KiB, in process | {:.0} | {:.0} | {cost:.1} % |",
        median(&mut counted),
        median(&mut bare)
    );
}
