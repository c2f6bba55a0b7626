//! Writing behind: changes wait in a queue, and are written to their source later, in batches.

mod attempt;
mod batch;
mod builder;
mod flusher;
mod shared;
mod sink;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

pub use self::batch::{Batch, Write};
pub use self::builder::WriteBehindBuilder;
use self::flusher::Flushes;
use self::shared::Shared;
pub use self::sink::{Sink, SinkError};
use crate::error::{CacheError, StoreError};
use crate::key::Key;
use crate::manager::{CacheManager, ValuePolicy};
use crate::store::{Change, Enqueued, Pending, QueueSize, Target};

/// The largest amount that is added at once: what a number of JSON or JavaScript holds exactly.
const LARGEST_AMOUNT: u64 = 1 << 53;

/// Longer than any flush.
const FAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How often a flush looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);

/// A queue of changes that are written to their source later. Clones share everything; with the last one the flushing ends.
///
/// A change is acknowledged when it is in the queue: in Redis, where it survives this process. From then on
/// [`Self::get_or_set`] and [`Self::pending`] give it, on all nodes, although the source does not have it yet.
///
/// ```
/// use cache_middleware::{Batch, CacheManager, Sink, SinkError, WriteBehind};
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// struct Profiles(Arc<Mutex<Vec<String>>>);
///
/// impl Sink for Profiles {
///     async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
///         for write in batch.writes() {
///             let text: String = write.value()?;
///             self.0.lock().map_err(|_| SinkError::Unavailable("locked".to_owned()))?.push(text);
///         }
///         Ok(())
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let policy = cache.policy("5m")?;
/// let database = Arc::new(Mutex::new(Vec::new()));
/// let queue = WriteBehind::builder("profiles").interval("30s").start(&cache, Profiles(database.clone())).await?;
///
/// queue.put("profile:7", &"Ada").await?;
/// queue.put("profile:7", &"Ada Lovelace").await?;
/// // The database has not heard of it, and everybody reads it.
/// assert!(database.lock().unwrap().is_empty());
/// let read = queue.get_or_set("profile:7", &policy, async || Ok::<_, std::io::Error>("nobody".to_owned())).await?;
/// assert_eq!(read, "Ada Lovelace");
///
/// assert!(queue.flush(Duration::from_secs(5)).await?);
/// assert_eq!(*database.lock().unwrap(), ["Ada Lovelace"]);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone)]
#[must_use = "with its last handle a queue is flushed no more"]
pub struct WriteBehind {
    shared: Arc<Shared>,
    /// Whose changes this handle speaks of.
    cache: CacheManager,
    _flushes: Arc<Flushes>,
}

/// What became of a value that was put: it waits, and will be written.
///
/// At work: [`crate::WriteBehind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutReceipt {
    /// Whether the clear of its key was not acknowledged: it is retried, and until it is acknowledged other nodes may read what
    /// was before.
    pub journaled: bool,
}

/// What the flusher of this node has done. Another node may have done the rest.
///
/// At work: [`crate::WriteBehind`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FlushProgress {
    /// Batches that were written.
    pub batches: u64,
    /// Changes that were written.
    pub changes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Changes that were set aside.
    pub set_aside: u64,
    /// Why the last attempt failed, if nothing has succeeded since.
    pub problem: Option<String>,
}

/// A change that the sink has rejected, and that waits for somebody to decide.
///
/// At work: [`crate::WriteBehind`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// By this it is put back or discarded.
    pub number: u64,
    /// What was to be written; `None` if it cannot be read.
    pub write: Option<Write>,
    /// Why the sink did not take it.
    pub reason: String,
}

impl WriteBehind {
    /// The settings of a queue of a name: 1 to 64 of `A-Z a-z 0-9 . _ -`, the same on every node.
    pub fn builder(queue: impl Into<String>) -> WriteBehindBuilder {
        WriteBehindBuilder::new(queue.into())
    }

    /// A handle that speaks only of this tenant's keys. They wait in the same queue.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the name is not a tenant name.
    pub fn tenant(&self, name: &str) -> Result<Self, CacheError> {
        Ok(Self { cache: self.cache.tenant(name)?, ..self.clone() })
    }

