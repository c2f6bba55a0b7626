//! What the tests of the workspace share: Redis processes of their own, stores on both, bad weather between them, a raw HTTP client, and
//! random numbers that can be repeated.

mod browser;
mod files;
pub mod fuzzing;
mod http_client;
mod prometheus;
mod proxy;
mod redis_cluster;
mod redis_server;
mod rng;
mod sentinels;
mod stores;
mod transcript;
mod waiting;

pub use browser::Browser;
pub use files::{TemporaryFolder, entries, files_under, is_of, read, temporary_folder, workspace};
pub use http_client::{Response, get, send};
pub use prometheus::{Lasts, Prometheus};
pub use proxy::{Proxy, Weather};
pub use redis_cluster::RedisCluster;
pub use redis_server::{Killed, RedisServer, clear_without_a_signal, free_port};
pub use rng::Rng;
pub use sentinels::Sentinels;
pub use stores::{Kind, TestStore, fill, node, node_with_l1, redis_at};
pub use transcript::{Asked, asked_in, play};
pub use waiting::until;
