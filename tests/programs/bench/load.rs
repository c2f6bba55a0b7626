//! A load generator as lean as `wrk`: so many connections on one thread, each with one request under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The connections of a row, unless it is about their number.
pub(crate) const CONNECTIONS: usize = 32;

/// What a round of requests gave.
#[derive(Debug)]
pub(crate) struct Round {
    /// Requests in a second.
    pub(crate) per_second: f64,
    /// How long the slowest of a hundred took, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// What is asked.
#[derive(Debug, Clone)]
enum Asked {
    /// The same, again and again.
    Same(Arc<[u8]>),
    /// Paths that end in a number, one after the other, and from the first again after so many.
    Counted { before: Arc<str>, after: Arc<str>, next: Arc<AtomicU64>, count: u64 },
}

/// Requests over connections that stay.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    address: SocketAddr,
    asked: Asked,
    expected: u16,
}

impl Load {
    /// The same path, again and again; with these headers, and answered with this status.
    pub(crate) fn of(address: SocketAddr, path: &str, headers: &[(&str, &str)], expected: u16) -> Self {
        let asked = Asked::Same((format!("GET {path}") + &lines(address, headers)).into_bytes().into());
        Self { address, asked, expected }
    }

    /// Paths that begin like this and end in a number that never comes again.
    pub(crate) fn of_new(address: SocketAddr, path: &str) -> Self {
        Self::of_many(address, path, &[], 200, u64::MAX)
    }

    /// Paths that begin like this and end in one of so many numbers, each as often as the others.
    pub(crate) fn of_many(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        expected: u16,
        count: u64,
    ) -> Self {
        let (before, after) = (format!("GET {path}").into(), lines(address, headers).into());
        Self { address, asked: Asked::Counted { before, after, next: Arc::default(), count }, expected }
    }

    /// Asks for each of the numbers at least once.
    pub(crate) fn run_through(&self) {
        if let Asked::Counted { next, count, .. } = &self.asked {
            while next.load(Ordering::Relaxed) < *count {
                self.run(Duration::from_millis(100));
            }
        }
    }

    /// Asks for so long. It runs on a thread of its own, so that what is measured does not wait for it.
    ///
    /// Panics when an answer has another status than is expected.
    pub(crate) fn run(&self, time: Duration) -> Round {
        let load = self.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let local = tokio::task::LocalSet::new();
            let (ended, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            local.block_on(&runtime, async {
                let mut asking = Vec::new();
                for _ in 0..CONNECTIONS {
                    let stream = TcpStream::connect(load.address).await.expect("a connection");
                    stream.set_nodelay(true).expect("no delay");
                    let part = ask(stream, load.clone(), ended.clone(), count.clone());
                    asking.push(tokio::task::spawn_local(part));
                }
                let began = Instant::now();
                tokio::time::sleep(time).await;
                let (counted, took) = (count.load(Ordering::Relaxed), began.elapsed());
                ended.store(true, Ordering::Relaxed);
                let mut times = Vec::new();
                for part in asking {
                    times.extend(part.await.expect("answers"));
                }
                times.sort_unstable();
                let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
                Round { per_second: counted as f64 / took.as_secs_f64(), p99_ms: p99.as_secs_f64() * 1e3 }
            })
        })
        .join()
        .expect("a round")
    }
}

/// The rest of a request after its path.
fn lines(address: SocketAddr, headers: &[(&str, &str)]) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(" HTTP/1.1\r\nhost: {address}\r\n{lines}\r\n")
}

async fn ask(mut stream: TcpStream, load: Load, ended: Arc<AtomicBool>, count: Arc<AtomicU64>) -> Vec<Duration> {
    let mut times = Vec::with_capacity(1 << 16);
    let mut buffer = vec![0; 64 << 10];
    while !ended.load(Ordering::Relaxed) {
        let began = Instant::now();
        match &load.asked {
            Asked::Same(request) => stream.write_all(request).await,
            Asked::Counted { before, after, next, count } => {
                let request = format!("{before}{:09}{after}", next.fetch_add(1, Ordering::Relaxed) % count);
                stream.write_all(request.as_bytes()).await
            }
        }
        .expect("it is sent");
        read_answer(&mut stream, &mut buffer, load.expected).await;
        times.push(began.elapsed());
        count.fetch_add(1, Ordering::Relaxed);
    }
    times
}

/// Reads one answer to its end.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>, expected: u16) {
    let (mut length, mut whole) = (0, None);
    while !whole.is_some_and(|whole: Whole| whole.is_there(&buffer[..length])) {
        if length == buffer.len() {
            buffer.resize(2 * length, 0);
        }
        let read = stream.read(&mut buffer[length..]).await.expect("an answer");
        assert!(read > 0, "the connection ended within an answer");
        length += read;
        whole = whole.or_else(|| Whole::of(&buffer[..length], expected));
    }
}

/// When an answer is whole.
#[derive(Debug, Clone, Copy)]
enum Whole {
    /// After so many bytes.
    At(usize),
    /// After the last of its chunks.
    Chunks,
}

impl Whole {
    /// Once the head is there.
    fn of(answer: &[u8], expected: u16) -> Option<Self> {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&answer[..end]).expect("a head in ASCII");
        let status = head.get(9..12).and_then(|status| status.parse::<u16>().ok());
        assert_eq!(status, Some(expected), "{head}");
        let mut whole = Self::At(end);
        for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                whole = Self::At(end + value.trim().parse::<usize>().expect("a length"));
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                whole = Self::Chunks;
            }
        }
        Some(whole)
    }

    fn is_there(self, answer: &[u8]) -> bool {
        match self {
            Self::At(length) => answer.len() >= length,
            Self::Chunks => answer.ends_with(b"0\r\n\r\n"),
        }
    }
}
