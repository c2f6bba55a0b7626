//! Which server each partition is at.
//!
//! Not the cluster client of the `redis` crate: it would follow `ASK` to a server that has only a part of a partition,
//! and `MOVED` to one that nobody has told yet that what it holds may be older than the last clears
//! (`docs/decisions/0008-…`). A partition is one slot, so that there is little to route.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::address::Address;
use super::atlas::Atlas;
use super::call::Call;
use super::place::Place;
use super::settings::Settings;
use super::site::{Connections, Site};
use crate::error::StoreError;

/// How often the map of a cluster is read although nothing seems to be wrong.
const REFRESH: Duration = Duration::from_millis(500);
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
    pub(super) fn set(&self, sites: Vec<Option<Arc<Site>>>) {
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
            Address::Server(info) => Place::At(Box::new(info)),
            Address::Sentinel(sentinel) => Place::master_of(sentinel),
            Address::Cluster(seeds) => {
                let mut atlas = Atlas::new(seeds, settings.clone());
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

    fn usable(&self, partition: u16) -> Result<(Arc<Site>, Arc<Connections>), StoreError> {
        let nobody =
            || StoreError::Unavailable(format!("no server of the cluster is known to have partition {partition}"));
        let site = self.site(partition).ok_or_else(nobody)?;
        let connections = site.connections()?;
        Ok((site, connections))
    }

    pub(super) fn connection(&self, partition: u16) -> Result<MultiplexedConnection, StoreError> {
        Ok(self.usable(partition)?.1.main.clone())
    }

    /// A connection for a command that counts, and what takes its answer.
    pub(super) fn call(&self, partition: u16) -> Result<(MultiplexedConnection, Call<'_>), StoreError> {
        // Who is not even asked has no answer either.
        let (site, connections) = self.usable(partition).inspect_err(|_| self.settings.counts.unavailable())?;
        let limit = self.settings.command_timeout;
        Ok((connections.main.clone(), Call::new(&self.settings, site, limit)))
    }

    /// The same for a command after which replicas are waited for; `None` if they are not.
    pub(super) fn waiting_call(&self, partition: u16) -> Result<Option<(MultiplexedConnection, Call<'_>)>, StoreError> {
        let (site, connections) = self.usable(partition).inspect_err(|_| self.settings.counts.unavailable())?;
        let limit = self.settings.command_timeout.saturating_add(self.settings.replica_timeout);
        let call = |connection: &MultiplexedConnection| (connection.clone(), Call::new(&self.settings, site, limit));
        Ok(connections.waiting.as_ref().map(call))
    }

    /// Whether the server of a partition is still the one that the sentinels name, if there are any.
    pub(super) async fn is_at_master(&self, partition: u16) -> bool {
        let Ok((site, connections)) = self.usable(partition) else { return false };
        site.place.is_still_at(&connections.info.addr().to_string()).await
    }

    /// Returns when a partition cannot be asked any more.
    pub(super) async fn gone(&self, partition: u16) {
        let mut moved = self.map.changes();
        while let Ok((site, _)) = self.usable(partition) {
            let mut changed = site.changes();
            // It may have changed before it was watched.
            if self.usable(partition).is_err() {
                break;
            }
            tokio::select! {
                _ = moved.changed() => {}
                _ = changed.changed() => {}
            }
        }
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
