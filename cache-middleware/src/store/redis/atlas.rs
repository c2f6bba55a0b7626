//! Who the masters of a cluster are, as its nodes see it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionInfo, Value};

use super::address::{elsewhere, host};
use super::place::Place;
use super::router::{Map, distinct};
use super::settings::Settings;
use super::site::{Site, config, connect_error, open};
use crate::error::StoreError;

/// Finds out who the masters of the partitions' slots are.
pub(super) struct Atlas {
    seeds: Vec<ConnectionInfo>,
    settings: Arc<Settings>,
    /// The slot of each partition, once a server has told.
    slots: Vec<u16>,
    connections: HashMap<String, MultiplexedConnection>,
}

/// What one node says.
struct Seen {
    /// Grows with every failover: the node with the highest knows of the last one.
    epoch: u64,
    lines: Vec<SlotLine>,
    from: ConnectionInfo,
}

/// One line of `CLUSTER SLOTS`: first slot, last slot, master, replicas.
type SlotLine = Vec<Value>;

impl Atlas {
    pub(super) fn new(seeds: Vec<ConnectionInfo>, settings: Arc<Settings>) -> Self {
        Self { seeds, settings, slots: Vec::new(), connections: HashMap::new() }
    }

    /// Asks every node that is known, and believes the one that knows of the last failover. A master that wakes up after
    /// it was replaced still believes in itself.
    pub(super) async fn refresh(&mut self, map: &Map) -> Result<(), StoreError> {
        let sites = map.sites();
        let known = distinct(sites.clone()).into_iter().filter_map(|site| match &site.place {
            Place::At(info) => Some((**info).clone()),
            Place::Master(_) => None,
        });
        let mut nodes: Vec<ConnectionInfo> = known.chain(self.seeds.clone()).collect();
        nodes.sort_by_key(|info| info.addr().to_string());
        nodes.dedup_by_key(|info| info.addr().to_string());
        self.connections.retain(|address, _| nodes.iter().any(|info| info.addr().to_string() == *address));
        let questions = nodes.into_iter().map(|info| {
            let address = info.addr().to_string();
            let (settings, connection) = (&self.settings, self.connections.get(&address).cloned());
            async move { (address, ask(info, connection, settings).await) }
        });
        let answers = join_all(questions).await;
        let mut newest: Option<Seen> = None;
        let mut last = StoreError::Unavailable("no node of the cluster is named".to_owned());
        for (address, answer) in answers {
            match answer {
                Ok((connection, seen)) => {
                    self.connections.insert(address, connection);
                    if newest.as_ref().is_none_or(|newest| newest.epoch < seen.epoch) {
                        newest = Some(seen);
                    }
                }
                Err(error) => {
                    self.connections.remove(&address);
                    last = error;
                }
            }
        }
        let Some(newest) = newest else { return Err(last) };
        if self.slots.is_empty() {
            self.slots = self.find_slots(&newest.from).await?;
        }
        let masters: Vec<_> = self
            .slots
            .iter()
            .map(|slot| newest.lines.iter().find_map(|line| master_of(line, *slot, &newest.from)))
            .collect();
        self.apply(map, &sites, &masters);
        Ok(())
    }

    async fn find_slots(&self, node: &ConnectionInfo) -> Result<Vec<u16>, StoreError> {
        let known = self.connections.get(&node.addr().to_string());
        let mut connection = known.cloned().ok_or_else(|| StoreError::Unavailable("no node answers".to_owned()))?;
        let mut pipeline = redis::pipe();
        for partition in self.settings.layout.partitions() {
            pipeline.cmd("CLUSTER").arg("KEYSLOT").arg(self.settings.layout.fence(partition));
        }
        pipeline.query_async(&mut connection).await.map_err(|error| connect_error(&error))
    }

    /// Keeps sites that have not changed, and starts those that are new.
    fn apply(&self, map: &Map, current: &[Option<Arc<Site>>], masters: &[Option<ConnectionInfo>]) {
        let mut shares: BTreeMap<String, (ConnectionInfo, Vec<u16>)> = BTreeMap::new();
        for (partition, master) in self.settings.layout.partitions().zip(masters) {
            let Some(info) = master else { continue };
            let share = shares.entry(info.addr().to_string()).or_insert_with(|| (info.clone(), Vec::new()));
            share.1.push(partition);
        }
        let existing = distinct(current.to_vec());
        let mut sites = vec![None; masters.len()];
        for (address, (info, partitions)) in shares {
            let same = |site: &&Arc<Site>| site.place.shown() == address && site.partitions == partitions;
            let site = existing.iter().find(same).cloned().unwrap_or_else(|| {
                Arc::new(Site::start(Place::At(Box::new(info)), partitions.clone(), self.settings.clone()))
            });
            for partition in partitions {
                sites[usize::from(partition)] = Some(site.clone());
            }
        }
        let same = |(a, b): (&Option<Arc<Site>>, &Option<Arc<Site>>)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if !sites.iter().zip(current).all(same) {
            map.set(sites);
        }
    }
}

async fn ask(
    info: ConnectionInfo,
    connection: Option<MultiplexedConnection>,
    settings: &Settings,
) -> Result<(MultiplexedConnection, Seen), StoreError> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => {
            let client = Client::open(info.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
            open(&client, &config(settings)).await?
        }
    };
    let state: String = match redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await {
        Ok(state) => state,
        Err(error) if error.to_string().contains("cluster support disabled") => {
            return Err(StoreError::Unsuitable(format!(
                "several servers are named, but {} is not a node of a Redis Cluster: name one server, or the nodes of one \
                 cluster",
                info.addr()
            )));
        }
        Err(error) => return Err(connect_error(&error)),
    };
    // One that is cut off from the others may believe in masters that are none any more.
    if !state.contains("cluster_state:ok") {
        return Err(StoreError::Unavailable(format!("{} says that the cluster is down", info.addr())));
    }
    let epoch = state.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"));
    let epoch = epoch.and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0);
    let lines = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await;
    let lines = lines.map_err(|error| connect_error(&error))?;
    Ok((connection, Seen { epoch, lines, from: info }))
}

/// The master of a slot by a line of `CLUSTER SLOTS`, if the line is about it. A node that does not know its own name
/// leaves it empty: it is then the host we asked.
fn master_of(line: &SlotLine, slot: u16, asked: &ConnectionInfo) -> Option<ConnectionInfo> {
    let [first, last, master, ..] = line.as_slice() else { return None };
    let number = |value: &Value| redis::from_redis_value_ref::<u16>(value).ok();
    if !(number(first)?..=number(last)?).contains(&slot) {
        return None;
    }
    let Value::Array(master) = master else { return None };
    let name: Option<String> = redis::from_redis_value_ref(master.first()?).ok()?;
    let port = number(master.get(1)?)?;
    let name = name.filter(|name| !name.is_empty() && name != "?").unwrap_or_else(|| host(asked).to_owned());
    Some(elsewhere(asked, &name, port))
}
