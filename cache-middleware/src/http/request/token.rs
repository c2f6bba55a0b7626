//! The token of a caller's writes: read from requests, written on responses of writes.

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::coherence::{ReadYourWrites, Token};
use crate::manager::CacheManager;

/// The token that a request shows; what is none counts as none.
pub(in crate::http) fn of_request(manager: &CacheManager, head: &RequestHead) -> Option<Token> {
    let ReadYourWrites { name, cookie } = manager.read_your_writes()?;
    if *cookie {
        let pairs = cookies(&head.headers).filter_map(|pair| pair.split_once('='));
        return pairs.filter(|(key, _)| key == name).find_map(|(_, value)| value.parse().ok());
    }
    head.headers.get(name)?.to_str().ok()?.parse().ok()
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).map(str::trim).filter(|pair| !pair.is_empty())
}

/// Whether the cookies of a request say nothing but what this cache has told its caller: they are no credentials.
pub(in crate::http) fn is_only_cookie(manager: &CacheManager, headers: &HeaderMap) -> bool {
    let Some(ReadYourWrites { name, cookie: true }) = manager.read_your_writes() else { return false };
    headers.get_all(header::COOKIE).all(|line| line.to_str().is_ok())
        && cookies(headers).all(|pair| pair.split_once('=').is_some_and(|(key, _)| key == name))
}

/// Tells a caller the token of its clears.
pub(in crate::http) fn tell(manager: &CacheManager, headers: &mut HeaderMap, token: &Token) {
    let Some(ReadYourWrites { name, cookie }) = manager.read_your_writes() else { return };
    if *cookie {
        // By then the clears are in effect on every node. Two seconds more: one is lost in rounding, one is for the way there.
        let seconds = manager.lease().as_secs() + 2;
        let line = format!("{name}={token}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax");
        if let Ok(value) = HeaderValue::from_str(&line) {
            headers.append(header::SET_COOKIE, value);
        }
    } else if let (Ok(name), Ok(value)) =
        (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&token.to_string()))
    {
        headers.insert(name, value);
    }
}

/// Tells it on a response, if there is one to tell.
pub(in crate::http) fn tell_response(manager: &CacheManager, response: &mut HttpResponse, token: Option<&Token>) {
    if let Some(token) = token {
        tell(manager, response.headers_mut(), token);
    }
}
