//! Misses: what a lease and a fill cost beside `GET` and `SET` by hand, in requests and in the time of Redis.

use std::time::Duration;

use cache_suite::RedisServer;

use crate::load::Load;
use crate::routes::{BODY_BYTES, Serving};
use crate::table::{Goal, Row, Table};

const ROUND: Duration = Duration::from_millis(500);

/// Microseconds that a server has spent on commands; those of scripts are counted with their scripts.
fn busy(server: &RedisServer, commands: &[&str]) -> f64 {
    let told = server.commands();
    commands.iter().filter_map(|command| told.get(*command)).map(|(_, micros)| *micros as f64).sum()
}

/// Requests in a second, and microseconds of Redis for each.
fn round(load: &Load, server: &RedisServer, commands: &[&str]) -> (f64, f64) {
    let before = busy(server, commands);
    let round = load.run(ROUND);
    let spent = busy(server, commands) - before;
    (round.per_second, spent / (round.per_second * ROUND.as_secs_f64()))
}

pub(crate) fn measure(serving: &Serving, server: &RedisServer, rounds: usize, table: &mut Table) {
    for tags in [0, 3, 10] {
        let ours = Load::of_new(serving.address, &format!("/l2/tags{tags}/"));
        let floor = Load::of_new(serving.address, &format!("/floor/missed/{BODY_BYTES}/{tags}"));
        let (mut requests, mut times) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ours = round(&ours, server, &["mget", "evalsha"]);
            let floor = round(&floor, server, &["get", "set"]);
            requests.push((ours.0, floor.0));
            times.push((ours.1, floor.1));
        }
        table.add(Row::of(format!("miss, {tags} tags"), "req/s", &requests, Goal::Told));
        table.add(Row::of(format!("miss, {tags} tags: time of Redis"), "µs", &times, Goal::Told));
    }
}
