//! Settings of a client, checked when it is built.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;
use url::Url;

use super::gate::Gate;
use super::known::Known;
use super::{HttpSource, Inner};
use crate::error::ConfigError;

/// Longer than any question.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Settings of an [`HttpSource`].
///
/// At work: [`crate::HttpSource`].
#[derive(Clone)]
#[must_use]
pub struct HttpSourceBuilder {
    base: String,
    headers: Vec<(String, String)>,
    connect_within: Duration,
    within: Duration,
    attempt_within: Duration,
    retries: u32,
    most_at_once: usize,
    max_bytes: usize,
    known_bytes: usize,
}

/// Without its headers and whatever is in the address.
impl fmt::Debug for HttpSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSourceBuilder").finish_non_exhaustive()
    }
}

impl HttpSourceBuilder {
    pub(super) fn new(base: String) -> Self {
        Self {
            base,
            headers: Vec::new(),
            connect_within: Duration::from_millis(500),
            within: Duration::from_secs(5),
            attempt_within: Duration::from_secs(2),
            retries: 2,
            most_at_once: 64,
            max_bytes: 64 << 20,
            known_bytes: 32 << 20,
        }
    }

    /// Sends a header with every question, such as credentials.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long a connection may take. Default 500 ms.
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.connect_within = time;
        self
    }

    /// How long a question may take, with all its attempts and whatever it waits for. Default 5 s.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// How long one attempt may take. Default 2 s.
    pub fn attempt_within(mut self, time: Duration) -> Self {
        self.attempt_within = time;
        self
    }

    /// How often a read is asked again that was not answered. Default twice, after 50 ms at most, then 100 ms, and so on.
    pub fn retries(mut self, times: u32) -> Self {
        self.retries = times;
        self
    }

    /// How many questions are under way at once; more of them wait. Default 64.
    pub fn most_at_once(mut self, questions: usize) -> Self {
        self.most_at_once = questions;
        self
    }

    /// The most bytes of an answer. Default 64 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The most bytes of answers with an `ETag` that are kept, so that they need not be sent again. Default 32 MiB.
    pub fn known_bytes(mut self, bytes: usize) -> Self {
        self.known_bytes = bytes;
        self
    }

    /// Builds it. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is not one.
    pub fn build(self) -> Result<HttpSource, ConfigError> {
        let accepted = "accepted: http://host:port/path, and https:// with the feature `tls`";
        let base = Url::parse(&self.base)
            .map_err(|error| ConfigError::new(format!("the address of the source is not one ({error}); {accepted}")))?;
        if !(base.scheme() == "http" || (cfg!(feature = "tls") && base.scheme() == "https")) || !base.has_host() {
            let scheme = base.scheme();
            return Err(ConfigError::new(format!("the address of the source begins with {scheme}:; {accepted}")));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(ConfigError::new(format!("the address of the source has a query or a fragment; {accepted}")));
        }
        let zero = [
            ("within", self.within.is_zero()),
            ("attempt_within", self.attempt_within.is_zero()),
            ("connect_within", self.connect_within.is_zero()),
            ("most_at_once", self.most_at_once == 0),
        ];
        if let Some((limit, _)) = zero.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigError::new(format!("{limit} is zero: nothing would ever be asked")));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let (Ok(parsed), Ok(mut value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
            else {
                return Err(ConfigError::new(format!(
                    "the header {name:?} cannot be sent: its name or its value is none of HTTP"
                )));
            };
            value.set_sensitive(true);
            headers.append(parsed, value);
        }
        #[cfg(feature = "tls")]
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(self.connect_within)
            .redirect(Policy::none())
            .build()
            .map_err(|error| ConfigError::new(format!("the client of the source cannot be built: {error}")))?;
        Ok(HttpSource {
            inner: Arc::new(Inner {
                client,
                base,
                within: self.within.clamp(Duration::from_millis(2), LONGEST),
                attempt_within: self.attempt_within.min(LONGEST),
                retries: self.retries,
                max_bytes: self.max_bytes,
                gate: Gate::new(),
                under_way: Semaphore::new(self.most_at_once.min(Semaphore::MAX_PERMITS)),
                known: Known::new(self.known_bytes),
            }),
        })
    }
}
