//! Responses in the codings that callers accept: made once, cleared together, right byte for byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::middleware::{Compress, Condition};
use actix_web::{App, HttpResponse, HttpServer, web};
use cache_middleware::store::Store;
use cache_middleware::{CacheManager, Coding, Coherence};
use cache_suite::{Kind, RedisServer, TestStore, clear_without_a_signal, node, node_with_l1, redis_at};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn page(run: usize) -> String {
    format!("run {run}: {}", "to be compressed, ".repeat(100))
}

struct Served {
    address: SocketAddr,
    runs: Arc<AtomicUsize>,
}

async fn serve(cache: CacheManager, compress_outside: bool) -> Served {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let server = HttpServer::new(move || {
        let counted = counted.clone();
        let handler = move || {
            let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
            async move { HttpResponse::Ok().content_type("text/plain").body(page(run)) }
        };
        let caching = cache.response("5m").tags(|_| vec!["page".to_owned()]);
        let caching = caching.compress([Coding::Brotli, Coding::Zstd, Coding::Gzip]);
        App::new()
            .wrap(Condition::new(compress_outside, Compress::default()))
            .service(web::resource("/page").wrap(caching).route(web::get().to(handler)))
    })
    .workers(1)
    .bind("127.0.0.1:0")
    .expect("a port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    Served { address, runs }
}

#[derive(Debug)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).unwrap_or_default()
    }

    fn decoded(&self) -> String {
        use std::io::Read as _;
        let mut out = Vec::new();
        match self.header("content-encoding") {
            "br" => brotli::BrotliDecompress(&mut &self.body[..], &mut out).map(drop),
            "gzip" => flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut out).map(drop),
            "zstd" => zstd::stream::copy_decode(&self.body[..], &mut out),
            "" => {
                out.extend_from_slice(&self.body);
                Ok(())
            }
            other => panic!("{other} is no coding"),
        }
        .expect("a body in its coding");
        String::from_utf8(out).expect("a text")
    }
}

async fn ask(address: SocketAddr, headers: &[(&str, &str)]) -> Answer {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET /page HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request that is taken");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("a response");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    Answer { head: String::from_utf8_lossy(&bytes[..end]).into_owned(), body: bytes[end + 4..].to_vec() }
}

const ACCEPTED: [(&str, &str); 5] =
    [("br", "br"), ("gzip", "gzip"), ("zstd", "zstd"), ("", ""), ("br;q=0.1, gzip", "gzip")];

#[actix_web::test]
async fn one_run_serves_every_coding() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let Served { address, runs } = serve(test.node().await, false).await;
        let mut tags = Vec::new();
        for (accept, coding) in ACCEPTED {
            let answer = ask(address, &[("accept-encoding", accept)]).await;
            assert_eq!((answer.header("content-encoding"), answer.decoded()), (coding, page(1)), "{kind:?} {accept}");
            assert_eq!(answer.header("vary"), "accept-encoding");
            tags.push(answer.header("etag").to_owned());
            let again = ask(address, &[("accept-encoding", accept)]).await;
            assert!(again.header("cache-status").contains("hit"), "{again:?}");
            assert_eq!(again.body, answer.body);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{kind:?}");
        tags.dedup();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "other bytes, another tag: {tags:?}");
    }
}

#[actix_web::test]
async fn conditions_and_ranges_are_those_of_the_coding() {
    let test = TestStore::open(Kind::Memory).await;
    let Served { address, .. } = serve(test.node().await, false).await;
    let whole = ask(address, &[("accept-encoding", "br")]).await;
    let etag = whole.header("etag");
    assert!(etag.ends_with("-br\""), "{etag}");
    let unchanged = ask(address, &[("accept-encoding", "br"), ("if-none-match", etag)]).await;
    assert!(unchanged.head.starts_with("HTTP/1.1 304"), "{unchanged:?}");
    let other = ask(address, &[("accept-encoding", "gzip"), ("if-none-match", etag)]).await;
    assert!(other.head.starts_with("HTTP/1.1 200"), "{other:?}");
    let part = ask(address, &[("accept-encoding", "br"), ("range", "bytes=1-4"), ("if-range", etag)]).await;
    assert_eq!((&part.body[..], part.header("content-encoding")), (&whole.body[1..5], "br"));
    let part = ask(address, &[("accept-encoding", "gzip"), ("range", "bytes=1-4"), ("if-range", etag)]).await;
    assert!(part.head.starts_with("HTTP/1.1 200"), "a part of another coding: {part:?}");
}

#[actix_web::test]
async fn nothing_is_coded_twice() {
    let test = TestStore::open(Kind::Memory).await;
    let Served { address, .. } = serve(test.node().await, true).await;
    for (accept, coding) in ACCEPTED {
        for _ in 0..2 {
            let answer = ask(address, &[("accept-encoding", accept)]).await;
            assert_eq!((answer.header("content-encoding"), answer.decoded()), (coding, page(1)), "{accept}");
        }
    }
}

#[actix_web::test]
async fn p1_a_clear_reaches_every_coding() {
    for kind in Kind::ALL {
        let test = TestStore::open(kind).await;
        let cache = test.node().await;
        let Served { address, runs } = serve(cache.clone(), false).await;
        for (accept, _) in ACCEPTED {
            ask(address, &[("accept-encoding", accept)]).await;
        }
        cache.clear_tag("page").await.expect("a clear");
        runs.store(100, Ordering::SeqCst);
        for (accept, _) in ACCEPTED {
            let answer = ask(address, &[("accept-encoding", accept)]).await;
            assert_eq!(answer.decoded(), page(101), "{kind:?} {accept}");
        }
    }
}

/// What is made of an entry is as old as the entry: a node whose memory has not heard of a clear yet may answer from it
/// for as long as it is bounded, but must not store what it made of it. Fails when it is stored under the clock of the
/// request instead of that of its source.
#[actix_web::test]
async fn p1_what_is_made_of_a_cleared_entry_is_not_stored() {
    let server = RedisServer::start();
    let store = async || {
        let store: Arc<dyn Store> = Arc::new(redis_at(server.url()).connect().await.expect("a store"));
        store
    };
    let cache = node_with_l1(&store().await, Coherence::Bounded(Duration::from_secs(9))).await;
    let Served { address, runs } = serve(cache.clone(), false).await;
    while !ask(address, &[]).await.header("cache-status").contains("detail=l1") {
        tokio::task::yield_now().await;
    }
    clear_without_a_signal(&mut server.connection(), "t/-/page");
    let answer = ask(address, &[("accept-encoding", "br")]).await;
    assert_eq!(answer.decoded(), page(1), "from memory: {answer:?}");
    let other = serve(node(&store().await).await, false).await;
    runs.store(0, Ordering::SeqCst);
    other.runs.store(100, Ordering::SeqCst);
    for accept in ["br", ""] {
        let answer = ask(other.address, &[("accept-encoding", accept)]).await;
        assert_eq!(answer.decoded(), page(101), "{accept}: {answer:?}");
    }
}
