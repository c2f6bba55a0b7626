//! Attacks on HTTP caching that no script can play: over HTTP/2, in flights, by handlers that take long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::header::{CACHE_CONTROL, ETAG, VARY};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, guard, test, web};
use cache_middleware::store::MemoryStore;
use cache_middleware::time::ManualTime;
use cache_middleware::{CacheManager, cached};
use cache_suite::send;
use tokio::net::TcpStream;

async fn manager() -> CacheManager {
    CacheManager::builder().without_annotation_checks().build().await.expect("a manager")
}

/// The body that is answered to a request over HTTP/2 with prior knowledge.
async fn h2(address: SocketAddr, uri: &str, content: Option<&'static [u8]>) -> String {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (client, connection) = h2::client::handshake(stream).await.expect("a handshake");
    actix_web::rt::spawn(async move { drop(connection.await) });
    let mut client = client.ready().await.expect("a client");
    let request = http::Request::builder().uri(uri).body(()).expect("a request");
    let (response, mut body) = client.send_request(request, content.is_none()).expect("it is sent");
    if let Some(content) = content {
        body.send_data(content.into(), true).expect("it is sent");
    }
    let mut stream = response.await.expect("a response").into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.data().await {
        bytes.extend_from_slice(&chunk.expect("a chunk"));
    }
    String::from_utf8(bytes).expect("a text")
}

/// Answers reads with a number and with the body they had; writes raise the number.
fn serve(cache: &CacheManager, number: &Arc<AtomicU64>, http: bool) -> SocketAddr {
    let (cache, number) = (cache.clone(), number.clone());
    let server = HttpServer::new(move || {
        let number = number.clone();
        let answer = move |request: HttpRequest, body: web::Bytes| {
            let number = number.clone();
            async move {
                if request.method() != "GET" {
                    number.fetch_add(1, Ordering::SeqCst);
                    return HttpResponse::NoContent().finish();
                }
                let text = format!("{}{}", number.load(Ordering::SeqCst), String::from_utf8_lossy(&body));
                HttpResponse::Ok().insert_header((CACHE_CONTROL, "max-age=60")).body(text)
            }
        };
        let all = web::resource("/{path:.*}").route(web::route().to(answer));
        App::new().configure(|config| {
            if http {
                config.service(web::scope("").wrap(cache.response_http()).service(all));
            } else {
                config.service(web::scope("").wrap(cache.response("5m")).service(all));
            }
        })
    })
    .workers(1)
    .bind_auto_h2c("127.0.0.1:0")
    .expect("a port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    address
}

#[actix_web::test]
async fn p1_a_write_clears_whatever_the_version_of_http() {
    for http in [true, false] {
        let (cache, number) = (manager().await, Arc::new(AtomicU64::new(1)));
        let address = serve(&cache, &number, http);
        assert_eq!(h2(address, "http://a.example/x", None).await, "1");
        assert_eq!(send(address, "PUT", "/x", &[("host", "a.example")], "").await.status, 204);
        assert_eq!(h2(address, "http://a.example/x", None).await, "2", "{http}");
        number.store(3, Ordering::SeqCst);
        assert_eq!(h2(address, "http://a.example/x", None).await, "2", "it is cached");
        cache.clear_key("http://a.example/x").await.expect("a clear");
        assert_eq!(h2(address, "http://a.example/x", None).await, "3", "{http}");
    }
}

#[actix_web::test]
async fn p7_a_body_that_http_2_does_not_announce_does_not_poison() {
    for http in [true, false] {
        let (cache, number) = (manager().await, Arc::new(AtomicU64::new(1)));
        let address = serve(&cache, &number, http);
        h2(address, "http://a.example/x", Some(b" evil")).await;
        assert_eq!(h2(address, "http://a.example/x", None).await, "1", "{http}");
    }
}

#[cached(ttl = "5m")]
async fn who(site: web::Data<String>) -> HttpResponse {
    HttpResponse::Ok().body(site.as_str().to_owned())
}

#[actix_web::test]
async fn p7_hosts_are_kept_apart_whatever_the_version_of_http() {
    let cache = manager().await;
    let server = HttpServer::new(move || {
        let site = |host: &'static str| {
            let scope = web::scope("").guard(guard::Host(host)).app_data(web::Data::new(host.to_owned()));
            scope.route("/x", web::get().to(who))
        };
        App::new().app_data(cache.clone()).service(site("a.example")).service(site("b.example"))
    })
    .workers(1)
    .bind_auto_h2c("127.0.0.1:0")
    .expect("a port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    for host in ["a.example", "b.example"] {
        assert_eq!(h2(address, &format!("http://{host}/x"), None).await, host);
        assert_eq!(send(address, "GET", "/x", &[("host", host)], "").await.body, host);
    }
}

