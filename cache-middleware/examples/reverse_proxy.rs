//! A shared HTTP cache in front of another server.
//!
//! ```text
//! cargo run --release -p cache-middleware --example reverse_proxy -- \
//!     --listen 127.0.0.1:8090 --origin http://127.0.0.1:8000 [--refresh-with header,header]
//! ```
//!
//! The handler forwards what it gets, byte for byte, over a connection of its own for each request, without a retry. All
//! that is not forwarding is in the one line with `wrap`. Entries are in Redis if `REDIS_URL` is set.

use std::io;

use actix_web::body::{BoxBody, SizedStream};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use cache_middleware::CacheManager;
use futures_util::{TryStreamExt, stream};
use http_body_util::{BodyStream, Either, Empty, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;

/// Fields that are about one connection (RFC 9110 section 7.6.1), beside those that `Connection` names.
const OF_ONE_CONNECTION: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

type BoxError = Box<dyn std::error::Error>;

#[derive(Clone)]
struct Origin(String);

#[actix_web::main]
async fn main() -> Result<(), BoxError> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let listen = option("--listen").unwrap_or_else(|| "127.0.0.1:8090".to_owned());
    let origin = option("--origin").ok_or("--origin is missing: give it as http://host:port")?;
    let address =
        origin.strip_prefix("http://").ok_or("--origin begins with http://")?.trim_end_matches('/').to_owned();
    let refresh_with = option("--refresh-with").unwrap_or_default();
    let refresh_with: Vec<String> =
        refresh_with.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let cache = CacheManager::builder().from_env().build().await?;
    println!("http://{listen} caches {origin}");
    HttpServer::new(move || {
        // The origin may be any server, so what RFC 9111 allows a shared cache to do is done, errors with freshness
        // included. In front of handlers of one's own the defaults are more careful.
        let caching = cache
            .response_http()
            .refresh_with(&refresh_with)
            .statuses((200..=599).filter(|status| ![206, 304].contains(status)))
            .trust_must_revalidate()
            .merge_content_type();
        App::new().app_data(Origin(address.clone())).wrap(caching).default_service(web::to(forward))
    })
    .bind(listen)?
    .run()
    .await?;
    Ok(())
}

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next().and_then(|_| arguments.next())
}

async fn forward(request: HttpRequest, body: web::Payload) -> HttpResponse {
    match ask_origin(&request, body).await {
        Ok(response) => respond(&request, response),
        Err(error) => {
            log::warn!("{} {}: {error}", request.method(), request.path());
            HttpResponse::BadGateway().body("the origin cannot be reached\n")
        }
    }
}

async fn ask_origin(request: &HttpRequest, body: web::Payload) -> Result<hyper::Response<Incoming>, BoxError> {
    let Some(Origin(address)) = request.app_data() else { return Err("there is no origin".into()) };
    let connection = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await?;
    actix_web::rt::spawn(connection);
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut forwarded = hyper::Request::builder().method(request.method().as_str()).uri(target);
    for (name, value) in request.headers().iter().filter(|(name, _)| passes(name, request.headers())) {
        forwarded = forwarded.header(name.as_str(), value.as_bytes());
    }
    let has_body = ["content-length", "transfer-encoding"].iter().any(|name| request.headers().contains_key(*name));
    let body = if has_body {
        Either::Left(StreamBody::new(body.map_ok(Frame::data).map_err(|error| io::Error::other(error.to_string()))))
    } else {
        Either::Right(Empty::new())
    };
    Ok(sender.send_request(forwarded.body(body)?).await?)
}

fn respond(request: &HttpRequest, response: hyper::Response<Incoming>) -> HttpResponse {
    let (head, body) = response.into_parts();
    let Ok(status) = StatusCode::from_u16(head.status.as_u16()) else { return HttpResponse::BadGateway().finish() };
    let mut answer = HttpResponse::new(status);
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            answer.headers_mut().append(name, value);
        }
    }
    let dropped: Vec<HeaderName> =
        answer.headers().keys().filter(|name| !passes(name, answer.headers())).cloned().collect();
    dropped.iter().for_each(|name| drop(answer.headers_mut().remove(name)));
    let length = answer.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let frames = BodyStream::new(body).map_ok(|frame| frame.into_data().unwrap_or_default());
    match length {
        Some(length) if request.method() == Method::HEAD => {
            answer.set_body(BoxBody::new(SizedStream::new(length, stream::empty::<io::Result<Bytes>>())))
        }
        _ if matches!(status.as_u16(), 204 | 304) => answer,
        Some(length) => answer.set_body(BoxBody::new(SizedStream::new(length, frames))),
        None => answer.set_body(BoxBody::new(actix_web::body::BodyStream::new(frames))),
    }
}

/// Whether a field is for the other side.
fn passes(name: &HeaderName, headers: &HeaderMap) -> bool {
    let named = headers.get_all("connection").filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let of_one_connection = OF_ONE_CONNECTION.contains(&name.as_str());
    !of_one_connection && !named.into_iter().any(|named| named.trim().eq_ignore_ascii_case(name.as_str()))
}
