//! The examples do what they say: services are asked the `curl` lines of their heads, programs run to their end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cache_suite::{asked_in, entries, free_port, play, read};
use tokio::net::TcpStream;

/// A program that serves, and is killed at the end.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a program that is given its address, and waits until it takes connections.
pub(crate) async fn serve(program: &Path, settings: &[(&str, String)]) -> Service {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let settings = settings.iter().map(|(name, value)| (*name, value));
    let process = command(program).envs(settings).arg(address.to_string()).spawn().expect("a program");
    let mut service = Service { address, process };
    while TcpStream::connect(address).await.is_err() {
        let ended = service.process.try_wait().expect("a process");
        assert!(ended.is_none(), "{} has ended at its start: {ended:?}", program.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    service
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_remove("REDIS_URL").env_remove("REDIS_HOST").stdout(Stdio::null());
    command
}

/// The program of an example, beside the tests: `cargo test --workspace` builds all of them.
pub(crate) fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    let program = tests.ancestors().nth(2).expect("a folder").join("examples").join(name);
    assert!(program.exists(), "{} is not built: run `cargo build -p cache-middleware --examples`", program.display());
    program
}

/// The head of a source: its first comment.
fn head(source: &str) -> String {
    source.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn each_does_what_its_head_says() {
    let sources = entries("cache-middleware/examples");
    assert!(sources.len() >= 14, "where are the examples?");
    for source in sources {
        let name = source.file_stem().and_then(|name| name.to_str()).expect("a name");
        let head = head(&read(&source));
        assert!(
            head.contains(&format!("-p cache-middleware --example {name}")),
            "{name} does not say how it is started"
        );
        let lines = asked_in(&head);
        if lines.is_empty() {
            // This one serves another server's responses, and has a test of its own.
            if name != "reverse_proxy" {
                let program = tokio::process::Command::from(command(&example(name))).status();
                assert!(program.await.expect("a program").success(), "{name}");
            }
            continue;
        }
        println!("{name}");
        let service = serve(&example(name), &[]).await;
        play(&[service.address], &lines).await;
    }
}
