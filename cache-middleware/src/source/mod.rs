//! The source of truth: who is asked for what is not held, or not known to be right.

mod error;
#[cfg(feature = "http-source")]
mod http;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;

pub use self::error::SourceError;
#[cfg(feature = "http-source")]
pub use self::http::{HttpAnswer, HttpResource, HttpSource, HttpSourceBuilder};

/// A record, as a source gives it.
///
/// ```
/// use cache_middleware::Record;
///
/// let before = Record { key: "crm.leads.create", version: 7, value: 2.5 };
/// let after = Record { version: 8, value: 3.0, ..before };
/// assert!(after.version > before.version, "so a message about version 7 that comes late changes nothing");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<K, V> {
    /// What it is known by.
    pub key: K,
    /// Which of its values this is: larger than every one before it under the key, also across a removal. The versions of messages
    /// are compared with it; 0 if the source has none, and then a message only tells that the source is to be asked.
    pub version: u64,
    /// What is held of it.
    pub value: V,
}

/// The authority on records of one type, of one tenant.
///
/// An answer must hold what was committed before the question: a replica of a database that lags is no source of truth.
///
/// ```
/// use cache_middleware::{Record, SourceError, SourceOfTruth};
///
/// struct Costs(Vec<Record<String, f64>>); // or a pool of connections to a database
///
/// impl SourceOfTruth<String, f64> for Costs {
///     async fn one(&self, key: &String) -> Result<Option<Record<String, f64>>, SourceError> {
///         Ok(self.0.iter().find(|record| record.key == *key).cloned())
///     }
///
///     async fn all(&self) -> Result<Vec<Record<String, f64>>, SourceError> {
///         Ok(self.0.clone())
///     }
/// }
/// ```
pub trait SourceOfTruth<K, V>: Send + Sync + 'static
where
    K: Send + Sync + 'static,
    V: Send + 'static,
{
    /// The record under a key, if there is one.
    fn one(&self, key: &K) -> impl Future<Output = Result<Option<Record<K, V>>, SourceError>> + Send;

    /// Those of several records that there are, in any order. Without this, each is asked for by itself, all at once.
    fn many(&self, keys: &[K]) -> impl Future<Output = Result<Vec<Record<K, V>>, SourceError>> + Send {
        async move {
            let found = futures_util::future::try_join_all(keys.iter().map(|key| self.one(key))).await?;
            Ok(found.into_iter().flatten().collect())
        }
    }

    /// All of them: for [`crate::CriticalCache`]. Others need not say it.
    fn all(&self) -> impl Future<Output = Result<Vec<Record<K, V>>, SourceError>> + Send {
        let why = "it does not list its records: a CriticalCache needs `SourceOfTruth::all`";
        std::future::ready(Err(SourceError::Unsupported(why.to_owned())))
    }
}

/// Has a source answer within a time. One that panics has answered with nothing that could be used.
pub(crate) async fn answer<T, F>(within: Duration, question: impl FnOnce() -> F) -> Result<T, SourceError>
where
    F: Future<Output = Result<T, SourceError>>,
{
    match timeout(within, AssertUnwindSafe(async { question().await }).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(SourceError::Malformed("it panicked".to_owned())),
        Err(_) => Err(SourceError::Unavailable(format!("no answer within {within:?}"))),
    }
}

/// Has a source answer of some records within a time; of others than those it was asked for it may not.
pub(crate) async fn answer_of<K, V, S>(
    within: Duration,
    source: &S,
    keys: &[K],
) -> Result<Vec<Record<K, V>>, SourceError>
where
    K: PartialEq + Send + Sync + 'static,
    V: Send + 'static,
    S: SourceOfTruth<K, V>,
{
    let records = match keys {
        [one] => answer(within, || source.one(one)).await?.into_iter().collect(),
        many => answer(within, || source.many(many)).await?,
    };
    if records.iter().any(|record| !keys.contains(&record.key)) {
        return Err(SourceError::Malformed("a record with another key than was asked for".to_owned()));
    }
    Ok(records)
}
