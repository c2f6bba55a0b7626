//! A source of truth behind HTTP: one client for all that is asked of it.

mod builder;
mod exchange;
mod gate;
mod known;
mod resource;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

pub use self::builder::HttpSourceBuilder;
use self::exchange::{Failed, Question};
use self::gate::Gate;
use self::known::Known;
pub use self::resource::HttpResource;
use crate::chance;
use crate::source::SourceError;

/// The first pause before a question is asked again; each is twice the one before, and a random part of it is waited.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// What is left of a limit to say that it is over.
const SAY_SO: Duration = Duration::from_millis(1);

/// A service that is asked over HTTP. What is asked has a time limit; reads are retried; with a service that does not answer, most
/// questions fail at once; what it has sent before and has not changed it does not send again. Clones share everything.
///
/// ```
/// use cache_middleware::{HttpSource, Record};
/// use serde::Deserialize;
///
/// /// As the service writes it.
/// #[derive(Deserialize)]
/// struct CreditConfig { code: String, version: u64, cost: f64 }
///
/// impl From<CreditConfig> for Record<String, f64> {
///     fn from(config: CreditConfig) -> Self {
///         Record { key: config.code, version: config.version, value: config.cost }
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let wrapper = HttpSource::builder("http://127.0.0.1:8090").header("authorization", "Bearer s3cr3t").build()?;
/// // For `CriticalCache::<String, f64>::builder(..).start(&changes, costs)`.
/// let costs = wrapper.resource::<CreditConfig>().all_at("/credit-configs").one_at("/credit-configs/{key}");
/// assert!(!format!("{costs:?}").contains("s3cr3t"));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone)]
pub struct HttpSource {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    base: Url,
    /// How long a question may take, with all its attempts.
    within: Duration,
    attempt_within: Duration,
    retries: u32,
    max_bytes: usize,
    gate: Gate,
    under_way: Semaphore,
    known: Known,
}

/// Without its headers, which may hold credentials.
impl fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSource").field("base", &self.shown()).finish_non_exhaustive()
    }
}

/// What the service has answered.
///
/// At work: [`crate::HttpSource`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpAnswer {
    /// Its status, such as 200.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
}

impl HttpAnswer {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`SourceError::Malformed`] if it is something else, without what it is.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, SourceError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column, expected) = (error.line(), error.column(), std::any::type_name::<T>());
            let text = error.to_string();
            // Of the program, and not of what was answered.
            let missing = text.split(" at line ").next().filter(|text| text.starts_with("missing field"));
            let missing = missing.map(|text| format!(" ({text})")).unwrap_or_default();
            SourceError::Malformed(format!("it is no {expected} from line {line}, column {column} on{missing}"))
        })
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl HttpSource {
    /// The settings of a client for the service at a base address, `http://host:port/path`, or `https://` with the feature `tls`.
    pub fn builder(base: impl Into<String>) -> HttpSourceBuilder {
        HttpSourceBuilder::new(base.into())
    }

    /// Records of one type; `R` is what the service writes of one, in JSON.
    pub fn resource<R>(&self) -> HttpResource<R> {
        HttpResource::new(self.clone())
    }

    /// Asks for something, with retries, and with its `ETag` if it was asked for before.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] if there is no answer in time, or one that says that the service is not well (408, 429, 5xx);
    /// [`SourceError::Refused`] if the answer is larger than may be, or the path is none.
    pub async fn get(&self, path: &str) -> Result<HttpAnswer, SourceError> {
        self.ask(Question { method: Method::GET, url: self.url(path)?, body: None, key: None }).await
    }

    /// Asks for something to be done, once: it is not repeated, because it may have happened. With an `idempotency_key`, which is
    /// sent as `Idempotency-Key`, it is retried like a read.
    ///
    /// # Errors
    /// As [`Self::get`], and then it may have happened or not; [`SourceError::Malformed`] if the body cannot be written as JSON.
    pub async fn send<B: Serialize>(
        &self,
        method: &str,
        path: &str,
        body: &B,
        idempotency_key: Option<&str>,
    ) -> Result<HttpAnswer, SourceError> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| SourceError::Refused(format!("{method:?} is no method of HTTP")))?;
        let body = serde_json::to_vec(body).map_err(|error| SourceError::Malformed(error.to_string()))?;
        let key = idempotency_key.map(str::to_owned);
        self.ask(Question { method, url: self.url(path)?, body: Some(body.into()), key }).await
    }

    fn url(&self, path: &str) -> Result<Url, SourceError> {
        let base = self.inner.base.as_str().trim_end_matches('/');
        let joined = if path.starts_with('/') { format!("{base}{path}") } else { format!("{base}/{path}") };
        Url::parse(&joined).map_err(|_| SourceError::Refused(format!("{path:?} is no path")))
    }

    /// The address without what may be secret in it.
    fn shown(&self) -> String {
        let host = self.inner.base.host_str().unwrap_or_default();
        self.inner.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    async fn ask(&self, question: Question) -> Result<HttpAnswer, SourceError> {
        let deadline = Instant::now() + self.inner.within;
        let late =
            || SourceError::Unavailable(format!("{} has not answered within {:?}", self.shown(), self.inner.within));
        timeout_at(deadline, self.attempts(&question, deadline)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn attempts(&self, question: &Question, deadline: Instant) -> Result<HttpAnswer, SourceError> {
        let Inner { gate, under_way, retries, attempt_within, .. } = &*self.inner;
        let mut pause = FIRST_RETRY;
        for attempt in 0..=*retries {
            // Who waits here is within the limit too. The semaphore is never closed.
            let turn = under_way.acquire().await.ok();
            let Some(pass) = gate.enter() else {
                return Err(SourceError::Unavailable(format!(
                    "{} does not answer, and is not asked until it may again (circuit breaker)",
                    self.shown()
                )));
            };
            // The last attempt ends a little before its caller goes, so that the breaker learns of it.
            let ends = (Instant::now() + *attempt_within).min(deadline - SAY_SO);
            let exchanged = timeout_at(ends, self.inner.exchange(question)).await;
            drop(turn);
            let error = match exchanged.unwrap_or_else(|_| Err(Failed::Unanswered("it takes too long".to_owned()))) {
                Ok(answer) => {
                    pass.went_well();
                    return Ok(answer);
                }
                Err(Failed::Refused(why)) => {
                    pass.went_well();
                    return Err(SourceError::Refused(why));
                }
                Err(error) => error,
            };
            if pass.went_badly() {
                log::warn!("{} does not answer: it is asked now and then until it does", self.shown());
            }
            let (why, wait) = error.told();
            // Not all who failed at once come again at once; and not before the service has asked for it.
            let rest = pause.mul_f64(chance::part()).max(wait);
            if attempt == *retries || !question.may_be_repeated(&error) || Instant::now() + rest >= deadline {
                return Err(SourceError::Unavailable(format!("{}: {why}", self.shown())));
            }
            sleep(rest).await;
            pause *= 2;
        }
        Err(SourceError::Unavailable("it was never asked".to_owned()))
    }
}

/// Whether a status says that the same question may be answered later.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}
