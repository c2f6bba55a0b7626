//! What goes over the wire, and what Redis holds.

use cache_suite::RedisServer;

/// What Redis has taken in, given out, and holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    pub(super) bytes: u64,
    pub(super) held: u64,
}

pub(super) fn of(server: &RedisServer) -> Traffic {
    Traffic {
        bytes: server.info_number("stats", "total_net_input_bytes")
            + server.info_number("stats", "total_net_output_bytes"),
        held: server.info_number("memory", "used_memory_dataset"),
    }
}
