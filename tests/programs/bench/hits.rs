//! Hits over sockets, and in process.

use std::time::{Duration, Instant};

use actix_web::dev::{Service, ServiceResponse};
use actix_web::{App, Error, test};
use futures_util::FutureExt;

use crate::load::Load;
use crate::routes::{HITS, Parts, Serving, configure};
use crate::table::{Goal, Row, Table};

/// A value and its floor, one after the other, and the other way round the next time.
pub(crate) async fn taking_turns<T>(
    rounds: usize,
    mut value: impl AsyncFnMut() -> T,
    mut floor: impl AsyncFnMut() -> T,
) -> Vec<(T, T)> {
    let mut pairs = Vec::new();
    for turn in 0..=rounds {
        pairs.push(if turn.is_multiple_of(2) {
            let value = value().await;
            (value, floor().await)
        } else {
            let floor = floor().await;
            (value().await, floor)
        });
    }
    // The first warms up both.
    pairs.split_off(1)
}

/// Requests in a second of two loads, so often.
pub(crate) async fn per_second(rounds: usize, time: Duration, value: &Load, floor: &Load) -> Vec<(f64, f64)> {
    taking_turns(rounds, async || value.run(time).per_second, async || floor.run(time).per_second).await
}

/// The rows over sockets.
pub(crate) async fn over_sockets(serving: &Serving, tag: &str, rounds: usize, table: &mut Table) {
    for hit in HITS {
        let load = |path| Load::of(serving.address, path, &hit.headers(tag), hit.status());
        let pairs = per_second(rounds, Duration::from_millis(400), &load(hit.path), &load(hit.floor)).await;
        table.add(Row::of(hit.name, "req/s", &pairs, Goal::RatioAtLeast(hit.least)));
    }
}

/// One request through an app.
async fn ask<B>(app: &impl Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>, path: &str) {
    let request = test::TestRequest::get().uri(path).insert_header(("host", "bench")).to_request();
    let response = app.call(request).await.expect("a response");
    assert_eq!(response.status(), 200);
}

/// What a hit adds to the bare handler, in time and in allocations.
pub(crate) async fn in_process(parts: &Parts, rounds: usize, table: &mut Table) {
    const REQUESTS: u32 = 20_000;
    let app = test::init_service(App::new().configure(configure(parts))).await;
    let round = async |path: &str| {
        let began = Instant::now();
        for _ in 0..REQUESTS {
            ask(&app, path).await;
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(REQUESTS)
    };
    for (name, path) in [("#[cached]", "/l1/sessions/8"), ("cache.response(..)", "/l1/wrapped/8")] {
        let pairs = taking_turns(rounds, async || round(path).await, async || round("/floor/sessions/8").await).await;
        table.add(Row::of(format!("L1 hit through {name}, in process"), "µs", &pairs, Goal::AboveAtMost(1.5)));
        // Of an answer that waits for nothing, the least: what is kept until a second is over is made anew in some of them.
        let count =
            |path: &str| allocation_counter::measure(|| ask(&app, path).now_or_never().expect("an answer at once"));
        let allocations = |path: &str| (0..8).map(|_| count(path).count_total).min().unwrap_or_default() as f64;
        let pair = (allocations(path), allocations("/floor/sessions/8"));
        table.add(Row::of(
            format!("L1 hit through {name}, in process: allocations"),
            "",
            &[pair],
            Goal::AboveAtMost(6.0),
        ));
    }
}
