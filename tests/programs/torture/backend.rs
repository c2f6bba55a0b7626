//! The Redis of a torture: one server, or a cluster of three masters with replicas, each behind proxies.

use std::time::Duration;

use cache_suite::{Killed, Proxy, RedisCluster, RedisServer, Rng, Weather};

use super::settings::Kind;

pub(crate) enum Backend {
    /// Every node has a proxy of its own before the one server.
    Single { server: Option<RedisServer>, proxies: Vec<Proxy> },
    /// Every server of the cluster has a proxy, by whose address the nodes know it.
    Cluster { cluster: RedisCluster },
}

impl Backend {
    pub(crate) async fn start(kind: Kind, nodes: usize) -> Self {
        match kind {
            Kind::Single => {
                let server = RedisServer::start();
                let mut proxies = Vec::new();
                for _ in 0..nodes {
                    proxies.push(Proxy::before(server.port()).await);
                }
                Self::Single { server: Some(server), proxies }
            }
            Kind::Cluster => Self::Cluster { cluster: RedisCluster::start_behind_proxies(3).await },
        }
    }

    /// The address for a node.
    pub(crate) fn url(&self, node: usize) -> String {
        match self {
            Self::Single { proxies, .. } => proxies[node].url(),
            Self::Cluster { cluster } => cluster.url(),
        }
    }

    /// A proxy at random.
    fn proxy(&self, rng: &mut Rng) -> &Proxy {
        let proxies = match self {
            Self::Single { proxies, .. } => proxies,
            Self::Cluster { cluster } => &cluster.proxies,
        };
        &proxies[usize::try_from(rng.below(proxies.len() as u64)).unwrap_or(0)]
    }

    /// Bad weather on one connection for a while.
    pub(crate) async fn weather(&self, rng: &mut Rng) -> &'static str {
        let proxy = self.proxy(rng);
        let lasts = Duration::from_millis(100 + rng.below(2_500));
        let (what, weather) = match rng.below(5) {
            0 => {
                proxy.cut();
                return "cut";
            }
            1 => ("frozen", Weather::Frozen),
            2 => ("frozen one way", Weather::Frozen),
            3 if rng.below(2) == 0 => ("garbage", Weather::Garbage),
            3 => ("slow", Weather::Slow(Duration::from_millis(1 + rng.below(400)))),
            _ => ("thin", Weather::Thin(20_000)),
        };
        if what == "frozen one way" || what == "garbage" {
            proxy.weather_back(weather);
        } else {
            proxy.weather(weather);
        }
        tokio::time::sleep(lasts).await;
        // Half of the connections that were frozen end without a word.
        if rng.below(2) == 0 {
            proxy.cut();
        }
        proxy.weather(Weather::Fair);
        what
    }

    /// A server that stands still for a while.
    pub(crate) async fn pause(&mut self, rng: &mut Rng) {
        let lasts = Duration::from_millis(100 + rng.below(2_000));
        let server = match self {
            Self::Single { server, .. } => server.as_ref(),
            Self::Cluster { cluster } => {
                let index = usize::try_from(rng.below(cluster.nodes.len() as u64)).unwrap_or(0);
                cluster.nodes[index].as_ref()
            }
        };
        if let Some(server) = server {
            server.signal("-STOP");
            tokio::time::sleep(lasts).await;
            server.signal("-CONT");
        }
    }

    /// A server that takes no writes for a while: because it is full, or because too few replicas are there.
    pub(crate) async fn refuse_writes(&mut self, rng: &mut Rng) -> &'static str {
        let servers: Vec<&RedisServer> = match self {
            Self::Single { server, .. } => server.iter().collect(),
            Self::Cluster { cluster } => cluster.nodes.iter().flatten().collect(),
        };
        let (what, name, refused, fair) = if rng.below(2) == 0 {
            ("full", "maxmemory", "1", "0")
        } else {
            ("read-only", "min-replicas-to-write", "9", "0")
        };
        let set = |value: &str| {
            for server in &servers {
                let _ = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut server.connection());
            }
        };
        set(refused);
        tokio::time::sleep(Duration::from_millis(100 + rng.below(1_500))).await;
        set(fair);
        what
    }

    /// A server that is killed and starts again, with what a snapshot of some moment before holds.
    pub(crate) async fn restart(&mut self, rng: &mut Rng) {
        let lasts = Duration::from_millis(200 + rng.below(3_000));
        match self {
            Self::Single { server, .. } => {
                let Some(running) = server.take() else { return };
                let killed: Killed = running.kill();
                tokio::time::sleep(lasts).await;
                *server = Some(killed.restart());
            }
            Self::Cluster { cluster } => {
                let index = usize::try_from(rng.below(cluster.nodes.len() as u64)).unwrap_or(0);
                cluster.restart(index, lasts).await;
            }
        }
    }

    /// A snapshot, for a later restart to bring back.
    pub(crate) fn save(&self) {
        if let Self::Single { server: Some(server), .. } = self {
            let _ = redis::cmd("SAVE").exec(&mut server.connection());
        }
    }
}
