//! One attempt: a question and its answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::{HttpAnswer, Inner, is_passing};

/// The longest that a service may ask not to be asked.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Question {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<Bytes>,
    /// Tells the service that a repetition is one.
    pub(super) key: Option<String>,
}

/// Why an attempt has brought no answer.
pub(super) enum Failed {
    /// It would again.
    Refused(String),
    /// The question has never arrived.
    NotSent(String),
    /// It may have arrived.
    Unanswered(String),
    /// The service is not well, and may ask for some time.
    NotWell(StatusCode, Duration),
}

impl Failed {
    pub(super) fn told(&self) -> (String, Duration) {
        match self {
            Self::Refused(why) | Self::NotSent(why) | Self::Unanswered(why) => (why.clone(), Duration::ZERO),
            Self::NotWell(status, wait) => (format!("it says {}", status.as_u16()), *wait),
        }
    }
}

impl Question {
    pub(super) fn may_be_repeated(&self, failed: &Failed) -> bool {
        let safe = self.method == Method::GET || self.key.is_some();
        match failed {
            Failed::Refused(_) => false,
            Failed::NotSent(_) => true,
            Failed::Unanswered(_) | Failed::NotWell(..) => safe,
        }
    }
}

impl Inner {
    pub(super) async fn exchange(&self, question: &Question) -> Result<HttpAnswer, Failed> {
        let is_read = question.method == Method::GET && question.body.is_none();
        let known = is_read.then(|| self.known.get(question.url.as_str())).flatten();
        let mut request = self.client.request(question.method.clone(), question.url.clone());
        if let Some((etag, _)) = &known {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(body) = &question.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        if let Some(key) = &question.key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.map_err(|error| failed(&error))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED
            && let Some((_, body)) = known
        {
            return Ok(HttpAnswer { status: 200, body });
        }
        if is_passing(status) {
            let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(Failed::NotWell(status, Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_WAIT)));
        }
        if status.is_redirection() {
            return Err(Failed::Refused(format!("it says {}, and redirections are not followed", status.as_u16())));
        }
        let etag = response.headers().get(ETAG).and_then(|etag| Some(etag.to_str().ok()?.to_owned()));
        let body = self.body(response).await?;
        if let Some(etag) = etag.filter(|_| status == StatusCode::OK && is_read) {
            self.known.put(question.url.as_str(), etag, &body);
        }
        Ok(HttpAnswer { status: status.as_u16(), body })
    }

    async fn body(&self, mut response: Response) -> Result<Bytes, Failed> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + chunk.len() > self.max_bytes {
                let most = self.max_bytes;
                return Err(Failed::Refused(format!("its answer is larger than {most} bytes (`max_bytes`)")));
            }
            body.extend_from_slice(&chunk);
        }
        // Kept for long, perhaps: without the room that it has grown into.
        Ok(Bytes::from(body.to_vec()))
    }
}

/// What has happened, without the address, whose query may hold what is nobody's to see.
fn failed(error: &reqwest::Error) -> Failed {
    let mut why = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        why = error.to_string();
        cause = error.source();
    }
    if why.is_empty() {
        "it does not answer".clone_into(&mut why);
    }
    if error.is_connect() { Failed::NotSent(why) } else { Failed::Unanswered(why) }
}
