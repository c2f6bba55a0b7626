//! Values that are put, not fetched: `set`, and writing through.

use std::time::Duration;

use serde::Serialize;

use super::fill::Draft;
use super::look::Asking;
use super::values::is_too_long;
use super::{CacheManager, ClearReceipt, Intent, ValuePolicy};
use crate::entry::Stamp;
use crate::error::{CacheError, StoreError};
use crate::key::Key;
use crate::outcome::RefusalReason;
use crate::policy::Holding;
use crate::store::{Filled, Filling, Target};
use crate::telemetry::ClearKind;

/// How many values one clear is for: more targets are not cleared in one step of the clock, and what is cleared by others in
/// between would be missed.
const PUTS_AT_ONCE: usize = 100;

/// What a write through the cache gave.
///
/// ```
/// use cache_middleware::{CacheManager, EntryAfterWrite};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let policy = cache.policy("1h")?;
/// let written = cache.write_through("profile:7", &policy, async || Ok::<_, std::io::Error>("Ada".to_owned())).await?;
/// assert_eq!((written.value.as_str(), written.entry), ("Ada", EntryAfterWrite::Stored));
/// assert_eq!(cache.get::<String>("profile:7").await.as_deref(), Some("Ada"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenThrough<T> {
    /// What was written, as the source gave it back.
    pub value: T,
    /// What has become of the entry.
    pub entry: EntryAfterWrite,
}

/// What has become of an entry whose source was written.
///
/// At work: [`crate::WrittenThrough`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryAfterWrite {
    /// It holds what was written, on all nodes.
    Stored,
    /// It is gone, and the next reader fetches it: a clear or another write came between, or it may not be stored.
    Cleared,
    /// The store did not acknowledge its clear, which is journaled: until it does, this node does not serve what was before.
    Journaled,
}

/// A write whose outcome is not known: what was before must not be served.
struct Unfinished<'a> {
    manager: &'a CacheManager,
    targets: Option<Vec<Target>>,
}

impl Unfinished<'_> {
    fn succeeded(mut self) {
        self.targets = None;
    }

    async fn ended(mut self, intent: Option<Intent>) {
        let Some(targets) = self.targets.take() else { return };
        match self.manager.clear(targets).await {
            // What is journaled is carried out, also by others if this process dies.
            Ok(receipt) if !receipt.journaled => drop(intent.map(Intent::withdraw)),
            Ok(_) => {}
            Err(error) => log::error!("after a write that failed: {error}"),
        }
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(targets) = self.targets.take() {
            let manager = self.manager.clone();
            self.manager.inner.runtime.spawn(async move {
                if let Err(error) = manager.clear(targets).await {
                    log::error!("after a write whose caller went away: {error}");
                }
            });
        }
    }
}

