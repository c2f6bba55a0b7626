//! HTTP over real sockets: what is preserved, what is answered from the cache, and what passes untouched.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use cache_suite::{Kind, TestStore, get, send};
use futures_util::{StreamExt, stream};

async fn serve(kind: Kind, configure: fn(&mut web::ServiceConfig)) -> (SocketAddr, TestStore) {
    let test = TestStore::open(kind).await;
    let cache = test.node().await;
    let server = HttpServer::new(move || App::new().wrap(cache.response("5m")).configure(configure))
        .workers(2)
        .bind("127.0.0.1:0")
        .expect("a port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    (address, test)
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route(
            "/headers",
            web::get().to(async || {
                HttpResponse::Ok()
                    .append_header(("link", "a"))
                    .append_header(("link", "b"))
                    .append_header(("x-odd", Bytes::from_static(b"caf\xe9").to_vec()))
                    .insert_header(("cache-control", "max-age=60"))
                    .body("body")
            }),
        )
        .route(
            "/host",
            web::get().to(async |request: actix_web::HttpRequest| {
                let connection = request.connection_info();
                HttpResponse::Ok().body(format!("{}://{}{}", connection.scheme(), connection.host(), request.path()))
            }),
        )
        .route(
            "/public",
            web::get().to(async || {
                HttpResponse::Ok().insert_header(("cache-control", "public, max-age=60")).body("for everybody")
            }),
        )
        .route("/own-etag", web::get().to(async || HttpResponse::Ok().insert_header(("etag", "\"mine\"")).body("body")))
        .route("/cookie", web::get().to(async || HttpResponse::Ok().insert_header(("set-cookie", "a=b")).body("body")))
        .route(
            "/stream",
            web::get().to(async || {
                let chunks = stream::iter(["a", "b"]).then(async |chunk| {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok::<_, std::io::Error>(Bytes::from_static(chunk.as_bytes()))
                });
                HttpResponse::Ok().streaming(Box::pin(chunks))
            }),
        )
        .route(
            "/endless",
            web::get().to(async || {
                let ticks = stream::unfold(0, async |n| {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Some((Ok::<_, std::io::Error>(Bytes::from(format!("data: {n}\n\n"))), n + 1))
                });
                HttpResponse::Ok().content_type("text/event-stream").streaming(Box::pin(ticks))
            }),
        )
        .route("/large", web::get().to(async || HttpResponse::Ok().body(vec![b'x'; (1 << 20) + 1])))
        .route("/empty", web::get().to(async || HttpResponse::Ok().finish()))
        .route(
            "/head",
            web::route().to(async |request: actix_web::HttpRequest| {
                HttpResponse::Ok().body(format!("for {}", request.method()))
            }),
        );
}

#[actix_web::test]
async fn every_header_line_is_preserved() {
    for kind in Kind::ALL {
        let (address, _test) = serve(kind, routes).await;
        let first = get(address, "/headers").await;
        let second = get(address, "/headers").await;
        assert_eq!((first.cache(), second.is_hit()), ("fwd=uri-miss; stored", true), "{kind:?}");
        for response in [&first, &second] {
            assert_eq!(response.all("link"), ["a", "b"]);
            assert_eq!(response.header("cache-control"), "max-age=60");
            assert_eq!(response.header("content-length"), "4");
            assert_eq!(response.header("x-odd"), "caf\u{fffd}");
            assert_eq!(response.body, "body");
        }
        assert_eq!(first.header("etag"), second.header("etag"));
        assert_eq!((first.header("age"), second.header("age")), ("", "0"));
    }
}

#[actix_web::test]
async fn what_the_client_has_is_not_sent_again() {
    for kind in Kind::ALL {
        let (address, _test) = serve(kind, routes).await;
        let etag = get(address, "/headers").await.header("etag").to_owned();
        assert!(etag.starts_with('"') && etag.len() == 34, "{etag}");
        for method in ["GET", "HEAD"] {
            let unchanged = send(address, method, "/headers", &[("if-none-match", &etag)], "").await;
            assert_eq!((unchanged.status, unchanged.body.as_str(), unchanged.is_hit()), (304, "", true), "{kind:?}");
            assert_eq!(unchanged.header("etag"), etag);
            assert_eq!(unchanged.header("cache-control"), "max-age=60");
            assert_eq!(unchanged.all("link"), Vec::<&str>::new());
        }
        let changed = send(address, "GET", "/headers", &[("if-none-match", "\"other\"")], "").await;
        assert_eq!((changed.status, changed.body.as_str()), (200, "body"));
        // On the way to being stored, too.
        let own = send(address, "GET", "/own-etag", &[("if-none-match", "W/\"mine\"")], "").await;
        assert_eq!((own.status, own.cache()), (304, "fwd=uri-miss; stored"));
        let own = get(address, "/own-etag").await;
        assert_eq!((own.status, own.header("etag"), own.is_hit()), (200, "\"mine\"", true));
        assert_eq!(own.header("cache-control"), "no-cache", "browsers ask again, because no clear reaches them");
    }
}

#[actix_web::test]
async fn r2_head_is_answered_from_a_stored_get_and_never_stored() {
    for kind in Kind::ALL {
        let (address, _test) = serve(kind, routes).await;
        for _ in 0..2 {
            let miss = send(address, "HEAD", "/head", &[], "").await;
            assert_eq!((miss.status, miss.cache(), miss.body.as_str()), (200, "fwd=uri-miss; detail=head", ""));
            assert_eq!(miss.header("content-length"), "8", "for HEAD");
        }
        assert_eq!(get(address, "/head").await.body, "for GET");
        let hit = send(address, "HEAD", "/head", &[], "").await;
        assert_eq!((hit.is_hit(), hit.body.as_str(), hit.header("content-length")), (true, "", "7"), "{kind:?}");
    }
}

#[actix_web::test]
async fn r7_and_r1_requests_that_are_not_looked_up_pass() {
    let (address, _test) = serve(Kind::Memory, routes).await;
    get(address, "/head").await;
    for (method, headers, body, expected) in [
        ("POST", &[][..], "x", "fwd=method"),
        ("DELETE", &[], "", "fwd=method"),
        ("GET", &[], "body", "fwd=bypass; detail=request-body"),
        ("GET", &[("if-match", "*")], "", "fwd=bypass; detail=precondition"),
        ("GET", &[("expect", "100-continue")], "", "fwd=bypass; detail=expect"),
        ("GET", &[("x-http-method-override", "DELETE")], "", "fwd=bypass; detail=method-override"),
    ] {
        let response = send(address, method, "/head", headers, body).await;
        assert_eq!(response.cache().split("; ttl").next(), Some(expected), "{method} {headers:?}");
    }
    get(address, "/head").await;
    assert!(send(address, "GET", "/head", &[("cache-control", "no-store")], "").await.is_hit());
    let fallback = get(address, "/nothing-here").await;
    assert_eq!((fallback.status, fallback.cache()), (404, "fwd=bypass; detail=unmatched-route"));
    let range = send(address, "GET", "/head?3", &[("range", "bytes=0-1")], "").await;
    assert_eq!((range.status, range.cache()), (200, "fwd=uri-miss; detail=range"));
    let no_store = send(address, "GET", "/head?2", &[("cache-control", "no-store")], "").await;
    assert_eq!(no_store.cache(), "fwd=uri-miss; detail=request-no-store");
}

/// Forwarding headers and absolute URIs make entries of their own, whoever may read them.
#[actix_web::test]
async fn k1_a_made_up_host_poisons_nobody() {
    let (address, _test) = serve(Kind::Memory, routes).await;
    for (path, headers) in [
        ("http://good.example/host", &[][..]),
        ("/host", &[("x-forwarded-host", "evil.example")]),
        ("/host", &[("forwarded", "host=evil.example;proto=https")]),
        ("/host", &[]),
    ] {
        let response = send(address, "GET", path, headers, "").await;
        assert_eq!(response.cache(), "fwd=uri-miss; stored", "{path} {headers:?}: {}", response.body);
    }
    assert_eq!(get(address, "/host").await.body, "http://test/host");
}

/// Credentials neither fill what others get, nor get what was not said to be for everybody, nor hold up others' flights.
#[actix_web::test]
async fn r4_callers_with_credentials_are_kept_apart() {
    for kind in Kind::ALL {
        let (address, _test) = serve(kind, routes).await;
        let cookie = [("cookie", "session=alice")];
        for _ in 0..2 {
            let mine = send(address, "GET", "/headers", &cookie, "").await;
            assert_eq!(mine.cache(), "fwd=uri-miss; detail=credentials");
        }
        assert_eq!(get(address, "/headers").await.cache(), "fwd=uri-miss; stored");
        let mine = send(address, "GET", "/headers", &cookie, "").await;
        assert_eq!(mine.cache(), "fwd=request; detail=credentials", "{kind:?}");
        assert!(get(address, "/headers").await.is_hit());
        // What says that it is for everybody is.
        assert_eq!(send(address, "GET", "/public", &cookie, "").await.cache(), "fwd=uri-miss; stored");
        assert!(send(address, "GET", "/public", &[("cookie", "session=bob")], "").await.is_hit(), "{kind:?}");
        assert!(get(address, "/public").await.is_hit());
    }
}

#[actix_web::test]
async fn r5_cookies_are_neither_stored_nor_shared() {
    for kind in Kind::ALL {
        let (address, _test) = serve(kind, routes).await;
        for _ in 0..2 {
            let response = get(address, "/cookie").await;
            assert_eq!((response.cache(), response.header("set-cookie")), ("fwd=uri-miss; detail=set-cookie", "a=b"));
        }
    }
}

#[actix_web::test]
async fn r9_streams_and_large_bodies_pass_untouched() {
    let (address, _test) = serve(Kind::Memory, routes).await;
    for _ in 0..2 {
        let response = get(address, "/stream").await;
        assert_eq!(response.cache(), "fwd=uri-miss; detail=streaming-body");
        assert!(response.body.contains('a') && response.body.contains('b'), "{}", response.body);
        let large = get(address, "/large").await;
        assert_eq!((large.cache(), large.body.len()), ("fwd=uri-miss; detail=body-too-large", (1 << 20) + 1));
    }
    let empty = get(address, "/empty").await;
    assert_eq!((empty.cache(), empty.header("content-length")), ("fwd=uri-miss; stored", "0"));
}

/// A stream that never ends arrives while it runs: nothing waits for its end.
#[actix_web::test]
async fn r9_an_endless_stream_arrives_as_it_comes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (address, _test) = serve(Kind::Memory, routes).await;
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("a request");
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains("data: 3") {
        let read = stream.read(&mut buffer).await.expect("more of it");
        assert!(read > 0);
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}
