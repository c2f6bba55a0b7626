//! What the tests of the workspace share: Redis processes of their own, stores on both, and a history of operations.

mod redis_server;
mod stores;

pub use redis_server::{Killed, RedisServer};
pub use stores::{Kind, TestStore};