impl CacheManager {
    /// Writes through: `write` writes to the source and gives back what is there now; then the entry is replaced and the
    /// other nodes are told, before this returns. If the write fails, the entry is cleared, because the source may have it all the
    /// same; so it is if the caller goes away meanwhile. If the entry cannot be replaced, it is cleared, or its clear is journaled:
    /// nobody is served what was before.
    ///
    /// Two writes at once may reach their source in one order and the cache in the other. So the entry is stored only if no
    /// clear at all came between the beginning of the write and its own; otherwise it is only cleared. With
    /// [`ValuePolicy::durable`] that happens even if this process is killed between the two halves.
    ///
    /// ```
    /// # use cache_middleware::{CacheManager, EntryAfterWrite};
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = CacheManager::builder().build().await?;
    /// let policy = cache.policy("1h")?;
    /// let save = async || Ok::<_, std::io::Error>("shipped".to_owned());
    /// let written = cache.write_through("orders:7", &policy, save).await?;
    /// assert_eq!(written.entry, EntryAfterWrite::Stored);
    /// assert_eq!(cache.get::<String>("orders:7").await, Some("shipped".to_owned()));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    ///
    /// # Errors
    /// Only those of `write`.
    pub async fn write_through<T: Serialize, E>(
        &self,
        key: &str,
        policy: &ValuePolicy,
        write: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<WrittenThrough<T>, E> {
        let key = self.value_key(key);
        let target = || vec![Target::of_key(&key)];
        let intent = if policy.durable { self.intend_or_tell(target()).await } else { None };
        let since = self.inner.store.lease(&key).await.ok().map(|lease| lease.stamp);
        // Nobody knows what a write has done that fails, or whose caller goes away.
        let unfinished = Unfinished { manager: self, targets: Some(target()) };
        let value = match write().await {
            Ok(value) => value,
            Err(error) => {
                unfinished.ended(intent).await;
                return Err(error);
            }
        };
        unfinished.succeeded();
        if is_too_long(&key) {
            return Ok(WrittenThrough { value, entry: EntryAfterWrite::Cleared });
        }
        let draft = self.draft(&value, policy, Ok(policy.tags.clone()));
        let entry = match (draft, since) {
            (Ok(draft), Some(since)) => {
                let put = self.put(vec![(key.clone(), draft)], policy.holding, Some(since)).await;
                put.and_then(|mut ended| ended.pop().unwrap_or(Ok(EntryAfterWrite::Cleared)))
            }
            _ => self
                .clear(target())
                .await
                .map(|receipt| if receipt.journaled { EntryAfterWrite::Journaled } else { EntryAfterWrite::Cleared }),
        };
        let entry = entry.unwrap_or_else(|error| {
            log::error!("after a write through the cache: {error}");
            EntryAfterWrite::Journaled
        });
        if let Some(intent) = intent.filter(|_| entry != EntryAfterWrite::Journaled) {
            intent.withdraw();
        }
        Ok(WrittenThrough { value, entry })
    }

    async fn intend_or_tell(&self, targets: Vec<Target>) -> Option<Intent> {
        match self.intend(targets).await {
            Ok(intent) => Some(intent),
            Err(error) => {
                log::error!(
                    "a durable write goes on, and if this process dies before its clear, no other node clears: {error}"
                );
                None
            }
        }
    }

    /// Stores a value that is known to be current *now*, as after a write. For a value that was read from somewhere
    /// take [`CacheManager::get_or_set`]: it notices a clear that comes between the read and the store.
    ///
    /// Says whether it was stored: it is not if a clear that covers it comes at the same moment.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the key or the value is too long, [`CacheError::Encode`], [`CacheError::Store`] if the store
    /// could not be asked, or [`CacheError::Journal`] if what was there could not be cleared, nor that be journaled.
    pub async fn set<T: Serialize>(&self, key: &str, policy: &ValuePolicy, value: &T) -> Result<bool, CacheError> {
        Ok(self.set_many(policy, &[(key, value)]).await? == [true])
    }

    /// Stores several values, all under one policy; says of each whether it was stored. A hundred at a time: with one clear of their
    /// keys, and fills that are sent together.
    ///
    /// # Errors
    /// As [`CacheManager::set`]: the first that failed; of the others some may have been stored. If a value or a key is not one,
    /// nothing was done.
    pub async fn set_many<T: Serialize>(
        &self,
        policy: &ValuePolicy,
        values: &[(&str, T)],
    ) -> Result<Vec<bool>, CacheError> {
        let mut puts = Vec::with_capacity(values.len());
        for (key, value) in values {
            let draft = match self.draft(value, policy, Ok(policy.tags.clone())) {
                Err(RefusalReason::ValueEncoding) => {
                    let why = serde_json::to_vec(value).err().map(|error| error.to_string()).unwrap_or_default();
                    return Err(CacheError::Encode(why));
                }
                Err(RefusalReason::BodyTooLarge) => {
                    let (bytes, most) = (serde_json::to_vec(value).map_or(0, |bytes| bytes.len()), policy.max_bytes);
                    return Err(CacheError::Invalid(format!(
                        "the value of {key:?} has {bytes} bytes, and {most} at most are stored: `ValuePolicy::max_bytes` sets that"
                    )));
                }
                other => other.map_err(|reason| CacheError::Invalid(format!("{key:?} was not stored: {reason}")))?,
            };
            puts.push((self.checked_key(key)?, draft));
        }
        let mut stored = Vec::with_capacity(values.len());
        while !puts.is_empty() {
            let rest = puts.split_off(puts.len().min(PUTS_AT_ONCE));
            for ended in self.put(std::mem::replace(&mut puts, rest), policy.holding, None).await? {
                match ended? {
                    EntryAfterWrite::Stored => stored.push(true),
                    EntryAfterWrite::Cleared => stored.push(false),
                    EntryAfterWrite::Journaled => {
                        let why = "the clear of the key is journaled".to_owned();
                        return Err(StoreError::Unavailable(why).into());
                    }
                }
            }
        }
        Ok(stored)
    }

    /// Publishes what the caller says is current now, at most as much as one clear names in one step of the clock. The keys are
    /// cleared first, so that no fetch that began before can put back what it read. With `since`, nothing is stored unless this
    /// clear is the first since then.
    async fn put(
        &self,
        puts: Vec<(Key, Draft)>,
        holding: Holding,
        since: Option<Stamp>,
    ) -> Result<Vec<Result<EntryAfterWrite, CacheError>>, CacheError> {
        let targets = puts.iter().map(|(key, _)| Target::of_key(key));
        let cleared = self.clear_quietly(ClearKind::Replace, targets.collect()).await?;
        if cleared.journaled {
            return Ok(puts.iter().map(|_| Ok(EntryAfterWrite::Journaled)).collect());
        }
        self.note_strict(holding);
        let fills = puts.into_iter().map(|(key, draft)| self.put_one(key, draft, holding, since, &cleared));
        Ok(futures_util::future::join_all(fills).await)
    }

    async fn put_one(
        &self,
        key: Key,
        draft: Draft,
        holding: Holding,
        since: Option<Stamp>,
        cleared: &ClearReceipt,
    ) -> Result<EntryAfterWrite, CacheError> {
        let partition = usize::from(self.inner.store.partition_of(&key));
        let Some((at, before)) = cleared.stamps.get(partition).zip(cleared.before.get(partition)) else {
            return Err(StoreError::Failed("a clear has no stamp".to_owned()).into());
        };
        let undisturbed = |since: Stamp| since.incarnation == at.incarnation && since.clock == *before;
        if !since.is_none_or(undisturbed) {
            return Ok(EntryAfterWrite::Cleared);
        }
        let (entry, _) = self.entries_of(&key, *at, draft);
        if self.inner.journal.covers(&entry) {
            return Ok(EntryAfterWrite::Cleared);
        }
        let filling = Filling { strict: holding.strict, quota: self.inner.tenant_quota, ..Filling::default() };
        match self.inner.store.fill(&key, &entry, &filling).await {
            Ok(Filled::Stored(at)) => {
                self.hold(&Asking::new(&key, holding), &entry, at, Duration::ZERO, entry.life.fresh_for.duration());
                Ok(EntryAfterWrite::Stored)
            }
            Ok(_) => Ok(EntryAfterWrite::Cleared),
            // Whether it was stored is not known. If it was, it is what was written.
            Err(error) if since.is_some() => {
                log::debug!("{} was not stored: {error}", entry.key);
                Ok(EntryAfterWrite::Cleared)
            }
            Err(error) => Err(error.into()),
        }
    }
}
