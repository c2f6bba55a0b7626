//! Critical data: all of it in memory, changed by messages, loaded anew whenever one may be missing.

mod asking;
mod builder;
mod keeper;
mod shared;
mod table;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use self::asking::Asking;
pub use self::builder::CriticalCacheBuilder;
use self::shared::Shared;
use crate::change::ChangeConsumer;
use crate::source::{Record, SourceError};
use crate::time::Moment;

/// Every record of a type, in the memory of this node: what is needed for each request, such as costs and permissions. A read takes no
/// lock and no network. Clones share everything.
///
/// ```
/// use cache_middleware::{
///     CacheManager, ChangeConsumer, ChangeMessage, ChangePublisher, CriticalCache, Record, SourceError, SourceOfTruth,
/// };
///
/// struct Costs;
///
/// impl SourceOfTruth<String, f64> for Costs {
///     async fn one(&self, key: &String) -> Result<Option<Record<String, f64>>, SourceError> {
///         Ok(self.all().await?.into_iter().find(|record| record.key == *key))
///     }
///
///     async fn all(&self) -> Result<Vec<Record<String, f64>>, SourceError> {
///         Ok(vec![Record { key: "crm.leads.create".to_owned(), version: 1, value: 2.5 }])
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let changes = ChangeConsumer::builder("crm").start(&cache).await?.tenant("123")?;
/// let costs: CriticalCache<String, f64> =
///     CriticalCache::builder("credit-configs").key("operationCode").start(&changes, Costs).await?;
/// assert_eq!(costs.held(&"crm.leads.create".to_owned()), Some(2.5));
///
/// // At the source, after the change is committed there:
/// let publisher = ChangePublisher::builder("crm").start(&cache).await?.tenant("123")?;
/// let message = ChangeMessage::new("credit-config-changed").field("operationCode", "crm.leads.create");
/// publisher.publish("credit-configs", message.from_to(2.5, 3.0).version(2)).await?;
/// # for _ in 0..1_000 {
/// #     if costs.held(&"crm.leads.create".to_owned()) == Some(3.0) { break; }
/// #     tokio::time::sleep(std::time::Duration::from_millis(1)).await;
/// # }
/// // A moment later, on every node:
/// assert_eq!(costs.held(&"crm.leads.create".to_owned()), Some(3.0));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "with its last handle the changes are followed no more"]
pub struct CriticalCache<K, V: Clone> {
    shared: Arc<Shared<K, V>>,
    kept: Arc<Kept<K, V>>,
}

type Answers<K, V> = BoxFuture<'static, Result<Vec<Record<K, V>>, SourceError>>;

struct Kept<K, V: Clone> {
    keeper: JoinHandle<()>,
    _changes: ChangeConsumer,
    ask: Box<dyn Fn(Vec<K>) -> Answers<K, V> + Send + Sync>,
    asking: Asking<K, V>,
    limit: Duration,
    past: PastLimit,
}

impl<K, V: Clone> Drop for Kept<K, V> {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl<K, V: Clone> fmt::Debug for CriticalCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// What is done when the proof that nothing is missing is older than the limit.
///
/// ```
/// use cache_middleware::{CacheManager, ChangeConsumer, CriticalCache, PastLimit, Record, SourceError, SourceOfTruth};
///
/// struct Costs;
///
/// impl SourceOfTruth<String, f64> for Costs {
///     async fn one(&self, key: &String) -> Result<Option<Record<String, f64>>, SourceError> {
///         Ok((key == "create").then(|| Record { key: key.clone(), version: 1, value: 2.5 }))
///     }
///     async fn all(&self) -> Result<Vec<Record<String, f64>>, SourceError> {
///         Ok(vec![Record { key: "create".to_owned(), version: 1, value: 2.5 }])
///     }
/// }
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let changes = ChangeConsumer::builder("crm").start(&cache).await?.tenant("acme")?;
/// let builder = CriticalCache::builder("costs").limit("2s", PastLimit::Serve); // never asks, once all was loaded
/// let costs = builder.start(&changes, Costs).await?;
/// assert_eq!(costs.get(&"create".to_owned()).await?, Some(2.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PastLimit {
    /// What is held is served; records are asked for only as long as nothing could be loaded at all.
    Serve,
    /// The source is asked for the record; if it does not answer, what is held is served.
    #[default]
    AskSource,
}

