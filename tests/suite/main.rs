//! The tests of the workspace: one binary, one line of purpose a module.

mod attacks; // sequences that once broke a promise
mod attributes; // `#[cached]` and `#[invalidates]` on every shape of handler
mod clears_by_http; // writes whose clears are easily lost, HEADs that come late (P5)
mod cluster; // a Redis Cluster: slots that move, masters that die, shards that are away
mod codings; // responses in brotli, zstd and gzip, made once
mod coherence; // what a node may serve from its own memory, in good and bad weather (P1)
mod contract; // both stores do what a store must do
mod counters; // counters that end, and the limits that count with them
mod deployments; // sentinels, TLS, a user with the least rights, replicas that must have a clear
mod documents; // what the documents say is true
mod durable; // clears of processes that are killed, clears that settle (P5)
mod efficiency; // what operations cost Redis, in commands, bytes and packets
mod examples; // the examples do what they say
mod expansions; // attributes on odd functions, beside odd names (P5, P7)
mod fleet; // one run per key on many processes, whatever becomes of who runs it (P6)
mod flights; // one run per key, and nobody hangs (P6)
mod foreign; // what others wrote into Redis is a miss (P10)
mod fuzz; // bytes from outside never panic (P10)
mod history; // random histories hold no answer older than an acknowledged clear (P1)
mod http; // headers, conditions, HEAD, streams, over real sockets
mod http_attacks; // what no script can play: HTTP/2, flights, handlers that take long
mod hybrid; // critical and reference data, and the messages between them and their source
mod index_scale; // many expired, evicted and cleared entries leave nothing behind (P4)
mod journal; // clears that the store has not acknowledged: in memory, in a file, across a death (P5)
mod layering; // imports point one way, files stay readable
mod layers; // layers of caching in layers of caching (P1)
mod middlewares; // mounted everywhere, and composed with actix-web's own
mod packages; // what is published: metadata, licences, the oldest Rust
mod races; // the five races between a clear and everything else (P1, P2)
mod refusals; // the page of refusals says what the compiler says
mod scripts; // HTTP by script: the RFCs, and what attacks must get (P7)
mod secrets; // values in Redis that only their owner can read, and nobody can swap (R15)
mod sharing; // no two requests that differ share an entry (P7)
mod sliding; // TTLs that begin anew with each access (P1)
mod start; // what is refused at the start, and a Redis that is away
mod telemetry; // metrics, hooks, probes, health, map, dashboard: that they are true, and tell the same (P11)
mod tenants; // what is one tenant's is nobody else's (P7)
mod values; // typed values, cached functions, events by hand
mod warmer; // entries made before anybody asks: when, how many, once for the fleet
mod windows; // stale, early and negative; refreshes, time limits, back-off (P1, P6)
mod write_behind; // what is acknowledged is read at once and written later, whatever dies (P5)
mod write_through; // the source, then the entry, then the signal; when a half fails or two race (P1)
mod writes; // writes whose clients go away (P5)
