//! Reference data: fetched when it is asked for, kept for a while, cleared when it changes.

mod batch;
mod builder;

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::batch::Batch;
pub use self::builder::ReferenceCacheBuilder;
use crate::change::{ChangeConsumer, record_tag};
use crate::error::CacheError;
use crate::manager::{CacheManager, ClearReceipt, HitCounts, ValuePolicy};
use crate::outcome::{Outcome, RefusalReason};
use crate::source::{Record, SourceError};
use crate::tag::{Tag, escape};

/// Records that are fetched one by one, or several at once: what is needed now and then, such as profiles. They are typed values of the
/// manager: in both tiers, one flight for each, cleared like responses. Clones share everything.
///
/// ```
/// use cache_middleware::{CacheManager, ChangeConsumer, Record, ReferenceCache, SourceError, SourceOfTruth};
///
/// struct Users;
///
/// impl SourceOfTruth<String, String> for Users {
///     async fn one(&self, key: &String) -> Result<Option<Record<String, String>>, SourceError> {
///         let known = key == "user-456";
///         Ok(known.then(|| Record { key: key.clone(), version: 1, value: "John".to_owned() }))
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let changes = ChangeConsumer::builder("crm").start(&cache).await?.tenant("123")?;
/// let users: ReferenceCache<String, String> = ReferenceCache::builder("users").ttl("5m").start(&changes, Users).await?;
///
/// let first = users.look(&"user-456".to_owned()).await?;
/// assert_eq!((first.value.as_deref(), first.cached), (Some("John"), false));
/// assert!(users.look(&"user-456".to_owned()).await?.cached);
/// // That there is nobody is remembered as well, for a moment.
/// assert_eq!(users.get(&"nobody".to_owned()).await?, None);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub struct ReferenceCache<K, V> {
    shared: Arc<Shared<K, V>>,
}

type Answers<K, V> = BoxFuture<'static, Result<Vec<Record<K, V>>, SourceError>>;

struct Shared<K, V> {
    data_type: String,
    cache: CacheManager,
    policy: ValuePolicy,
    ttl: Duration,
    hits: Arc<HitCounts>,
    ask: Arc<dyn Fn(Vec<K>) -> Answers<K, V> + Send + Sync>,
    _changes: ChangeConsumer,
}

impl<K, V> Clone for ReferenceCache<K, V> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K, V> fmt::Debug for ReferenceCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { data_type, cache, .. } = &*self.shared;
        f.debug_struct("ReferenceCache").field("data_type", data_type).field("cache", cache).finish_non_exhaustive()
    }
}

/// What [`ReferenceCache::look`] has found.
///
/// At work: [`crate::ReferenceCache`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReferenceAnswer<V> {
    /// The value, if there is such a record.
    pub value: Option<V>,
    /// Whether it was there already; otherwise the source was asked, for this caller or for another one at the same time.
    pub cached: bool,
    /// How long it will still be taken for fresh; `None` if it is not stored, is stale, or was fetched for another caller.
    pub expires_in: Option<Duration>,
    /// What became of the question, and why.
    pub outcome: Outcome,
}

impl<K, V> ReferenceCache<K, V>
where
    K: Display + Clone + PartialEq + Send + Sync + 'static,
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The settings of a cache for a data type: that of the channel `app:tenant:data-type`, 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub fn builder(data_type: impl Into<String>) -> ReferenceCacheBuilder<K, V> {
        ReferenceCacheBuilder::new(data_type.into())
    }

    /// The value of a record, if there is one.
    ///
    /// # Errors
    /// That of the source, if there is nothing to answer with.
    pub async fn get(&self, key: &K) -> Result<Option<V>, SourceError> {
        Ok(self.look(key).await?.value)
    }

    /// As [`Self::get`], and says where the value is from.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn look(&self, key: &K) -> Result<ReferenceAnswer<V>, SourceError> {
        self.through(key, async {
            let answers = (self.shared.ask)(vec![key.clone()]).await?;
            Ok(answers.into_iter().find(|record| record.key == *key).map(|record| record.value))
        })
        .await
    }

    /// The values of several records, in their order: what is not cached is fetched with one question, or several for more than a few
    /// hundred.
    ///
    /// # Errors
    /// That of the source, if there is nothing to answer with for one of them.
    pub async fn get_many(&self, keys: &[K]) -> Result<Vec<Option<V>>, SourceError> {
        let batch = Batch::new(self.shared.ask.clone(), keys.len());
        let looks = keys.iter().map(|key| async {
            let wanted = batch.of(key);
            self.through(key, wanted.load()).await.map(|answer| answer.value)
        });
        try_join_all(looks).await
    }

    /// Forgets a record on all nodes: it is fetched anew when somebody asks.
    ///
    /// # Errors
    /// As [`CacheManager::clear_tag`].
    pub async fn clear(&self, key: &K) -> Result<ClearReceipt, CacheError> {
        match record_tag(&self.shared.data_type, &key.to_string()) {
            Some(tag) => self.shared.cache.clear_tag(tag.as_str()).await,
            None => self.clear_all().await,
        }
    }

    /// Forgets all of them.
    ///
    /// # Errors
    /// As [`CacheManager::clear_tag`].
    pub async fn clear_all(&self) -> Result<ClearReceipt, CacheError> {
        self.shared.cache.clear_tag(&self.shared.data_type).await
    }

    async fn through(
        &self,
        key: &K,
        fetch: impl Future<Output = Result<Option<V>, SourceError>>,
    ) -> Result<ReferenceAnswer<V>, SourceError> {
        let Shared { data_type, cache, policy, ttl, hits, .. } = &*self.shared;
        let text = key.to_string();
        let name = format!("reference:{data_type}:{}", escape(&text));
        let name = cache.value_key(&name);
        // Without a tag of its own nothing would clear it when it changes.
        let tags = match (record_tag(data_type, &text), Tag::new(data_type)) {
            (Some(record), Ok(all)) => Ok(vec![record, all]),
            _ => Err(RefusalReason::TagInvalid),
        };
        // In an array: a value that is written as `null` is there all the same.
        let fetch = async { fetch.await.map(|value| (value.map(|value| (value,)), tags)) };
        let found = cache.value_and_outcome(&name, policy, fetch, SourceError::lets_stale_stand_in).await;
        let (value, outcome) = found.inspect_err(|_| hits.count(false))?;
        let value: Option<V> = value.map(|(value,)| value);
        hits.note(&outcome);
        let seconds = |ttl: i64| u64::try_from(ttl).ok().map(Duration::from_secs);
        let expires_in = match outcome {
            Outcome::Hit { ttl, .. } | Outcome::BackedOff { ttl } => seconds(ttl),
            Outcome::Stored { .. } if value.is_some() => Some(*ttl),
            _ => None,
        };
        Ok(ReferenceAnswer { value, cached: outcome.is_from_cache(), expires_in, outcome })
    }
}