    /// Has a value written under a key, in the place of what is there. When this returns, who reads through a queue of this name is
    /// given it: on this node at once, and on others like the effect of any clear, within the bound of their coherence or, under
    /// [`ValuePolicy::strict`], at once; unless [`PutReceipt::journaled`] says otherwise.
    ///
    /// # Errors
    /// [`CacheError::QueueFull`], [`CacheError::Invalid`], [`CacheError::Sink`] or [`CacheError::Encode`]: nothing was done. [`CacheError::Store`]: the store
    /// did not answer, and it may be written or not; [`CacheError::Journal`]: it will be written, and others may read what was
    /// before.
    pub async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<PutReceipt, CacheError> {
        let bytes = serde_json::to_vec(value).map_err(|error| CacheError::Encode(error.to_string()))?;
        let most = self.shared.settings.max_bytes;
        if bytes.len() > most {
            let length = bytes.len();
            return Err(CacheError::Invalid(format!(
                "the value of {key:?} has {length} bytes, and {most} at most may wait"
            )));
        }
        let key = self.cache.checked_key(key)?;
        self.enqueue(&key, Change::Put(bytes.into())).await?;
        // After it is in the queue: who fetches from now on finds it there, and who did before cannot store what it found.
        let cleared = self.cache.clear(vec![Target::of_key(&key)]).await?;
        Ok(PutReceipt { journaled: cleared.journaled })
    }

    /// Has an amount added to what is there.
    ///
    /// # Errors
    /// As [`Self::put`]; [`CacheError::Invalid`] as well if it is more than 2^53 either way.
    pub async fn add(&self, key: &str, amount: i64) -> Result<(), CacheError> {
        if amount.unsigned_abs() > LARGEST_AMOUNT {
            return Err(CacheError::Invalid(format!("{amount} is more than is added at once: 2^53 at most")));
        }
        self.enqueue(&self.cache.checked_key(key)?, Change::Add(amount)).await
    }

    /// The value that waits under a key, if one does.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not of this type, [`CacheError::Store`] if the store did not answer.
    pub async fn pending<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, CacheError> {
        let pending = self.waiting(key).await?;
        let read = |bytes| serde_json::from_slice(bytes);
        let value = pending.put.as_deref().map(read).transpose();
        let place = |error| batch::place(&error);
        value.map_err(|error| {
            CacheError::Invalid(format!("what waits under {key:?} is not what was expected{}", place(error)))
        })
    }

    /// The sum of the amounts that wait under a key.
    ///
    /// # Errors
    /// [`CacheError::Store`] if the store did not answer.
    pub async fn pending_amount(&self, key: &str) -> Result<i64, CacheError> {
        Ok(self.waiting(key).await?.add)
    }

    /// The value under a key: from the cache, or what waits in the queue, or what `fetch` brings from the source. Read values that
    /// are written behind through this alone: the source does not have them yet.
    ///
    /// If the queue cannot be asked, `fetch` answers, which may not know what was put last.
    ///
    /// # Errors
    /// Only those of `fetch`.
    pub async fn get_or_set<T, E>(
        &self,
        key: &str,
        policy: &ValuePolicy,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        let through_the_queue = async || match self.pending(key).await {
            Ok(Some(value)) => Ok((value, true)),
            Ok(None) => fetch().await.map(|value| (value, true)),
            Err(error) => {
                log::debug!("the queue of {key:?} was not asked: {error}");
                fetch().await.map(|value| (value, false))
            }
        };
        self.cache.get_or_set_if(key, policy, through_the_queue).await
    }

    /// A total under a key: what `fetch` brings from the source, cached (not in L1), and what waits to be added to it. While a batch is
    /// written, an amount may be in both for a moment. A value that was put under the key is not in it.
    ///
    /// # Errors
    /// Only those of `fetch`. If the queue cannot be asked, what waits is left out.
    pub async fn total<E>(
        &self,
        key: &str,
        policy: &ValuePolicy,
        fetch: impl AsyncFnOnce() -> Result<i64, E>,
    ) -> Result<i64, E> {
        // First what waits: what is written meanwhile is in both, and not in neither. In L1 there may be a total from before that.
        let waiting = self.pending_amount(key).await.unwrap_or_else(|error| {
            log::debug!("the queue of {key:?} was not asked: {error}");
            0
        });
        let written = self.cache.get_or_set(key, &policy.clone().l1_ttl(Duration::ZERO), fetch).await?;
        Ok(written.saturating_add(waiting))
    }

