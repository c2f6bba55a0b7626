//! The fleet of node processes, and those who ask them.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_suite::{Rng, TemporaryFolder, temporary_folder};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::backend::Backend;
use super::settings::Settings;
use super::world::{KEYS, World, group_of, key};

/// How many ask each node at a time.
const CLIENTS: usize = 4;

/// How many ask each node at once for the same.
const STAMPEDE: usize = 500;

/// How long it may take after the last fault until every clear is carried out.
const SETTLING: Duration = Duration::from_secs(4);

/// How long a node may take for an answer, whatever happens to Redis.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    database: SocketAddr,
    queue: String,
    mode: String,
    /// The journals of the nodes: they outlive their processes.
    journals: TemporaryFolder,
}

pub(crate) struct Node {
    redis: String,
    /// Seconds by which its clock is off.
    clock: i64,
    process: Mutex<Option<Child>>,
    address: Mutex<Option<SocketAddr>>,
    /// Counts what was done to its process: a request that it interrupted has not failed.
    pub(crate) disturbed: AtomicU64,
    pub(crate) stopped: AtomicBool,
}

impl Node {
    /// What changes when something is done to its process.
    fn state(&self) -> (u64, Option<SocketAddr>) {
        let address = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
        (self.disturbed.load(Ordering::SeqCst), address)
    }
}

impl Fleet {
    pub(crate) async fn start(settings: &Settings, backend: &Backend, queue: String, database: SocketAddr) -> Self {
        let nodes = (0..settings.nodes).map(|index| Node {
            redis: backend.url(index),
            clock: [0, 900, -900][index % 3],
            process: Mutex::new(None),
            address: Mutex::new(None),
            disturbed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let journals = temporary_folder("journals");
        let fleet = Self { nodes: nodes.collect(), database, queue, mode: settings.mode.to_string(), journals };
        for index in 0..fleet.nodes.len() {
            fleet.revive(index).await;
        }
        fleet
    }

    /// Starts the process of a node.
    pub(crate) async fn revive(&self, index: usize) {
        let node = &self.nodes[index];
        let program = std::env::current_exe().expect("this program");
        let mut command = if node.clock == 0 {
            Command::new(program)
        } else {
            let mut command = Command::new("faketime");
            command.arg("-f").arg(format!("{:+}s", node.clock)).arg(program);
            command
        };
        command.args(["--node", &node.redis, &self.database.to_string(), &self.mode, &self.queue]);
        command.env("CACHE_JOURNAL", self.journals.join(format!("node-{index}")));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Of its own group: `faketime` runs the node as a child.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("a process; ./tests/run installs faketime");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        output.read_line(&mut line).await.expect("an address");
        let address = line.trim().parse().unwrap_or_else(|_| panic!("node {index} says {line:?}"));
        *node.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        *node.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// Sends a signal to the process of a node.
    pub(crate) fn signal(&self, index: usize, signal: &str) {
        let node = &self.nodes[index];
        node.disturbed.fetch_add(1, Ordering::SeqCst);
        let pid = node.process.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Child::id);
        if let Some(pid) = pid {
            let _ = std::process::Command::new("kill").args([signal, "--", &format!("-{pid}")]).status();
        }
    }

    pub(crate) fn kill(&self, index: usize) {
        // First, so that nobody begins to ask who has not seen that it is killed.
        *self.nodes[index].address.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.signal(index, "-KILL");
        *self.nodes[index].process.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn stop(&self) {
        for index in 0..self.nodes.len() {
            self.kill(index);
        }
    }

    /// When the weather has been fair for a while, no clear that was acknowledged or journaled may be missing anywhere.
    pub(crate) async fn look_for_lost_clears(&self, world: &World) {
        tokio::time::sleep(SETTLING).await;
        for (index, node) in self.nodes.iter().enumerate() {
            let mut line = Line::default();
            for key in (0..KEYS).map(key) {
                let answer = line.ask(node, &format!("read {key}")).await.unwrap_or_else(|error| error);
                match answer.split(' ').nth(1).and_then(|version| version.parse().ok()) {
                    Some(version) => world.must_be_newest(&key, index, version),
                    None => world.failed(format!("failed: node {index} at the end: {answer}")),
                }
            }
        }
    }

    /// When the weather is fair, the queue is written to its end.
    pub(crate) async fn drain(&self, world: &World) {
        let answer = match self.nodes.first() {
            Some(node) => Line::default().ask(node, "drain").await.unwrap_or_else(|error| error),
            None => return,
        };
        if answer != "drained" {
            world.failed(format!("failed: the queue at the end: {answer}"));
        }
        world.must_be_written();
    }

    /// Once the weather is fair, everybody asks every node for what is nowhere: the handler runs once (P6), but for nodes that Redis
    /// has not answered in time on a machine that is too busy for it: there requests wait for no other (P8), and the node says so.
    pub(crate) async fn stampede(&self, world: &World) {
        for round in 0..3 {
            let before = world.runs.load(Ordering::SeqCst);
            let question = format!("flood cold:{round} {STAMPEDE}");
            let asked = self.nodes.iter().map(async |node| Line::default().ask(node, &question).await);
            let answers = futures_util::future::join_all(asked).await;
            let runs = world.runs.load(Ordering::SeqCst) - before;
            let all_are_one = answers.iter().all(|answer| answer.as_ref().is_ok_and(|said| said.starts_with("ok 1 ")));
            // `ok`, how many answers differ, how often the handler ran, and what excuses that.
            let excused = answers.iter().flatten().filter_map(|said| {
                let mut words = said.split_whitespace().skip(2);
                let ran = words.next()?.parse::<u64>().ok();
                words.next().and(ran)
            });
            let excused: u64 = excused.sum();
            if runs == 0 || runs > 1 + excused || !all_are_one {
                world.failed(format!("failed: a stampede ran the handler {runs} times: {answers:?}"));
            }
        }
    }

    pub(crate) async fn reports(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let mut line = Line::default();
            let report = line.ask(node, "report").await.unwrap_or_else(|error| error);
            lines.push(format!("node {index}: {report}"));
        }
        lines
    }
}

/// A connection to a node.
#[derive(Default)]
pub(crate) struct Line(Option<(SocketAddr, BufReader<TcpStream>)>);

impl Line {
    pub(crate) async fn ask(&mut self, node: &Node, question: &str) -> Result<String, String> {
        let address = *node.address.lock().unwrap_or_else(PoisonError::into_inner);
        let address = address.ok_or("the node is dead")?;
        let answer = tokio::time::timeout(PATIENCE, self.try_ask(address, question)).await;
        let answer = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        self.0 = None;
        Err(answer)
    }

    async fn try_ask(&mut self, address: SocketAddr, question: &str) -> std::io::Result<String> {
        let stream = match &mut self.0 {
            Some((known, stream)) if *known == address => stream,
            other => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                &mut other.insert((address, BufReader::new(stream))).1
            }
        };
        stream.get_mut().write_all(format!("{question}\n").as_bytes()).await?;
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::Error::other("the connection was closed"));
        }
        Ok(line.trim().to_owned())
    }
}

