//! Tortures a fleet: several node processes under random reads, writes and clears against a real Redis, with faults from
//! outside. Every operation is recorded and the history checked: no answer may be older than a clear that was
//! acknowledged before the request, or, on another node in mode `bounded`, longer before it than the bound. A clear that was
//! journaled holds on its node from then on, over its death too, and everywhere once the weather is fair. What is written behind
//! goes by a queue in a Redis of its own, which keeps an append-only file, under the same faults: all that was acknowledged is
//! written in the end, and nothing twice. At the end of all, a stampede at every node runs a handler once.
//!
//! ```sh
//! cargo run --release -p cache-suite --bin torture -- --minutes 60 --seed 7 --mode bounded --redis single
//! ```
//!
//! The last line is `ops=… hits=… clears=… lost=0 stale=0 failed=0 max_lag_ms=…`; it exits with 1 when lost, stale or failed is not 0.

mod backend;
mod clients;
mod faults;
mod ledger;
mod node;
mod settings;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_suite::Rng;
use tokio::sync::Notify;

use self::backend::Backend;
use self::clients::Fleet;
use self::ledger::Ledger;
use self::settings::{Role, Settings};
use self::world::World;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    env_logger::init();
    let settings = match Settings::parse(std::env::args().skip(1)) {
        Ok(Role::Node(node)) => {
            node::run(&node).await;
            return ExitCode::SUCCESS;
        }
        Ok(Role::Driver(settings)) => settings,
        Err(problem) => {
            eprintln!("{problem}\n\n{}", settings::USAGE);
            return ExitCode::from(2);
        }
    };
    println!("seed {}: {} nodes, mode {}, redis {}", settings.seed, settings.nodes, settings.mode, settings.redis);
    let world = Arc::new(World::new(settings.bound()));
    let database = world::serve(world.clone()).await;
    let backend = Backend::start(settings.redis, settings.nodes).await;
    let ledger = Ledger::start().await;
    let mut rng = Rng::new(settings.seed);
    let fleet = Arc::new(Fleet::start(&settings, &backend, ledger.url(), database).await);
    let until = Instant::now() + settings.duration;
    let clients = clients::start(&fleet, &world, &mut rng, until);
    let over = Arc::new(Notify::new());
    let faults = tokio::spawn(faults::rain(fleet.clone(), (backend, ledger), rng.split(), until, over.clone()));
    let mut told = Instant::now();
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            println!("{}", world.summary());
        }
    }
    let mut broken = false;
    for client in clients {
        broken |= client.await.is_err();
    }
    tokio::join!(fleet.look_for_lost_clears(&world), fleet.drain(&world));
    fleet.stampede(&world).await;
    for line in fleet.reports().await {
        println!("{line}");
    }
    fleet.stop();
    over.notify_one();
    let counts = faults.await;
    broken |= counts.is_err();
    println!("faults: {}", counts.map(|counts| counts.to_string()).unwrap_or_default());
    println!("{}", world.aside());
    for line in world.complaints() {
        println!("{line}");
    }
    println!("{}", world.summary());
    if broken || world.is_wrong() {
        eprintln!("repeat with --seed {} --mode {} --redis {}", settings.seed, settings.mode, settings.redis);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