/// How sure a critical cache is.
///
/// At work: [`crate::CriticalCache`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CriticalFreshness {
    /// How old the proof is that it is complete: everything that was published and counted before that is in it. `None`: there was none
    /// yet.
    pub proven_for: Option<Duration>,
    /// How long ago everything was loaded. `None`: it never was.
    pub loaded_for: Option<Duration>,
    /// How many records it holds.
    pub entries: usize,
    /// Why the source has not answered, if it has not since.
    pub problem: Option<String>,
}

/// What [`CriticalCache::look`] has found.
///
/// At work: [`crate::CriticalCache`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CriticalAnswer<V> {
    /// The value, if there is such a record.
    pub value: Option<V>,
    /// Whether it is what this node held; otherwise the source was asked.
    pub cached: bool,
    /// How old the proof of that is; `None` if there is none.
    pub proven_for: Option<Duration>,
}

impl<K, V> CriticalCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + DeserializeOwned + 'static,
    V: Clone + Send + Sync + DeserializeOwned + 'static,
{
    /// The settings of a cache for a data type: that of the channel `app:tenant:data-type`, 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub fn builder(data_type: impl Into<String>) -> CriticalCacheBuilder<K, V> {
        CriticalCacheBuilder::new(data_type.into())
    }

    /// The value under a key: what is held if it is proven to be right within the limit, or by what the settings say.
    ///
    /// # Errors
    /// That of the source, if it was asked, and nothing could ever be loaded; also if it knows no such record, and has refused to list
    /// them.
    pub async fn get(&self, key: &K) -> Result<Option<V>, SourceError> {
        Ok(self.look(key).await?.value)
    }

    /// As [`Self::get`], and says where the value is from.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn look(&self, key: &K) -> Result<CriticalAnswer<V>, SourceError> {
        let proven_for = self.shared.proven_for();
        let loaded = || self.shared.is_loaded();
        if proven_for.is_some_and(|age| age <= self.kept.limit) || (self.kept.past == PastLimit::Serve && loaded()) {
            return Ok(CriticalAnswer { value: self.held(key), cached: true, proven_for });
        }
        let (shared, kept, wanted) = (self.shared.clone(), self.kept.clone(), key.clone());
        let ask = async move || {
            let asked = shared.table.ask();
            let answers = (kept.ask)(vec![wanted.clone()]).await?;
            let answer = answers.into_iter().find(|record| record.key == wanted);
            Ok(shared.table.answer_one(asked, &wanted, answer))
        };
        // Who waits for a question that waits for another does not wait for both.
        let within = self.shared.within;
        let answer = tokio::time::timeout(within, self.kept.asking.ask(key, ask)).await;
        let late = |_| Err(SourceError::Unavailable(format!("no answer within {within:?}")));
        match answer.unwrap_or_else(late) {
            Ok((value, at)) => Ok(CriticalAnswer { value, cached: false, proven_for: Some(Moment::now().since(at)) }),
            Err(error) if loaded() => {
                log::debug!("what is held of {} is served past its limit: {error}", self.shared.data_type);
                let proven_for = self.shared.proven_for();
                Ok(CriticalAnswer { value: self.held(key), cached: true, proven_for })
            }
            Err(error) => Err(error),
        }
    }

    /// The value that is held under a key, however old the proof is.
    #[must_use]
    pub fn held(&self, key: &K) -> Option<V> {
        self.shared.table.read(key, V::clone)
    }

    /// What `with` makes of the value that is held under a key: without a clone of it.
    pub fn read<R>(&self, key: &K, with: impl FnOnce(&V) -> R) -> Option<R> {
        self.shared.table.read(key, with)
    }

    /// All that is held, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<(K, V)> {
        self.shared.table.all()
    }

    /// How sure it is.
    #[must_use]
    pub fn freshness(&self) -> CriticalFreshness {
        self.shared.freshness()
    }

    /// Waits until everything was loaded once: before a service says that it is ready.
    pub async fn loaded(&self) {
        self.shared.until_loaded().await;
    }

    /// Has everything loaded anew, in the background.
    pub fn refresh(&self) {
        self.shared.doubt_all();
    }
}
