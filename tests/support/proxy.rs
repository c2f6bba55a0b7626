//! A TCP proxy between a node and its Redis, that can hold, delay, throttle and cut what passes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// They arrive.
    Fair,
    /// They do not, and nobody is told: the connection is half open. What was held arrives when the weather is fair again.
    Frozen,
    /// They arrive so much later, in their order.
    Slow(Duration),
    /// So many bytes arrive in a second.
    Thin(usize),
    /// Others arrive in their place.
    Garbage,
}

/// A proxy on a free port of 127.0.0.1. It stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// From the node to Redis, and back.
    there: watch::Sender<Weather>,
    back: watch::Sender<Weather>,
    /// Counts the cuts: a connection ends when it changes.
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Proxy {
    /// Starts one before a server.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (there, back, cuts) =
            (watch::Sender::new(Weather::Fair), watch::Sender::new(Weather::Fair), watch::Sender::new(0));
        let task = tokio::spawn({
            let (there, back, cuts) = (there.clone(), back.clone(), cuts.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let (there, back, cut) = (there.subscribe(), back.subscribe(), cuts.subscribe());
                    tokio::spawn(pass(client, port, there, back, cut));
                }
            }
        });
        Self { address, there, back, cuts, task }
    }

    /// The address of it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The port of it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes the weather in both directions.
    pub fn weather(&self, weather: Weather) {
        self.there.send_replace(weather);
        self.back.send_replace(weather);
    }

    /// Changes the weather on the way from Redis to the node only.
    pub fn weather_back(&self, weather: Weather) {
        self.back.send_replace(weather);
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn pass(
    client: TcpStream,
    port: u16,
    there: watch::Receiver<Weather>,
    back: watch::Receiver<Weather>,
    mut cut: watch::Receiver<u64>,
) {
    cut.mark_unchanged();
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = carry(from_client, to_server, there) => {}
        () = carry(from_server, to_client, back) => {}
        _ = cut.changed() => {}
    }
}

/// Carries bytes one way until one side closes.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    // What was read waits here with its time, so that a delay does not become a throttle.
    let (queue, mut queued) = tokio::sync::mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if queue.send((tokio::time::Instant::now(), buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((read_at, mut bytes)) = queued.recv().await {
            loop {
                let now = *weather.borrow_and_update();
                match now {
                    Weather::Fair => break,
                    Weather::Garbage => {
                        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
                        break;
                    }
                    Weather::Slow(by) if read_at.elapsed() >= by => break,
                    Weather::Slow(by) => {
                        let _ = tokio::time::timeout_at(read_at + by, weather.changed()).await;
                    }
                    Weather::Thin(per_second) => {
                        let millis = 1_000 * bytes.len() as u64 / (per_second.max(1) as u64);
                        tokio::time::sleep(Duration::from_millis(millis)).await;
                        break;
                    }
                    Weather::Frozen => {
                        if weather.changed().await.is_err() {
                            return;
                        }
                    }
                }
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = read => {}, () = write => {} }
}
