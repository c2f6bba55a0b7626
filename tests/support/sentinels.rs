//! A master with a replica, watched by three sentinels.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::redis_server::{KEEPER, free_port};
use crate::{RedisServer, TemporaryFolder, temporary_folder};

/// Three sentinels of the master named `main`.
#[derive(Debug)]
pub struct Sentinels {
    keepers: Vec<Child>,
    ports: Vec<u16>,
    folder: TemporaryFolder,
}

impl Sentinels {
    /// Starts three, and waits until they know each other and the replica.
    ///
    /// # Panics
    /// If they do not come up.
    #[must_use]
    pub fn of(master: &RedisServer) -> Self {
        let folder = temporary_folder("sentinels");
        let mut sentinels = Self { keepers: Vec::new(), ports: Vec::new(), folder };
        for number in 0..3 {
            let port = free_port();
            let file = sentinels.folder.join(format!("{number}.conf"));
            let text = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n",
                master.port()
            );
            std::fs::write(&file, text).expect("a file");
            let mut keeper = Command::new("sh")
                .args(["-c", KEEPER, "keeper"])
                .arg(&file)
                .arg("--sentinel")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("a shell");
            let mut line = String::new();
            BufReader::new(keeper.stdout.take().expect("its output")).read_line(&mut line).expect("a process id");
            sentinels.keepers.push(keeper);
            sentinels.ports.push(port);
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while !sentinels.ports.iter().all(|port| knows_all(*port)) {
            assert!(Instant::now() < deadline, "the sentinels find each other");
            std::thread::sleep(Duration::from_millis(50));
        }
        sentinels
    }

    /// The address of each.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect()
    }

    /// The address, as `REDIS_URL` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/main", hosts.join(","))
    }
}

fn knows_all(port: u16) -> bool {
    let Ok(mut connection) = redis::Client::open(format!("redis://127.0.0.1:{port}")).and_then(|c| c.get_connection())
    else {
        return false;
    };
    let info: redis::RedisResult<String> = redis::cmd("INFO").arg("sentinel").query(&mut connection);
    info.is_ok_and(|info| info.contains("slaves=1,sentinels=3"))
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        for keeper in &mut self.keepers {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}
