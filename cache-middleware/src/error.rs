//! Errors, one type per question a caller may have.
//!
//! [`ConfigError`] stops a start, [`StoreError`] says that the store did not do what it was asked, and
//! [`CacheError`] is what calls such as `clear_tag` return.

use std::fmt;

use thiserror::Error;

/// Why `build()` refused to start: every problem found, not only the first.
///
/// ```
/// use cache_middleware::CacheManager;
///
/// # async fn run() {
/// let refused = CacheManager::builder().ttl("session-list", "5 parsecs").build().await.unwrap_err();
/// assert!(refused.to_string().contains("session-list"));
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { problems: vec![problem.into()] }
    }

    pub(crate) fn from_problems(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// All problems in one line: for what is itself a part of an error.
    pub(crate) fn line(&self) -> String {
        self.problems.join("; ")
    }

    /// The same, of a setting.
    pub(crate) fn line_of(&self, setting: &str) -> String {
        format!("{setting}: {}", self.line())
    }

    /// The problems, one sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => write!(f, "the cache cannot start: {one}"),
            many => {
                write!(f, "the cache cannot start, {} problems:", many.len())?;
                for problem in many {
                    write!(f, "\n  - {problem}")?;
                }
                Ok(())
            }
        }
    }
}

/// As [`fmt::Display`]: it is what a `main` that returns an error prints.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for std::io::Error {
    fn from(error: ConfigError) -> Self {
        Self::other(error)
    }
}

/// Why a store did not do what it was asked.
///
/// ```
/// use cache_middleware::{CacheError, StoreError};
///
/// let away = CacheError::from(StoreError::Unavailable("the circuit breaker is open".to_owned()));
/// assert_eq!(away.to_string(), "the store cannot be reached: the circuit breaker is open");
/// ```
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The store could not be reached, or did not answer in time: whether the operation happened is unknown.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The store is there but must not be used as it is set up.
    #[error("the store is refused: {0}")]
    Unsuitable(String),
    /// The store answered with an error of its own.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// Why a call on the manager did not do what it was asked.
///
/// ```
/// use cache_middleware::{CacheError, CacheManager};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// // Of a handler `?` answers 500, or 503 if the store failed, and logs the cause.
/// match cache.clear_tag("two words").await {
///     Err(CacheError::Invalid(why)) => assert!(why.contains("\"two words\" is not a tag")),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A tag, key, tenant or pattern is not one: nothing was done.
    #[error("{0}")]
    Invalid(String),
    /// An event has no rule and no subscriber: nothing was cleared for it. Or it lacks a field that its rules name: then everything (of the
    /// tenant) was cleared.
    #[error("{0}")]
    Event(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A clear was not acknowledged by the store, and the file of the journal cannot be written. It is retried from memory,
    /// and until it is acknowledged this node serves nothing that it covers.
    #[error("a clear waits in memory only, because the journal cannot be written: {0}")]
    Journal(String),
    /// The sink of a queue does not say how far it has come, and so nobody knows what its changes begin after: nothing was done.
    #[error("{0}")]
    Sink(String),
    /// A queue of changes has no room: nothing was done.
    #[error("{0}")]
    QueueFull(String),
    /// A value could not be encoded.
    #[error("the value cannot be encoded as JSON: {0}")]
    Encode(String),
}
