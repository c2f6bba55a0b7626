//! How a store is at a moment, for the health monitor.

use std::time::Duration;

use serde::Serialize;

use crate::tag::Mark;

/// How a store is; from [`super::Store::condition`].
///
/// ```
/// use cache_middleware::store::{MemoryStore, Store};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), cache_middleware::StoreError> {
/// let condition = MemoryStore::default().condition().await?;
/// assert_eq!((condition.keys, condition.open_sweeps, condition.cluster), (0, 0, None));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Condition {
    /// How long a command takes just now; of several servers the slowest.
    pub latency: Duration,
    /// The memory in use of what there may be, from 0 to 1; of several servers the fullest. `None` for a store that makes room by
    /// itself.
    pub memory: Option<f64>,
    /// Keys, those of other applications included.
    pub keys: u64,
    /// Index sets: tags, keys, routes and tenants with entries.
    pub index_sets: u64,
    /// Their members. Where there are more than a hundred sets in a partition, estimated by a hundred of them.
    pub index_members: u64,
    /// Clears whose entries have not all been removed.
    pub open_sweeps: u64,
    /// The cluster, if it is one.
    pub cluster: Option<ClusterCondition>,
}

/// A tag with entries.
///
/// ```
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// cache.set("menu", &cache.policy("5m")?.tag("menus")?, &"soup").await?;
/// let largest = cache.store().tags(10).await?;
/// assert_eq!((largest[0].tag.as_str(), largest[0].entries), ("menus", 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TagSize {
    /// The tag. A long one is cut and completed by a digest, and then begins with `#`: it is not the text that a clear takes.
    pub tag: String,
    /// Whose it is, if it is a tenant's.
    pub tenant: Option<String>,
    /// How many entries have it, those that wait to be swept included.
    pub entries: u64,
}

/// A node that may serve from its memory.
///
/// At work: [`super::Store::fleet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FleetNode {
    /// Its number, as it names itself.
    pub node: String,
    /// For how long it may serve after each proof, in milliseconds: the longest that a strict clear waits for it.
    pub lease_ms: u64,
}

/// How a Redis Cluster is, as one of its nodes sees it.
///
/// At work: [`Condition`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterCondition {
    /// Whether it calls itself `ok`: every slot is served.
    pub ok: bool,
    /// How many nodes it knows.
    pub nodes: u64,
    /// How many of them are masters of slots.
    pub masters: u64,
}

/// Marks and how many entries each has, as the tags among them, the largest first.
pub(crate) fn tag_sizes(counted: impl IntoIterator<Item = (String, u64)>) -> Vec<TagSize> {
    let size = |(mark, entries): (String, u64)| {
        let (tenant, tag) = Mark::as_tag(&mark).filter(|_| entries > 0)?;
        Some(TagSize { tag: tag.to_owned(), tenant: tenant.map(|tenant| tenant.as_str().to_owned()), entries })
    };
    let mut sizes: Vec<TagSize> = counted.into_iter().filter_map(size).collect();
    sizes.sort_by(|a, b| b.entries.cmp(&a.entries).then_with(|| a.tag.cmp(&b.tag)));
    sizes
}
