//! A Redis Cluster of real processes: masters, each with a replica if wanted, that are killed with the test.

use std::time::{Duration, Instant};

use crate::redis_server::free_port;
use crate::{Proxy, RedisServer, TemporaryFolder, temporary_folder};

/// How long a node may be silent before the others vote, in milliseconds.
const NODE_TIMEOUT: &str = "1000";

/// A cluster whose slots are spread evenly over its masters.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes: masters first, then a replica of each, in the same order. `None`: killed.
    pub nodes: Vec<Option<RedisServer>>,
    /// Proxies before the nodes, in their order; none unless started behind them.
    pub proxies: Vec<Proxy>,
    masters: usize,
    _folder: TemporaryFolder,
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl RedisCluster {
    /// Starts one with so many masters; a replica for each if `replicas`.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn start(masters: usize, replicas: bool) -> Self {
        let count = if replicas { 2 * masters } else { masters };
        Self::start_announcing(masters, (0..count).map(|_| (free_port(), None)).collect())
    }

    /// Starts one with a replica for each master, and a proxy before each node by whose port clients know it.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start_behind_proxies(masters: usize) -> Self {
        let mut proxies = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..2 * masters {
            let port = free_port();
            let proxy = Proxy::before(port).await;
            ports.push((port, Some(proxy.port())));
            proxies.push(proxy);
        }
        let started = tokio::task::spawn_blocking(move || Self::start_announcing(masters, ports)).await;
        let mut cluster = started.expect("a cluster");
        cluster.proxies = proxies;
        cluster
    }

    fn start_announcing(masters: usize, ports: Vec<(u16, Option<u16>)>) -> Self {
        let folder = temporary_folder("cluster");
        let nodes = ports.into_iter().enumerate().map(|(index, (port, announced))| {
            let dir = folder.join(index.to_string());
            std::fs::create_dir_all(&dir).expect("a folder");
            let (dir, bus) = (dir.display().to_string(), free_port().to_string());
            let announced = announced.unwrap_or(port).to_string();
            let mut options = vec!["--cluster-enabled", "yes", "--dir", &dir, "--cluster-port", &bus];
            options.extend(["--cluster-announce-port", &announced, "--cluster-announce-bus-port", &bus]);
            options.extend(["--cluster-node-timeout", NODE_TIMEOUT, "--cluster-require-full-coverage", "no"]);
            options.extend(["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"]);
            Some(RedisServer::start_on(port, &options).expect("the port is still free"))
        });
        let cluster = Self { nodes: nodes.collect(), proxies: Vec::new(), masters, _folder: folder };
        cluster.meet();
        cluster
    }

    fn meet(&self) {
        let first = self.node(0);
        for index in 0..self.nodes.len() {
            let mut connection = self.node(index).connection();
            redis::cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(index + 1).exec(&mut connection).expect("an epoch");
            if index < self.masters {
                let (from, to) = (16_384 * index / self.masters, 16_384 * (index + 1) / self.masters - 1);
                redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(from).arg(to).exec(&mut connection).expect("slots");
            }
            if index > 0 {
                let port = first.port();
                let bus = first.option("--cluster-port").expect("a bus");
                redis::cmd("CLUSTER")
                    .arg("MEET")
                    .arg("127.0.0.1")
                    .arg(port)
                    .arg(bus)
                    .exec(&mut connection)
                    .expect("a hello");
            }
        }
        let count = self.nodes.len();
        eventually("the nodes meet", || {
            (0..count).all(|index| self.info(index).contains(&format!("cluster_known_nodes:{count}")))
        });
        for index in self.masters..count {
            let master = self.id(index - self.masters);
            let mut connection = self.node(index).connection();
            eventually("a replica follows", || {
                redis::cmd("CLUSTER").arg("REPLICATE").arg(&master).exec(&mut connection).is_ok()
            });
        }
        eventually("the cluster is up", || (0..count).all(|index| self.info(index).contains("cluster_state:ok")));
        for index in self.masters..count {
            eventually("a replica is in step", || self.replication(index).contains("master_link_status:up"));
        }
    }

    /// A node that has not been killed.
    ///
    /// # Panics
    /// If it has.
    #[must_use]
    pub fn node(&self, index: usize) -> &RedisServer {
        self.nodes[index].as_ref().expect("a node that lives")
    }

    /// Kills a node.
    pub fn kill(&mut self, index: usize) {
        drop(self.nodes[index].take());
    }

    /// Kills a node, and starts it again later with what it knows of the cluster and without its data.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&mut self, index: usize, after: Duration) {
        let Some(node) = self.nodes[index].take() else { return };
        let killed = node.kill();
        tokio::time::sleep(after).await;
        self.nodes[index] = Some(killed.restart());
    }

    /// The addresses of the nodes that live, as `REDIS_URL` takes them.
    #[must_use]
    pub fn url(&self) -> String {
        if self.proxies.is_empty() {
            return self.nodes.iter().flatten().map(RedisServer::url).collect::<Vec<_>>().join(",");
        }
        self.proxies.iter().map(Proxy::url).collect::<Vec<_>>().join(",")
    }

    fn ask(&self, index: usize, words: &[&str]) -> String {
        let mut connection = self.node(index).connection();
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap_or_default()
    }

    /// What a node says of the cluster.
    #[must_use]
    pub fn info(&self, index: usize) -> String {
        self.ask(index, &["CLUSTER", "INFO"])
    }

    /// What a node says of who follows whom.
    #[must_use]
    pub fn replication(&self, index: usize) -> String {
        self.ask(index, &["INFO", "replication"])
    }

    fn id(&self, index: usize) -> String {
        self.ask(index, &["CLUSTER", "MYID"])
    }

    /// Whether a node is a master now.
    #[must_use]
    pub fn is_master(&self, index: usize) -> bool {
        self.replication(index).contains("role:master")
    }

    /// The slot of a key.
    ///
    /// # Panics
    /// If the first living node does not answer.
    #[must_use]
    pub fn slot(&self, key: &str) -> u16 {
        let node = self.nodes.iter().flatten().next().expect("a node that lives");
        redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query(&mut node.connection()).expect("a slot")
    }

    /// The master that has a slot by the even spread of the start.
    #[must_use]
    pub fn first_owner(&self, slot: u16) -> usize {
        (0..self.masters).rev().find(|index| usize::from(slot) >= 16_384 * index / self.masters).unwrap_or(0)
    }

    /// Moves a slot with its keys to another master, a few keys at a time, as `redis-cli --cluster reshard` does.
    ///
    /// # Panics
    /// If a node refuses.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize, pause: Duration) {
        let (source, target) = (self.node(from), self.node(to));
        let (mut at_source, mut at_target) = (source.connection(), target.connection());
        let (source_id, target_id) = (self.id(from), self.id(to));
        let set = |connection: &mut redis::Connection, words: &[&str]| {
            let mut command = redis::cmd("CLUSTER");
            command.arg("SETSLOT").arg(slot).arg(words);
            command.exec(connection).expect("a slot that is set");
        };
        set(&mut at_target, &["IMPORTING", &source_id]);
        set(&mut at_source, &["MIGRATING", &target_id]);
        loop {
            let keys: Vec<Vec<u8>> =
                redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(10).query(&mut at_source).expect("keys");
            if keys.is_empty() {
                break;
            }
            let mut command = redis::cmd("MIGRATE");
            command.arg("127.0.0.1").arg(target.port()).arg("").arg(0).arg(5_000).arg("REPLACE").arg("KEYS").arg(keys);
            command.exec(&mut at_source).expect("keys that move");
            std::thread::sleep(pause);
        }
        set(&mut at_target, &["NODE", &target_id]);
        set(&mut at_source, &["NODE", &target_id]);
        // Two that take slots at the same moment could take the same epoch, and then argue.
        let masters: Vec<usize> = (0..self.nodes.len()).filter(|index| self.nodes[*index].is_some()).collect();
        eventually("the others know of the move", || {
            let epoch = |index: &usize| {
                let info = self.info(*index);
                info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:")).map(str::to_owned)
            };
            let knows = |index: &usize| {
                let nodes = self.ask(*index, &["CLUSTER", "NODES"]);
                let line = nodes.lines().find(|line| line.starts_with(&target_id)).unwrap_or_default();
                line.split(' ').skip(8).any(|range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    first.parse().is_ok_and(|first: u16| first <= slot)
                        && last.parse().is_ok_and(|last: u16| slot <= last)
                })
            };
            masters.iter().all(knows) && masters.windows(2).all(|pair| epoch(&pair[0]) == epoch(&pair[1]))
        });
    }
}
