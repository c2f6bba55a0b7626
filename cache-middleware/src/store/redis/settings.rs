//! What every part of the Redis store needs to know.

use std::time::Duration;

use tokio::sync::Notify;

use super::layout::Layout;
use super::scripts::Scripts;
use crate::seal::Keyring;
use crate::telemetry::StoreCounts;

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) layout: Layout,
    pub(super) scripts: Scripts,
    pub(super) keys: Keyring,
    /// Whether the servers are a cluster.
    pub(super) cluster: bool,
    pub(super) command_timeout: Duration,
    pub(super) keep_marks: Duration,
    pub(super) allow_unsafe_eviction: bool,
    pub(super) trust_restarts: bool,
    /// How many replicas must have a clear before it counts as acknowledged, and how long to wait for them.
    pub(super) wait_for_replicas: usize,
    pub(super) replica_timeout: Duration,
    /// Told when a partition may be at another server.
    pub(super) route_lost: Notify,
    /// How commands have ended.
    pub(super) counts: StoreCounts,
}
