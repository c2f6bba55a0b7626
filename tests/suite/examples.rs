//! The examples do what they say: services are asked the `curl` lines of their heads, programs run to their end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cache_suite::{asked_in, free_port, play};

/// Killed at the end.
pub(crate) struct Running(pub(crate) Child);

/// An example that serves.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    _running: Running,
}

/// Starts an example, and waits until it takes connections.
pub(crate) async fn serve(name: &str, settings: &[(&str, String)]) -> Service {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let settings = settings.iter().map(|(name, value)| (*name, value));
    let running = Running(command(name).envs(settings).arg(address.to_string()).spawn().expect("a program"));
    until_it_serves(address).await;
    Service { address, _running: running }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sources() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cache-middleware/examples");
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut sources: Vec<_> = files
        .map(|path| {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            (name, std::fs::read_to_string(path).expect("a text"))
        })
        .collect();
    sources.sort();
    sources
}

/// Beside the tests: `cargo test --workspace` builds all of them.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    let program = tests.ancestors().nth(2).expect("a folder").join("examples").join(name);
    assert!(program.exists(), "{} is not built: run `cargo build -p cache-middleware --examples`", program.display());
    program
}

fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    command.env_remove("REDIS_URL").env_remove("REDIS_HOST").stdout(Stdio::null());
    command
}

/// The head of a source: its first comment.
fn head(source: &str) -> String {
    source.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n")
}

/// Waits until a service takes connections.
pub(crate) async fn until_it_serves(address: SocketAddr) {
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn each_does_what_its_head_says() {
    let sources = sources();
    assert!(sources.len() >= 14, "where are the examples?");
    for (name, source) in sources {
        let head = head(&source);
        assert!(
            head.contains(&format!("-p cache-middleware --example {name}")),
            "{name} does not say how it is started"
        );
        let lines = asked_in(&head);
        if lines.is_empty() {
            // This one serves another server's responses, and has a test of its own.
            if name != "reverse_proxy" {
                let status = tokio::task::spawn_blocking(move || command(&name).status().map(|status| (name, status)));
                let (name, status) = status.await.expect("no panic").expect("a program");
                assert!(status.success(), "{name}: {status}");
            }
            continue;
        }
        println!("{name}");
        let service = serve(&name, &[]).await;
        play(&[service.address], &lines).await;
    }
}