    /// Writes what waits, and waits until nothing does, as before a service ends; `false` if it takes longer than `within`. What is set
    /// aside stays there.
    ///
    /// # Errors
    /// [`CacheError::Store`] if the store does not tell what waits, for all that time.
    pub async fn flush(&self, within: Duration) -> Result<bool, CacheError> {
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or(now + FAR);
        let mut progress = self.shared.progress.subscribe();
        loop {
            let size = self.size().await;
            match size {
                Ok(size) if size.waiting == 0 => return Ok(true),
                Ok(_) if Instant::now() >= deadline => return Ok(false),
                Err(error) if Instant::now() >= deadline => return Err(error),
                _ => {}
            }
            self.shared.urgent.store(true, Ordering::SeqCst);
            self.shared.nudge.notify_one();
            // Another node may be at it: nothing tells here when it is done.
            let _ = timeout_at(deadline.min(Instant::now() + LOOK), progress.changed()).await;
        }
    }

    /// How much waits, for how long, and is set aside, for all nodes and tenants.
    ///
    /// # Errors
    /// [`CacheError::Store`] if the store did not answer.
    pub async fn size(&self) -> Result<QueueSize, CacheError> {
        Ok(self.shared.queues()?.size(self.shared.queue()).await?)
    }

    /// What this node has flushed.
    #[must_use]
    pub fn progress(&self) -> FlushProgress {
        self.shared.progress.borrow().clone()
    }

    /// What the sink has rejected, the oldest first, of all tenants.
    ///
    /// # Errors
    /// [`CacheError::Store`] if the store did not answer.
    pub async fn rejected(&self, limit: usize) -> Result<Vec<Rejected>, CacheError> {
        let listed = self.shared.queues()?.list_aside(self.shared.queue(), limit).await?;
        let shown = listed.into_iter().map(|aside| Rejected {
            number: aside.queued.number,
            write: aside.queued.change.ok().map(|change| Write::of(&aside.queued.key, change)),
            reason: aside.reason,
        });
        Ok(shown.collect())
    }

    /// Puts what was rejected at the end of the queue, whatever its bounds are: after whatever was written under its key since. `false`
    /// if it is not there.
    ///
    /// # Errors
    /// [`CacheError::Store`] if the store did not answer.
    pub async fn put_back(&self, number: u64) -> Result<bool, CacheError> {
        self.take_aside(number, true).await
    }

    /// Forgets what was rejected. `false` if it is not there.
    ///
    /// # Errors
    /// [`CacheError::Store`] if the store did not answer.
    pub async fn discard(&self, number: u64) -> Result<bool, CacheError> {
        self.take_aside(number, false).await
    }

    async fn take_aside(&self, number: u64, back: bool) -> Result<bool, CacheError> {
        let Some(name) = self.shared.queues()?.take_aside(self.shared.queue(), number, back).await? else {
            return Ok(false);
        };
        if back {
            self.cache.clear(vec![Write::target_of(&name)]).await?;
        }
        Ok(true)
    }

    async fn waiting(&self, key: &str) -> Result<Pending, CacheError> {
        Ok(self.shared.queues()?.pending(self.shared.queue(), &self.cache.checked_key(key)?).await?)
    }

    async fn enqueue(&self, key: &Key, change: Change) -> Result<(), CacheError> {
        // Found out now, and not when it is too late to refuse.
        self.shared.targets(&Write::of(key.name(), change.clone()))?;
        let Shared { settings, flusher, .. } = &*self.shared;
        let queues = self.shared.queues()?;
        let mut enqueued = queues.enqueue(self.shared.queue(), key, &change, settings.bounds).await?;
        // Redis has lost its memory, or the sink could not be asked at the start.
        if enqueued == Enqueued::Unbegun {
            self.shared.begin().await?;
            enqueued = queues.enqueue(self.shared.queue(), key, &change, settings.bounds).await?;
        }
        match enqueued {
            Enqueued::Unbegun => {
                Err(StoreError::Unavailable("the queue was lost as soon as it had begun".to_owned()).into())
            }
            Enqueued::Waiting(waiting) => {
                if waiting >= flusher.most {
                    self.shared.nudge.notify_one();
                }
                Ok(())
            }
            Enqueued::Full => {
                let queue = self.shared.queue();
                Err(CacheError::QueueFull(format!("the queue {queue:?} is full: its sink takes less than is put")))
            }
        }
    }
}
