//! The example `reverse_proxy` changes nothing but the cache's own fields: random requests and responses, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Fields that the cache adds, and those that are about one connection.
const NOT_FORWARDED: [&str; 6] = ["age", "cache-status", "connection", "date", "keep-alive", "transfer-encoding"];

type Lines = Vec<(String, Vec<u8>)>;

#[derive(Debug)]
struct Message {
    first: String,
    lines: Lines,
    body: Vec<u8>,
}

/// Reads a message, which may be known to have no body.
fn read(stream: &TcpStream, bodyless: bool) -> Option<Message> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        let line = line.strip_suffix(b"\r\n")?.to_vec();
        Some(line)
    };
    let first = String::from_utf8_lossy(&line()?).into_owned();
    let mut lines = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let at = line.iter().position(|byte| *byte == b':')?;
        let value = line[at + 1..].trim_ascii().to_vec();
        lines.push((String::from_utf8_lossy(&line[..at]).to_ascii_lowercase(), value));
    }
    let said = |name: &str| lines.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if let Some(length) = said("content-length").filter(|_| !bodyless) {
        body = vec![0; String::from_utf8_lossy(&length).parse().ok()?];
        reader.read_exact(&mut body).ok()?;
    } else if said("transfer-encoding").is_some() && !bodyless {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    }
    Some(Message { first, lines, body })
}

/// An origin that answers what it is told, and tells what it was asked.
fn origin() -> (SocketAddr, Sender<Vec<u8>>, Receiver<Message>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (say, answers) = channel::<Vec<u8>>();
    let (asked, seen) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let Some(message) = read(&stream, false) else { continue };
            if asked.send(message).is_err() {
                return;
            }
            let Ok(answer) = answers.recv() else { return };
            stream.write_all(&answer).expect("an answer that is taken");
        }
    });
    (address, say, seen)
}

struct Proxy {
    process: Child,
    address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn proxy(origin: &str) -> Proxy {
    let own = std::env::current_exe().expect("a path");
    let folder: PathBuf = own.parent().and_then(|deps| deps.parent()).expect("a folder").join("examples");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let mut command = Command::new(folder.join("reverse_proxy"));
    command.args(["--listen", &free.to_string(), "--origin", origin]).stdout(Stdio::null());
    command.env_remove("REDIS_URL").env_remove("REDIS_HOST");
    let proxy = Proxy { process: command.spawn().expect("the example"), address: free };
    while TcpStream::connect(proxy.address).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    proxy
}

fn ask(address: SocketAddr, request: &[u8], bodyless: bool) -> Message {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.write_all(request).expect("a request that is taken");
    read(&stream, bodyless).unwrap_or_else(|| panic!("no answer to {}", String::from_utf8_lossy(request)))
}

/// A generator of numbers that can be repeated (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_of<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).expect("an index")]
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most)).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }

    /// A value without bytes that no header may hold.
    fn value(&mut self) -> Vec<u8> {
        let mut value: Vec<u8> = self.bytes(20).into_iter().filter(|byte| !matches!(byte, 0..=32 | 127)).collect();
        value.push(b'x');
        value
    }

    fn lines(&mut self, names: &[&str]) -> Lines {
        (0..self.below(6)).map(|_| (self.one_of(names).to_owned(), self.value())).collect()
    }
}

fn sorted(lines: &Lines) -> Lines {
    let kept = lines.iter().filter(|(name, _)| !NOT_FORWARDED.contains(&name.as_str()));
    let mut kept: Lines = kept.cloned().collect();
    // Lines of one name keep their order.
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    kept
}

fn written(first: &str, lines: &Lines, body: &[u8]) -> Vec<u8> {
    let mut out = format!("{first}\r\n").into_bytes();
    for (name, value) in lines {
        out.extend_from_slice(format!("{name}: ").as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

#[test]
fn nothing_changes_but_the_caches_own_fields() {
    let (address, say, seen) = origin();
    let proxy = proxy(&format!("http://{address}"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..300 {
        let method = random.one_of(&["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "M-SEARCH", "QUERY"]);
        let odd = random.one_of(&["/a%2F..", "/a/../b", "/./", "//", "/;x=1", "/%00", "/a.css", "/{}", "/'"]);
        let target = format!("{odd}{round}?{}", random.one_of(&["", "a=1&a=2", "x=%20+", "?", "b;c", "a[]=1"]));
        let mut lines = vec![("host".to_owned(), b"a.example".to_vec())];
        lines.extend(random.lines(&["x-one", "x-two", "accept", "x-three", "user-agent"]));
        let body = if matches!(method, "POST" | "PUT" | "PATCH" | "QUERY") { random.bytes(2_000) } else { Vec::new() };
        if !body.is_empty() {
            lines.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
        }
        let status = 200 + random.below(800);
        let has_body = method != "HEAD" && ![204, 304].contains(&status);
        let content = if has_body { random.bytes(3_000) } else { Vec::new() };
        let mut answer = random.lines(&["link", "x-one", "etag", "x-answer", "content-type", "set-cookie"]);
        if has_body {
            answer.push(("content-length".to_owned(), content.len().to_string().into_bytes()));
        }
        answer.push(("connection".to_owned(), b"close, x-dropped".to_vec()));
        answer.push(("x-dropped".to_owned(), b"1".to_vec()));
        say.send(written(&format!("HTTP/1.1 {status} Whatever"), &answer, &content)).expect("an origin");
        let mut request = lines.clone();
        request.push(("connection".to_owned(), b"x-hop".to_vec()));
        request.push(("x-hop".to_owned(), b"1".to_vec()));
        let bytes = written(&format!("{method} {target} HTTP/1.1"), &request, &body);
        let got = ask(proxy.address, &bytes, !has_body);

        let asked = seen.recv_timeout(Duration::from_secs(10)).expect("the origin was asked");
        assert_eq!(asked.first, format!("{method} {target} HTTP/1.1"), "round {round}");
        assert_eq!(sorted(&asked.lines), sorted(&lines), "round {round}");
        assert_eq!(asked.body, body, "round {round}");
        assert!(got.first.starts_with(&format!("HTTP/1.1 {status}")), "round {round}: {got:?}");
        answer.retain(|(name, _)| name != "x-dropped");
        let got_lines = sorted(&got.lines);
        // actix-web says the length of a body that is not there.
        let got_lines: Lines = got_lines.into_iter().filter(|(name, _)| has_body || name != "content-length").collect();
        assert_eq!(got_lines, sorted(&answer), "round {round}: {method} {status}");
        assert_eq!(got.body, content, "round {round}");
    }
}

#[test]
fn an_origin_that_is_gone_is_a_502() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let proxy = proxy(&format!("http://{gone}"));
    let answer = ask(proxy.address, b"GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n", false);
    assert!(answer.first.starts_with("HTTP/1.1 502"), "{answer:?}");
}
