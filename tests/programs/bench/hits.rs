//! Hits over sockets, and in process.

use std::time::{Duration, Instant};

use actix_web::dev::{Service, ServiceResponse};
use actix_web::{App, Error, test};
use futures_util::FutureExt;

use crate::load::{Load, Round};
use crate::routes::{HITS, Parts, Serving, configure};
use crate::table::{Goal, Row, Table};

/// What the generator asks a route with.
fn headers_of(name: &str, tag: &str) -> Vec<(&'static str, String)> {
    if name.contains("304") {
        vec![("if-none-match", tag.to_owned())]
    } else if name.contains("brotli") {
        vec![("accept-encoding", "br".to_owned())]
    } else {
        Vec::new()
    }
}

/// Two loads, one after the other, and the other way round the next time: pairs of rounds.
pub(crate) fn taking_turns(rounds: usize, time: Duration, value: &Load, floor: &Load) -> Vec<(Round, Round)> {
    let turn = |turn: usize| {
        if turn.is_multiple_of(2) {
            let value = value.run(time);
            (value, floor.run(time))
        } else {
            let floor = floor.run(time);
            (value.run(time), floor)
        }
    };
    // The first warms up both.
    (0..=rounds).map(turn).skip(1).collect()
}

fn per_second(rounds: &[(Round, Round)]) -> Vec<(f64, f64)> {
    rounds.iter().map(|(value, floor)| (value.per_second, floor.per_second)).collect()
}

/// The rows over sockets.
pub(crate) fn over_sockets(serving: &Serving, tag: &str, rounds: usize, table: &mut Table) {
    for (name, route, floor) in HITS {
        let headers = headers_of(name, tag);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let status = if name.contains("304") { 304 } else { 200 };
        let load = |path| Load::of(serving.address, path, &headers, status);
        let goal = match name {
            _ if name.contains("response(..)") => Goal::RatioAtLeast(0.97),
            _ if name.contains("L2") => Goal::RatioAtLeast(0.90),
            _ if name.contains("brotli") => Goal::RatioAtLeast(5.0),
            _ => Goal::RatioAtLeast(0.95),
        };
        let turns = taking_turns(rounds, Duration::from_millis(400), &load(route), &load(floor));
        table.add(Row::of(name, "req/s", &per_second(&turns), goal));
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
        round(path).await;
        let mut pairs = Vec::new();
        for turn in 0..rounds {
            let first = round(if turn.is_multiple_of(2) { path } else { "/floor/sessions/8" }).await;
            let second = round(if turn.is_multiple_of(2) { "/floor/sessions/8" } else { path }).await;
            pairs.push(if turn.is_multiple_of(2) { (first, second) } else { (second, first) });
        }
        table.add(Row::of(format!("L1 hit through {name}, in process"), "µs", &pairs, Goal::AboveAtMost(1.5)));
        let allocations = |path: &str| {
            // An answer that waits for nothing.
            let counted = allocation_counter::measure(|| ask(&app, path).now_or_never().expect("an answer at once"));
            counted.count_total as f64
        };
        let pair = (allocations(path), allocations("/floor/sessions/8"));
        table.add(Row::of("the same, allocations", "", &[pair], Goal::AboveAtMost(6.0)));
    }
}
