//! Measures every path of the cache beside its floor: the same answer without the cache, in the same run.
//!
//! ```sh
//! cargo run --release -p cache-suite --bin bench                           # the table
//! cargo run --release -p cache-suite --bin bench -- --json FILE            # and the same as JSON
//! cargo run --release -p cache-suite --bin bench -- --only hits,misses     # some of: hits misses clears stampede memory
//! cargo run --release -p cache-suite --bin bench -- --only build           # what it takes to compile, in some minutes
//! cargo run --release -p cache-suite --bin bench -- --only growth --svg DIRECTORY # curves over entries, workers and sizes
//! cargo run --release -p cache-suite --bin bench -- --serve 127.0.0.1:8095 # the hit routes alone, for another load generator
//! ```

mod arguments;
mod build;
mod chart;
mod clears;
mod growth;
mod hits;
mod load;
mod memory;
mod misses;
mod routes;
mod stampede;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use cache_middleware::{CacheManager, Coherence};
use cache_suite::{RedisServer, redis_at};

use arguments::Arguments;
use routes::{HEADERS, HITS, HitRoute, Node, Parts, SIZES, Serving, json};
use table::Table;

async fn manager(server: &RedisServer, l1_bytes: usize) -> CacheManager {
    let builder = CacheManager::builder().store(redis_at(server.url()).connect().await.expect("a store"));
    let builder = builder.l1_bytes(l1_bytes).coherence(Coherence::Bounded(Duration::from_secs(1)));
    builder.without_annotation_checks().build().await.expect("a manager")
}

/// One without an L1, and a connection beside it.
async fn node(server: &RedisServer) -> Node {
    let client = redis::Client::open(server.url()).expect("an address");
    let redis = client.get_multiplexed_async_connection().await.expect("a connection");
    Node { cache: manager(server, 0).await, redis }
}

async fn parts(server: &RedisServer, l1_bytes: usize) -> Parts {
    let mut far = node(server).await;
    for size in SIZES {
        let mut set = redis::cmd("SET");
        set.arg(format!("floor:{size}")).arg(&json(size)[..]);
        set.exec_async(&mut far.redis).await.expect("it is set");
    }
    Parts { near: manager(server, l1_bytes).await, far }
}

/// Fills what will be hit, and has the floors answer with the headers of a hit; returns its entity tag.
async fn prepare(serving: &Serving) -> String {
    let host = serving.address.to_string();
    let ask = async |hit: HitRoute| {
        let headers = [hit.headers("\"none\""), vec![("host", host.as_str())]].concat();
        cache_suite::send(serving.address, "GET", hit.path, &headers, "").await
    };
    for hit in HITS {
        for _ in 0..2 {
            ask(hit).await;
        }
    }
    let hit = ask(HITS[0]).await;
    assert!(hit.is_hit(), "{hit:?}");
    let own = |name: &str| !["content-length", "date", "connection"].contains(&name);
    let headers = hit
        .headers
        .iter()
        .filter(|(name, _)| own(name))
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
    HEADERS.get_or_init(|| headers.collect());
    hit.header("etag").to_owned()
}

/// Waits until nothing is swept any more: what earlier rows have left would be taken for what is measured next.
async fn until_swept(server: &RedisServer) {
    let used = || server.info_number("memory", "used_memory");
    let mut before = used();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = used();
        if now.abs_diff(before) < 100_000 {
            return;
        }
        before = now;
    }
}

/// Has Redis keep as many marks of values set by hand as it keeps at most, for a while: they are no entry's memory, and would be
/// taken for it.
async fn fill_marks(cache: &CacheManager, server: &RedisServer) {
    cache_suite::fill(cache, 110_000, "1h", "marks").await;
    cache.clear_all().await.expect("a receipt");
    until_swept(server).await;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        // Told from a program that failed.
        Ok(false) => ExitCode::from(3),
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every goal is met.
async fn run() -> Result<bool, String> {
    let Some(arguments) = Arguments::read(std::env::args().skip(1))? else { return Ok(true) };
    if arguments.wants("growth") {
        return growth::measure(arguments.svg.as_deref()).await.map(|()| true);
    }
    let server = RedisServer::start();
    let parts = parts(&server, 100 << 20).await;
    let serving = Serving::start(arguments.serve.as_deref().unwrap_or("127.0.0.1:0"), 1, &parts)?;
    let tag = prepare(&serving).await;
    if arguments.serve.is_some() {
        println!(
            "each beside its floor, which answers with the same bytes and headers, those of a hit included, and has no cache:"
        );
        for hit in HITS {
            let HitRoute { name, path, floor, .. } = hit;
            let headers =
                hit.headers(&tag).iter().map(|(name, value)| format!(" -H '{name}: {value}'")).collect::<String>();
            println!("{name}: http://{0}{path}  beside  http://{0}{floor}{headers}", serving.address);
        }
        println!("interrupt it to end");
        tokio::signal::ctrl_c().await.map_err(|error| error.to_string())?;
        return Ok(true);
    }
    let wanted = |group: &str| arguments.only.is_empty() || arguments.wants(group);
    let mut table = Table::begin();
    if wanted("hits") {
        hits::over_sockets(&serving, &tag, 15, &mut table).await;
    }
    if wanted("misses") {
        misses::measure(&serving, &server, 7, &mut table);
    }
    if wanted("clears") {
        clears::while_serving(&manager(&server, 0).await, &serving, 9, &mut table).await;
    }
    let local = tokio::task::LocalSet::new();
    let in_process = async {
        if wanted("hits") {
            hits::in_process(&parts, 15, &mut table).await;
        }
        if wanted("stampede") {
            stampede::measure(&parts, 5, &mut table).await;
        }
    };
    local.run_until(in_process).await;
    if wanted("memory") {
        parts.far.cache.clear_all().await.expect("a receipt");
        until_swept(&server).await;
        memory::of_l1(&server, &mut table);
        memory::of_index(&parts.far.cache, &server, &mut table).await;
    }
    // Last: what is swept afterwards would disturb the others. On a Redis of their own: a clear is told to all nodes, and those of this
    // process would work for that on the two processors on which it is measured.
    if wanted("clears") {
        let server = RedisServer::start();
        let node = node(&server).await;
        fill_marks(&node.cache, &server).await;
        clears::of_sizes(&node, &server, &[1, 1_000, 100_000, 1_000_000], &mut table).await;
    }
    if arguments.wants("build") {
        build::measure(&mut table)?;
    }
    if let Some(json) = arguments.json {
        table.write_json(json)?;
    }
    Ok(table.end())
}