#[actix_web::test]
async fn k3_a_request_line_without_a_path_is_not_the_root() {
    let cache = manager().await;
    let server = HttpServer::new(move || {
        let missing = async || HttpResponse::NotFound().insert_header((CACHE_CONTROL, "max-age=60")).body("missing");
        let root = async || HttpResponse::Ok().insert_header((CACHE_CONTROL, "max-age=60")).body("root");
        App::new().wrap(cache.response_http()).route("/", web::get().to(root)).default_service(web::to(missing))
    })
    .workers(1)
    .bind("127.0.0.1:0")
    .expect("a port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    let evil = send(address, "GET", "a.example", &[("host", "a.example")], "").await;
    assert_eq!(evil.cache(), "fwd=bypass; detail=target-invalid");
    let good = send(address, "GET", "/", &[("host", "a.example")], "").await;
    assert_eq!((good.status, good.body.as_str()), (200, "root"));
}

/// Quotes that never close, a hundred thousand of them.
#[actix_web::test]
async fn p9_a_request_is_judged_in_no_time() {
    let (cache, number) = (manager().await, Arc::new(AtomicU64::new(1)));
    let address = serve(&cache, &number, true);
    let value = format!("\"{}", "\\\"".repeat(60_000));
    let began = Instant::now();
    let answer = send(address, "GET", "/x", &[("cache-control", &value)], "").await;
    assert_eq!((answer.status, answer.cache()), (200, "fwd=uri-miss; stored"));
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

/// What must not be used without a question is nobody else's answer, not even in a flight (RFC 9111 section 5.2.2.4).
#[actix_web::test]
async fn no_cache_is_not_collapsed() {
    for cache_control in ["no-cache", "max-age=0, must-revalidate", "max-age=5, no-cache"] {
        let (cache, runs) = (manager().await, Arc::new(AtomicU64::new(0)));
        let handler = move || {
            let runs = runs.clone();
            async move {
                let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
                // The other request is polled in between, and would follow.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                let mut response = HttpResponse::Ok();
                response.insert_header((CACHE_CONTROL, cache_control)).insert_header((ETAG, format!("\"{run}\"")));
                response.body(run.to_string())
            }
        };
        let resource = web::resource("/x").wrap(cache.response_http()).route(web::get().to(handler));
        let app = test::init_service(App::new().service(resource)).await;
        let get = || test::call_and_read_body(&app, test::TestRequest::get().uri("/x").to_request());
        let (one, two) = tokio::join!(get(), get());
        assert_ne!(one, two, "{cache_control}");
    }
}

#[actix_web::test]
async fn a_clear_while_a_variant_is_filled_does_not_keep_it_out() {
    let cache = manager().await;
    let (clearing, runs) = (cache.clone(), Arc::new(AtomicU64::new(0)));
    let handler = move || {
        let (cache, runs) = (clearing.clone(), runs.clone());
        async move {
            if runs.fetch_add(1, Ordering::SeqCst) == 1 {
                cache.clear_tag("t").await.expect("a clear");
            }
            let mut response = HttpResponse::Ok();
            response.insert_header((CACHE_CONTROL, "max-age=60")).insert_header((VARY, "foo")).body("body")
        }
    };
    let caching = cache.response_http().tags(|_| vec!["t".to_owned()]);
    let resource = web::resource("/x").wrap(caching).route(web::get().to(handler));
    let app = test::init_service(App::new().service(resource)).await;
    let mut said = Vec::new();
    for foo in ["1", "2", "2", "2"] {
        let request = test::TestRequest::get().uri("/x").insert_header(("foo", foo)).to_request();
        let response = test::call_service(&app, request).await;
        let status = response.headers().get("cache-status").expect("a status").to_str().expect("a text");
        said.push(
            status.split("; ").nth(1).unwrap_or_default().to_owned() + status.rsplit("; ").next().unwrap_or_default(),
        );
    }
    assert_eq!(
        said,
        ["fwd=uri-missstored", "fwd=vary-missdetail=cleared-meanwhile", "fwd=vary-missstored", "hitdetail=l2"]
    );
}

#[actix_web::test]
async fn stale_if_error_ends_with_its_window_even_if_the_handler_takes_long() {
    let time = ManualTime::default();
    let store = MemoryStore::builder().time(time.clone()).build();
    let cache = CacheManager::builder().store(store).without_annotation_checks().build().await.expect("a manager");
    let (clock, runs) = (time.clone(), Arc::new(AtomicU64::new(0)));
    let handler = move || {
        let (clock, runs) = (clock.clone(), runs.clone());
        async move {
            let takes = [0, 2, 100][usize::try_from(runs.fetch_add(1, Ordering::SeqCst)).expect("a number")];
            clock.advance(Duration::from_secs(takes));
            if takes == 0 {
                let fresh = (CACHE_CONTROL, "max-age=5, stale-if-error=10");
                return HttpResponse::Ok().insert_header(fresh).body("old");
            }
            HttpResponse::BadGateway().finish()
        }
    };
    let resource = web::resource("/x").wrap(cache.response_http()).route(web::get().to(handler));
    let app = test::init_service(App::new().service(resource)).await;
    let get = || test::call_service(&app, test::TestRequest::get().uri("/x").to_request());
    get().await;
    time.advance(Duration::from_secs(6));
    let stale = get().await;
    assert_eq!(stale.status(), 200);
    assert_eq!(stale.headers().get("age").expect("an age"), "8");
    // The handler is not tried again at once after it has failed.
    time.advance(Duration::from_secs(2));
    assert_eq!(get().await.status(), 502);
}
