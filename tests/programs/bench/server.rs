//! What a Redis server tells of itself.

use cache_suite::RedisServer;

fn statistics(server: &RedisServer, section: &str) -> String {
    redis::cmd("INFO").arg(section).query(&mut server.connection()).expect("statistics")
}

/// Bytes that it has allocated.
pub(crate) fn used_memory(server: &RedisServer) -> f64 {
    let text = statistics(server, "memory");
    let line = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).expect("a number")
}

/// Microseconds that it has spent on commands; those of scripts are counted with their scripts.
pub(crate) fn busy(server: &RedisServer, commands: &[&str]) -> f64 {
    let usec = |line: &str| {
        let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        commands.contains(&command).then(|| rest.split("usec=").nth(1)?.split(',').next()?.parse::<f64>().ok())?
    };
    statistics(server, "commandstats").lines().filter_map(usec).sum()
}
