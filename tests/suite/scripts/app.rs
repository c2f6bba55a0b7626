//! The apps under test, by the words of `== app`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use cache_middleware::store::MemoryStore;
use cache_middleware::time::ManualTime;
use cache_middleware::{CacheManager, ClientDirective};

use super::parse::Message;

/// What the handler has to answer, and what it was asked.
#[derive(Debug, Default)]
pub(super) struct Handler {
    pub(super) replies: Mutex<VecDeque<Message>>,
    pub(super) saw: Mutex<Option<HeaderMap>>,
}

impl Handler {
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        *self.saw.lock().expect("the lock") = Some(request.headers().clone());
        let Some(reply) = self.replies.lock().expect("the lock").pop_front() else {
            let status = StatusCode::from_u16(599).expect("a status");
            return HttpResponse::build(status).body("the handler ran, and no section allows it");
        };
        if reply.first == "fail" {
            return HttpResponse::from_error(actix_web::error::ErrorInternalServerError("failed"));
        }
        let status = reply.first.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
        let mut response = HttpResponse::build(status.expect("a status"));
        for line in &reply.lines {
            let at = line.windows(2).position(|pair| pair == b": ").expect("a header line");
            let name = HeaderName::from_bytes(&line[..at].to_ascii_lowercase()).expect("a name");
            response.append_header((name, HeaderValue::from_bytes(&line[at + 2..]).expect("a value")));
        }
        response.body(reply.body.unwrap_or_default())
    }
}

/// Starts an app, and gives what moves its time.
pub(super) async fn start(words: &str, handler: &Arc<Handler>) -> (SocketAddr, ManualTime) {
    let time = ManualTime::default();
    let store = MemoryStore::builder().time(time.clone()).build();
    let builder = CacheManager::builder().store(store).ttl("policy", "60s").without_annotation_checks();
    let cache = builder.build().await.expect("a manager");
    let (handler, words) = (handler.clone(), words.to_owned());
    let server = HttpServer::new(move || {
        let handler = handler.clone();
        let answer = move |request: HttpRequest, _: web::Bytes| {
            let response = handler.answer(&request);
            async move { response }
        };
        let all = web::resource("/{path:.*}").route(web::route().to(answer));
        App::new().configure(|config| {
            let words: Vec<&str> = words.split(' ').collect();
            let scope = web::scope("");
            if words[0] == "http" {
                let caching = words[1..].iter().fold(cache.response_http(), |caching, word| match *word {
                    "trust-must-revalidate" => caching.trust_must_revalidate(),
                    "merge-content-type" => caching.merge_content_type(),
                    "s-maxage-allows-stale" => caching.s_maxage_allows_stale(),
                    "strip-cookies" => caching.strip_cookies(["lang"]),
                    "public" => caching.public(),
                    "any-status" => caching.statuses((200..600).filter(|status| ![206, 304].contains(status))),
                    "refresh-with" => caching.refresh_with(["x-trace"]),
                    "honor" => caching.honor_client([
                        ClientDirective::NoCache,
                        ClientDirective::MaxAge,
                        ClientDirective::MinFresh,
                        ClientDirective::MaxStale,
                    ]),
                    "cdn" => caching.target_fields(["app-cache-control", "cdn-cache-control"]),
                    "identity" => caching.identity(identity),
                    other => panic!("there is no word {other:?}"),
                });
                config.service(scope.wrap(caching).service(all));
            } else {
                let caching = words[1..].iter().fold(cache.response("policy"), |caching, word| match *word {
                    "client-ttl" => caching.client_ttl("30s"),
                    "cdn-ttl" => caching.cdn_ttl("40s"),
                    "tags" => caching
                        .tags(|_| vec!["teacher:7".to_owned(), "rooms".to_owned()])
                        .surrogate_key()
                        .cache_tag()
                        .edge_cache_tag()
                        .cache_groups(),
                    "vary-origin" => caching.vary(["origin"]),
                    "vary-language" => caching.vary(["accept-language"]),
                    "public" => caching.public(),
                    "identity" => caching.identity(identity),
                    other => panic!("there is no word {other:?}"),
                });
                config.service(scope.wrap(caching).service(all));
            }
        })
    })
    .workers(1)
    .bind("127.0.0.1:0")
    .expect("a port");
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    (address, time)
}

fn identity(request: &actix_web::dev::ServiceRequest) -> Option<String> {
    let value = request.headers().get("authorization")?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
