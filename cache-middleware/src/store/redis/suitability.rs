//! May this Redis be used? Asked at every connection, because behind one address there may be another server later.

use redis::aio::MultiplexedConnection;

use super::settings::Settings;
use super::site::{connect_error, store_error};
use crate::error::StoreError;

/// `ZMSCORE` and `ZADD .. LT` are there from this version on.
const OLDEST_VERSION: (u32, u32) = (6, 2);

/// Sharded channels are there from this version on: without them every signal would go to every node of a cluster.
const OLDEST_CLUSTER_VERSION: (u32, u32) = (7, 0);

pub(super) async fn check(
    connection: &mut MultiplexedConnection,
    partitions: &[u16],
    settings: &Settings,
) -> Result<(), StoreError> {
    let info = info(connection, "server").await?;
    let version = field(&info, "redis_version").unwrap_or("unknown");
    let oldest = if settings.cluster { OLDEST_CLUSTER_VERSION } else { OLDEST_VERSION };
    if !is_recent(version, oldest) {
        return Err(StoreError::Unsuitable(format!(
            "this is Redis {version}; {}.{} or newer is needed",
            oldest.0, oldest.1
        )));
    }
    let clustered = field(&info, "redis_mode") == Some("cluster");
    if clustered && !settings.cluster {
        return Err(StoreError::Unsuitable(
            "it is a node of a Redis Cluster: name several of its nodes in REDIS_URL, separated by commas".to_owned(),
        ));
    }
    if !clustered && settings.cluster {
        return Err(StoreError::Unsuitable(
            "several servers are named, but it is not a node of a Redis Cluster: name one server, or the nodes of one \
             cluster"
                .to_owned(),
        ));
    }
    check_eviction(connection, settings).await?;
    if partitions.contains(&0) { check_partitions(connection, settings).await } else { Ok(()) }
}

async fn info(connection: &mut MultiplexedConnection, section: &str) -> Result<String, StoreError> {
    redis::cmd("INFO").arg(section).query_async(connection).await.map_err(|error| connect_error(&error))
}

/// What tells a server from every other, and from itself before it was started anew or was a replica for a while: its
/// run id, and the id of its history, which changes with every promotion. `None` if it is a replica.
pub(super) async fn identity(connection: &mut MultiplexedConnection) -> Result<Option<String>, StoreError> {
    let server = info(connection, "server").await?;
    let replication = info(connection, "replication").await?;
    if field(&replication, "role").is_some_and(|role| role != "master") {
        return Ok(None);
    }
    match (field(&server, "run_id"), field(&replication, "master_replid")) {
        (Some(run), Some(history)) => Ok(Some(format!("{run}:{history}"))),
        _ => Err(StoreError::Unsuitable("INFO tells no run_id and no master_replid".to_owned())),
    }
}

pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn is_recent(version: &str, oldest: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= oldest
}

/// A policy that may evict keys without a TTL may evict the index, and then a tag no longer reaches its entries.
async fn check_eviction(connection: &mut MultiplexedConnection, settings: &Settings) -> Result<(), StoreError> {
    let info = info(connection, "memory").await?;
    let policy = field(&info, "maxmemory_policy").unwrap_or("unknown");
    if policy == "noeviction" || policy.starts_with("volatile-") {
        return Ok(());
    }
    let advice = format!(
        "Redis may evict the tag index (maxmemory-policy is {policy}), and entries would then survive their clears: \
         run `CONFIG SET maxmemory-policy volatile-lru` (noeviction and every volatile-* policy will do)"
    );
    if settings.allow_unsafe_eviction {
        log::error!("{advice}; going on because allow_unsafe_eviction is set");
        return Ok(());
    }
    Err(StoreError::Unsuitable(advice))
}

async fn check_partitions(connection: &mut MultiplexedConnection, settings: &Settings) -> Result<(), StoreError> {
    let ours = settings.layout.partition_count();
    let key = settings.layout.meta();
    let theirs: Option<u16> = redis::cmd("SET")
        .arg(&key)
        .arg(ours)
        .arg("NX")
        .arg("GET")
        .query_async(connection)
        .await
        .map_err(|error| store_error(&error))?;
    match theirs {
        Some(theirs) if theirs != ours => Err(StoreError::Unsuitable(format!(
            "the namespace was begun with {theirs} partitions and is now opened with {ours}: \
             use another namespace, or {theirs} partitions"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, recent) in
            [("7.0.15", true), ("6.2.0", true), ("10.1", true), ("6.0.20", false), ("5", false), ("unknown", false)]
        {
            assert_eq!(is_recent(version, OLDEST_VERSION), recent, "{version}");
        }
    }

    #[test]
    fn fields_of_info_are_found_by_their_whole_name() {
        let info = "# Memory\r\nmaxmemory_policy_x:1\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(field(info, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(field(info, "redis_version"), None);
    }
}
