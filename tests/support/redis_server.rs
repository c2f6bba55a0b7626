//! A `redis-server` process that ends with the test, also when the test fails or its process is killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::{TemporaryFolder, temporary_folder};

/// Starts the server, prints its process id, and kills it when standard input ends: that is when its owner is dropped
/// or dies.
pub(crate) const KEEPER: &str = r#"redis-server "$@" >/dev/null 2>&1 & echo $!; cat >/dev/null; kill -9 $!; wait $!"#;

/// A Redis on a free port of 127.0.0.1, which writes a snapshot only if it is told to, into a folder of its own.
#[derive(Debug)]
pub struct RedisServer {
    keeper: Child,
    pid: u32,
    port: u16,
    options: Vec<String>,
    folder: Arc<TemporaryFolder>,
}

impl RedisServer {
    /// Starts a server.
    ///
    /// # Panics
    /// If `redis-server` is not installed (`./tests/run` installs it) or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with options such as `["--maxmemory-policy", "allkeys-lru"]`.
    ///
    /// # Panics
    /// As [`RedisServer::start`].
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        for _ in 0..20 {
            if let Some(server) = Self::try_start(free_port(), &options, folder()) {
                return server;
            }
        }
        panic!("redis-server does not start: is it installed? ./tests/run installs it");
    }

    /// Starts a server on a port; `None` if it is taken.
    #[must_use]
    pub fn start_on(port: u16, options: &[&str]) -> Option<Self> {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Self::try_start(port, &options, folder())
    }

    /// A snapshot that is in the folder is loaded.
    fn try_start(port: u16, options: &[String], folder: Arc<TemporaryFolder>) -> Option<Self> {
        let (port_text, dir) = (port.to_string(), folder.display().to_string());
        let fixed = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &dir];
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .args(fixed)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Where the shell tells that its child was killed.
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().expect("its output")).read_line(&mut line).expect("a process id");
        let pid = line.trim().parse().expect("a process id");
        let server = Self { keeper, pid, port, options: options.to_vec(), folder };
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if server.ping() {
                return Some(server);
            }
            if !server.is_alive() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Asks this very process, because another server might have taken the port first.
    fn ping(&self) -> bool {
        let Ok(client) = redis::Client::open(self.url()) else { return false };
        let Ok(mut connection) = client.get_connection_with_timeout(Duration::from_millis(500)) else { return false };
        if let Some(password) = self.option("--requirepass") {
            let _ = redis::cmd("AUTH").arg(password).query::<()>(&mut connection);
        }
        let info: redis::RedisResult<String> = redis::cmd("INFO").arg("server").query(&mut connection);
        info.is_ok_and(|info| info.contains(&format!("process_id:{}\r\n", self.pid)))
    }

    fn is_alive(&self) -> bool {
        self.signal("-0")
    }

    /// Sends a signal such as `-STOP` or `-CONT`.
    pub fn signal(&self, signal: &str) -> bool {
        Command::new("kill")
            .args([signal, &self.pid.to_string()])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// The address of it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of an option it was started with.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let at = self.options.iter().position(|option| option == name)?;
        self.options.get(at + 1).map(String::as_str)
    }

    /// A blocking connection, to look behind the store's back.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).and_then(|client| client.get_connection()).expect("a connection")
    }

    /// What it tells of itself in a section.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn info(&self, section: &str) -> String {
        redis::cmd("INFO").arg(section).query(&mut self.connection()).expect("a section")
    }

    /// A number that it tells of itself in a section, such as `used_memory` in `memory`.
    ///
    /// # Panics
    /// If it does not, or has another name for it.
    #[must_use]
    pub fn info_number(&self, section: &str, name: &str) -> u64 {
        let text = self.info(section);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no number {name}"))
    }

    /// How often it has carried out each command so far, and the microseconds that took. What a script does counts for the script,
    /// and under its own names.
    ///
    /// # Panics
    /// If it does not tell.
    #[must_use]
    pub fn commands(&self) -> BTreeMap<String, (u64, u64)> {
        let numbers = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let (calls, rest) = rest.split_once(",usec=")?;
            Some((name.to_owned(), (calls.parse().ok()?, rest.split(',').next()?.parse().ok()?)))
        };
        self.info("commandstats").lines().filter_map(numbers).collect()
    }

    /// Kills the server, and gives what starts another one on the same port, with the last snapshot if there is one.
    #[must_use]
    pub fn kill(self) -> Killed {
        Killed { port: self.port, options: self.options.clone(), folder: self.folder.clone() }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A server that was killed.
#[derive(Debug)]
pub struct Killed {
    port: u16,
    options: Vec<String>,
    folder: Arc<TemporaryFolder>,
}

impl Killed {
    /// An address where nothing listens until [`Killed::restart`].
    #[must_use]
    pub fn nowhere() -> Self {
        Self { port: free_port(), options: Vec::new(), folder: folder() }
    }

    /// The address it had.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts a server in its place.
    ///
    /// # Panics
    /// If somebody else has taken the port.
    #[must_use]
    pub fn restart(self) -> RedisServer {
        RedisServer::try_start(self.port, &self.options, self.folder).expect("the port is still free")
    }
}

fn folder() -> Arc<TemporaryFolder> {
    Arc::new(temporary_folder("redis"))
}

/// A port that nobody listens on, and that nobody else in this process is given for a long while. It is none of those that
/// systems hand out by themselves: connections would take it between this look and its use, or while its server is dead.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run side by side begin in different places.
    let begin = std::process::id().wrapping_mul(997);
    let mut ports = (0..COUNT).map(|_| {
        let port = FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        u16::try_from(port).expect("below 65,536")
    });
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// What `clear.lua` does for one mark in the default namespace, without its signal.
///
/// # Panics
/// If nothing was ever leased there.
pub fn clear_without_a_signal(raw: &mut redis::Connection, mark: &str) {
    let fence: String = redis::cmd("GET").arg("{cache:v3:0}:f").query(raw).expect("the fence");
    let mut fields: Vec<String> = fence.split(' ').map(str::to_owned).collect();
    let clock = (fields[1].parse::<u64>().expect("a clock") + 1).to_string();
    fields[1].clone_from(&clock);
    fields[5] = "1".to_owned();
    let mut pipe = redis::pipe();
    pipe.cmd("SET").arg("{cache:v3:0}:f").arg(fields.join(" "));
    pipe.cmd("ZADD").arg("{cache:v3:0}:m").arg(&clock).arg(mark);
    pipe.cmd("ZADD").arg("{cache:v3:0}:x").arg(&clock).arg("e/nothing");
    pipe.exec(raw).expect("a clear");
}