pub(crate) fn start(fleet: &Arc<Fleet>, world: &Arc<World>, rng: &mut Rng, until: Instant) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for node in 0..fleet.nodes.len() {
        for number in 0..CLIENTS {
            let slot = format!("slot:{node}:{number}");
            tasks.push(tokio::spawn(client(fleet.clone(), world.clone(), (node, slot), rng.split(), until)));
        }
    }
    tasks
}

async fn client(fleet: Arc<Fleet>, world: Arc<World>, (index, slot): (usize, String), mut rng: Rng, until: Instant) {
    let mut puts = 0;
    let node = &fleet.nodes[index];
    let mut line = Line::default();
    while Instant::now() < until {
        world.ops.fetch_add(1, Ordering::Relaxed);
        let before = node.state();
        let ended = match rng.below(100) {
            0..6 => write(&world, index, node, &mut line, &mut rng).await,
            6..10 => write_behind(&world, node, &mut line, (&slot, &mut puts), &mut rng).await,
            _ => read(&world, index, node, &mut line, &mut rng).await,
        };
        if let Err(error) = ended {
            // Somebody killed or stopped the node meanwhile.
            let excused = node.state() != before || before.1.is_none() || node.stopped.load(Ordering::SeqCst);
            if !excused {
                world.failed(format!("failed: node {index}: {error}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if rng.below(10) == 0 {
            tokio::time::sleep(Duration::from_millis(rng.below(4))).await;
        }
    }
}

/// Puts the next value under a key of this client alone, or adds to what all add to.
async fn write_behind(
    world: &World,
    node: &Node,
    line: &mut Line,
    (slot, puts): (&str, &mut u64),
    rng: &mut Rng,
) -> Result<(), String> {
    if rng.below(2) == 0 {
        *puts += 1;
        if line.ask(node, &format!("put {slot} {puts}")).await? == "acked" {
            world.books.put(slot, *puts);
        }
        return Ok(());
    }
    let added = line.ask(node, "add").await;
    world.books.added(added.as_deref() == Ok("acked"));
    added.map(|_| ())
}

async fn read(world: &World, index: usize, node: &Node, line: &mut Line, rng: &mut Rng) -> Result<(), String> {
    let key = key(rng.below(KEYS));
    let asked = Instant::now();
    let answer = line.ask(node, &format!("read {key}")).await?;
    let words: Vec<&str> = answer.split(' ').collect();
    world.took(asked.elapsed());
    let ["ok", version, how] = words.as_slice() else { return Err(answer) };
    let version = version.parse::<u64>().map_err(|_| answer.clone())?;
    if version == 0 {
        return Err("the handler failed".to_owned());
    }
    world.answered(&key, index, asked, version, *how == "hit");
    Ok(())
}

async fn write(world: &World, index: usize, node: &Node, line: &mut Line, rng: &mut Rng) -> Result<(), String> {
    let one = key(rng.below(KEYS));
    let (how, keys) = match rng.below(20) {
        0 => ("clear all x".to_owned(), (0..KEYS).map(key).collect()),
        1 => ("clear pattern key:*".to_owned(), (0..KEYS).map(key).collect()),
        2..6 => {
            let group = group_of(&one);
            (format!("clear tag group:{group}"), (0..KEYS).map(key).filter(|key| group_of(key) == group).collect())
        }
        6..10 => (format!("clear key {one}"), vec![one]),
        _ => (format!("clear tag own:{one}"), vec![one]),
    };
    let keys: Vec<String> = keys;
    let written: Vec<(String, u64)> = keys.into_iter().map(|key| (key.clone(), world.write(&key))).collect();
    match line.ask(node, &how).await?.as_str() {
        "acked" => world.acknowledged(&written, index),
        "journaled" => world.journaled(&written, index),
        // Not even the file could take it.
        "refused" => world.failed(format!("failed: node {index} refused a clear")),
        other => return Err(other.to_owned()),
    }
    Ok(())
}
