//! A client that sends raw bytes and shows the response as it came.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response, read to the end of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// The lines of a header.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The one line of a header; empty if there is none.
    ///
    /// # Panics
    /// If there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} is there {} times", all.len());
        all.first().copied().unwrap_or_default()
    }

    /// What the cache says it did, without its name.
    #[must_use]
    pub fn cache(&self) -> &str {
        self.header("cache-status").strip_prefix("cache-middleware; ").unwrap_or_default()
    }

    /// Whether it came from the cache.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.cache().starts_with("hit")
    }
}

/// Sends a request and reads its response.
///
/// # Panics
/// If the server does not answer with HTTP.
pub async fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str("host: test\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).await.expect("a request that is taken");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("a response");
    parse(&String::from_utf8_lossy(&bytes))
}

/// A GET without headers.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    send(address, "GET", path, &[], "").await
}

fn parse(text: &str) -> Response {
    // An interim response (100 Continue) may come first.
    let text = match text.strip_prefix("HTTP/1.1 1").and_then(|interim| interim.split_once("\r\n\r\n")) {
        Some((_, last)) => last,
        None => text,
    };
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP response: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Response { status: status.expect("a status line"), headers, body: body.to_owned() }
}
