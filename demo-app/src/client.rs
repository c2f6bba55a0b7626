//! Requests to this service, as its own tools make them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request of a teacher; gives what the cache did, and the body. Fails if the answer is no success.
pub(crate) async fn ask(
    address: SocketAddr,
    teacher: &str,
    method: &str,
    path: &str,
    body: &str,
) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {teacher}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A GET with a length, even of 0, is none that a cache would look up everywhere.
    let request = if body.is_empty() { request.replace("content-length: 0\r\n", "") } else { request };
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    if !head.starts_with("HTTP/1.1 2") {
        return Err(std::io::Error::other(head.lines().next().unwrap_or("no response").to_owned()));
    }
    let status = head.lines().find_map(|line| line.strip_prefix("cache-status: ")).unwrap_or_default();
    Ok((status.to_owned(), body.to_owned()))
}
