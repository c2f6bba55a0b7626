//! Which server each partition is at.
//!
//! Not the cluster client of the `redis` crate: it would follow `ASK` to a server that has only a part of a partition,
//! and `MOVED` to one that nobody has told yet that what it holds may be older than the last clears
//! (`docs/decisions/0008-…`). A partition is one slot, so that there is little to route.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionInfo, RedisError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::address::{Address, elsewhere, host};
use super::place::Place;
use super::settings::Settings;
use super::site::{Connections, Site, config, connect_error, open, store_error};
use crate::error::StoreError;

/// How often the map of a cluster is read although nothing seems to be wrong.
const REFRESH: Duration = Duration::from_secs(2);
/// How often while a partition has no server.
const SEARCH: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Router {
    map: Arc<Map>,
    settings: Arc<Settings>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Router {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The sites, and which of them each partition is at.
#[derive(Debug)]
pub(super) struct Map {
    sites: RwLock<Vec<Option<Arc<Site>>>>,
    changed: watch::Sender<u64>,
}

impl Map {
    fn set(&self, sites: Vec<Option<Arc<Site>>>) {
        *self.sites.write().unwrap_or_else(PoisonError::into_inner) = sites;
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// The site of each partition.
    pub(super) fn sites(&self) -> Vec<Option<Arc<Site>>> {
        self.sites.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Told at every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Each site once.
pub(super) fn distinct(sites: Vec<Option<Arc<Site>>>) -> Vec<Arc<Site>> {
    let mut all: Vec<Arc<Site>> = sites.into_iter().flatten().collect();
    all.sort_by_key(|site| Arc::as_ptr(site).addr());
    all.dedup_by(|a, b| Arc::ptr_eq(a, b));
    all
}

impl Router {
    /// Starts to connect; waits until the first attempt has ended.
    ///
    /// # Errors
    /// [`StoreError::Unsuitable`] if a server is there and must not be used. That one is away is no error.
    pub(super) async fn start(address: Address, settings: Arc<Settings>) -> Result<Self, StoreError> {
        let count = usize::from(settings.layout.partition_count());
        let map = Arc::new(Map { sites: RwLock::new(vec![None; count]), changed: watch::Sender::new(0) });
        let place = match address {
            Address::Server(info) => Place::At(info),
            Address::Sentinel(sentinel) => Place::Master(Arc::new(sentinel)),
            Address::Cluster(seeds) => {
                let mut atlas = Atlas { seeds, slots: Vec::new(), settings: settings.clone() };
                let problem = atlas.refresh(&map).await.err();
                let task = tokio::spawn(follow(map.clone(), atlas, settings.clone()));
                let router = Self { map, settings, task: Some(task) };
                return match problem {
                    Some(StoreError::Unsuitable(why)) => Err(StoreError::Unsuitable(why)),
                    _ => router.attempted().await,
                };
            }
        };
        let site = Arc::new(Site::start(place, settings.layout.partitions().collect(), settings.clone()));
        map.set(vec![Some(site); count]);
        Self { map, settings, task: None }.attempted().await
    }

    async fn attempted(self) -> Result<Self, StoreError> {
        for site in distinct(self.map.sites()) {
            if let Err(StoreError::Unsuitable(why)) = site.first_attempt().await {
                return Err(StoreError::Unsuitable(format!("Redis at {} is refused: {why}", site.place.shown())));
            }
        }
        Ok(self)
    }

    pub(super) fn map(&self) -> &Arc<Map> {
        &self.map
    }

    fn site(&self, partition: u16) -> Option<Arc<Site>> {
        self.map.sites.read().unwrap_or_else(PoisonError::into_inner).get(usize::from(partition))?.clone()
    }

    pub(super) fn connections(&self, partition: u16) -> Result<Connections, StoreError> {
        let nobody =
            || StoreError::Unavailable(format!("no server of the cluster is known to have partition {partition}"));
        self.site(partition).ok_or_else(nobody)?.connections()
    }

    pub(super) fn connection(&self, partition: u16) -> Result<MultiplexedConnection, StoreError> {
        Ok(self.connections(partition)?.main)
    }

    /// Turns the error of a command into ours, and has somebody look after what it tells.
    pub(super) fn report(&self, partition: u16, error: &RedisError) -> StoreError {
        if let Some(site) = self.site(partition) {
            site.note(error);
        }
        if error.is_cluster_error() || error.is_unrecoverable_error() {
            self.settings.route_lost.notify_one();
        }
        store_error(error)
    }

    pub(super) fn now_ms(&self, partition: u16) -> u64 {
        self.site(partition).map_or(0, |site| site.now_ms())
    }
}

/// Keeps the map of a cluster true.
async fn follow(map: Arc<Map>, mut atlas: Atlas, settings: Arc<Settings>) {
    loop {
        let complete = map.sites().iter().all(|site| site.as_ref().is_some_and(|site| site.is_ready()));
        let rest = if complete { REFRESH } else { SEARCH };
        // After a hint there is a short rest as well: a hundred requests may give the same one.
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = async {
                settings.route_lost.notified().await;
                tokio::time::sleep(SEARCH / 5).await;
            } => {}
        }
        if let Err(error) = atlas.refresh(&map).await {
            log::debug!("the map of the cluster was not read: {error}");
        }
    }
}

/// Finds out who the masters of the partitions' slots are.
struct Atlas {
    seeds: Vec<ConnectionInfo>,
    /// The slot of each partition, once a server has told.
    slots: Vec<u16>,
    settings: Arc<Settings>,
}

/// One line of `CLUSTER SLOTS`: first slot, last slot, master, replicas.
type SlotLine = Vec<redis::Value>;

impl Atlas {
    /// Asks the first node that answers and is not cut off from the others.
    async fn refresh(&mut self, map: &Map) -> Result<(), StoreError> {
        let sites = map.sites();
        let known = distinct(sites.clone()).into_iter().filter_map(|site| match &site.place {
            Place::At(info) => Some(info.clone()),
            Place::Master(_) => None,
        });
        let mut last = StoreError::Unavailable("no node of the cluster is named".to_owned());
        for info in known.chain(self.seeds.clone()).collect::<Vec<_>>() {
            match self.ask(&info).await {
                Ok(masters) => {
                    self.apply(map, &sites, &masters);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The master of each partition, as a node sees it.
    async fn ask(&mut self, info: &ConnectionInfo) -> Result<Vec<Option<ConnectionInfo>>, StoreError> {
        let client = Client::open(info.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
        let mut connection = open(&client, &config(&self.settings)).await?;
        let state: String = match redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await {
            Ok(state) => state,
            Err(error) if error.to_string().contains("cluster support disabled") => {
                return Err(StoreError::Unsuitable(format!(
                    "several servers are named, but {} is not a node of a Redis Cluster: name one server, or the nodes \
                     of one cluster",
                    info.addr()
                )));
            }
            Err(error) => return Err(connect_error(&error)),
        };
        // One that is cut off from the others may believe in masters that are none any more.
        if !state.contains("cluster_state:ok") {
            return Err(StoreError::Unavailable(format!("{} says that the cluster is down", info.addr())));
        }
        if self.slots.is_empty() {
            let mut slots = Vec::new();
            for partition in self.settings.layout.partitions() {
                let mut command = redis::cmd("CLUSTER");
                command.arg("KEYSLOT").arg(self.settings.layout.fence(partition));
                slots.push(command.query_async(&mut connection).await.map_err(|error| connect_error(&error))?);
            }
            self.slots = slots;
        }
        let lines: Vec<SlotLine> = redis::cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(&mut connection)
            .await
            .map_err(|error| connect_error(&error))?;
        Ok(self.slots.iter().map(|slot| lines.iter().find_map(|line| master_of(line, *slot, info))).collect())
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
            let site =
                existing.iter().find(same).cloned().unwrap_or_else(|| {
                    Arc::new(Site::start(Place::At(info), partitions.clone(), self.settings.clone()))
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

/// The master of a slot by a line of `CLUSTER SLOTS`, if the line is about it. A node that does not know its own name
/// leaves it empty: it is then the host we asked.
fn master_of(line: &SlotLine, slot: u16, asked: &ConnectionInfo) -> Option<ConnectionInfo> {
    let [first, last, master, ..] = line.as_slice() else { return None };
    let number = |value: &redis::Value| redis::from_redis_value_ref::<u16>(value).ok();
    if !(number(first)?..=number(last)?).contains(&slot) {
        return None;
    }
    let redis::Value::Array(master) = master else { return None };
    let name: Option<String> = redis::from_redis_value_ref(master.first()?).ok()?;
    let port = number(master.get(1)?)?;
    let name = name.filter(|name| !name.is_empty() && name != "?").unwrap_or_else(|| host(asked).to_owned());
    Some(elsewhere(asked, &name, port))
}
