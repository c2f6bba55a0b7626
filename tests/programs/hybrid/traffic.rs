//! What goes over the wire, and what Redis holds.

use cache_suite::RedisServer;

/// What Redis has taken in, given out, and holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    pub(super) bytes: u64,
    pub(super) held: u64,
}

pub(super) fn of(server: &RedisServer) -> Traffic {
    let mut connection = server.connection();
    let info: String = redis::cmd("INFO").arg("everything").query(&mut connection).unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    Traffic {
        bytes: field("total_net_input_bytes") + field("total_net_output_bytes"),
        held: field("used_memory_dataset"),
    }
}
