//! Random requests that differ in little: everybody gets the answer to what they asked (P7).

use std::net::SocketAddr;

use actix_web::http::header::HeaderMap;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use cache_suite::{Kind, Rng, TestStore, send};

/// Headers that the handler goes by, and says so.
const SELECTING: [&str; 3] = ["accept-language", "x-tier", "authorization"];

/// Names that the handler may believe.
const NAMING: [&str; 5] = ["forwarded", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix", "x-host"];

/// All that the handler sees and goes by, as it means the same: hosts in any case, lists with any whitespace.
fn seen(path: &str, host: &str, headers: &HeaderMap) -> String {
    let listed = |name: &str| {
        let lines = headers.get_all(name).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
        let members: Vec<String> =
            lines.flat_map(|line| line.split(',').map(|member| member.trim().to_owned()).collect::<Vec<_>>()).collect();
        // A name that is the request's own says nothing new.
        let own = match name {
            "x-forwarded-host" => host,
            "x-forwarded-proto" => "http",
            _ => "",
        };
        let said = headers.contains_key(name).then(|| members.join(","));
        format!("{name}={:?}", said.filter(|said| own.is_empty() || !said.eq_ignore_ascii_case(own)))
    };
    let names: Vec<String> = SELECTING.iter().chain(&NAMING).map(|name| listed(name)).collect();
    format!("{path} {} {}", host.to_ascii_lowercase(), names.join(" "))
}

async fn answer(request: HttpRequest) -> HttpResponse {
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let body = seen(&request.uri().to_string(), &host, request.headers());
    let mut response = HttpResponse::Ok();
    response.insert_header(("cache-control", "max-age=60")).insert_header(("vary", "accept-language, x-tier"));
    response.body(body)
}

async fn serve(kind: Kind, http: bool) -> (SocketAddr, TestStore) {
    let test = TestStore::open(kind).await;
    let cache = test.node().await;
    let identity = |request: &actix_web::dev::ServiceRequest| {
        Some(String::from_utf8_lossy(request.headers().get("authorization")?.as_bytes()).into_owned())
    };
    let server = HttpServer::new(move || {
        let all = web::resource("/{path:.*}").route(web::get().to(answer));
        App::new().configure(|config| {
            if http {
                config.service(web::scope("").wrap(cache.response_http().identity(identity)).service(all));
            } else {
                let caching = cache.response("5m").vary(["accept-language", "x-tier"]).identity(identity);
                config.service(web::scope("").wrap(caching).service(all));
            }
        })
    })
    .workers(1)
    .bind("127.0.0.1:0")
    .expect("a port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    (address, test)
}

fn one_of<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[usize::try_from(rng.below(from.len() as u64)).expect("an index")]
}

#[actix_web::test]
async fn p7_requests_that_differ_share_no_entry() {
    let mut rng = Rng::from_env();
    for (kind, http) in [(Kind::Memory, true), (Kind::Memory, false), (Kind::RedisPartitioned, true)] {
        let (address, _test) = serve(kind, http).await;
        let mut hits = 0;
        for _ in 0..1_500 {
            let path = one_of(&mut rng, &["/a", "/a?", "/a?x", "/a?x=1", "/a%3Fx=1", "/A", "/a/", "/a;x", "/b/a"]);
            let host = one_of(&mut rng, &["a", "A", "b", "a:81", "b.a"]);
            let mut lines = vec![("host", host)];
            for _ in 0..rng.below(3) {
                let name = one_of(&mut rng, &SELECTING);
                let value = one_of(&mut rng, &["de", "en", "de, en", "de,en", "en, de", "a", "a,,b", "a,b"]);
                if name != "authorization" || !lines.iter().any(|(name, _)| *name == "authorization") {
                    lines.push((name, value));
                }
            }
            if rng.below(3) == 0 {
                let name = one_of(&mut rng, &NAMING);
                lines.push((
                    name,
                    one_of(&mut rng, &["a", "b", "http", "https", "host=b", "host=a;proto=https", "a, b"]),
                ));
            }
            let response = send(address, "GET", path, &lines, "").await;
            let mut headers = HeaderMap::new();
            for (name, value) in &lines {
                let name = actix_web::http::header::HeaderName::try_from(*name).expect("a name");
                headers.append(name, value.parse().expect("a value"));
            }
            hits += usize::from(response.is_hit());
            assert_eq!(response.body, seen(path, host, &headers), "{kind:?} {http} {path} {lines:?}");
        }
        assert!(hits > 100, "{hits} hits only: nothing was shown");
    }
}
