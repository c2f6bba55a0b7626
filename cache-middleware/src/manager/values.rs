//! Typed values: the same store, flights and promises as responses.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Asking, Begun, CacheManager, Draft, EntryAfterWrite, Failure, Judged, Served};
use crate::entry::{Entry, Lifetime, Payload};
use crate::error::{CacheError, StoreError};
use crate::key::{Key, KeySpace, MAX_KEY_BYTES};
use crate::outcome::RefusalReason;
use crate::policy::{DEFAULT_MAX_BODY, EarlyRefresh, Holding, LONGEST_TTL, Windows, parse_ttl};
use crate::tag::Tag;

/// How long a value is kept, and what clears it.
///
/// ```
/// # use cache_middleware::CacheManager;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().ttl("session-list", "5m").build().await?;
/// let policy = cache.policy("session-list")?.tag("teacher:7")?;
/// let sessions: Vec<String> =
///     cache.get_or_set("sessions:teacher:7", &policy, async || Ok::<_, std::io::Error>(vec!["maths".into()])).await?;
/// assert_eq!(sessions, ["maths"]);
/// assert_eq!(cache.get::<Vec<String>>("sessions:teacher:7").await, Some(sessions));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ValuePolicy {
    ttl: Duration,
    tags: Vec<Tag>,
    max_bytes: usize,
    holding: Holding,
    windows: Windows,
    durable: bool,
}

impl ValuePolicy {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            tags: Vec::new(),
            max_bytes: DEFAULT_MAX_BODY,
            holding: Holding::default(),
            windows: Windows::default(),
            durable: false,
        }
    }

    /// The most bytes of JSON a value may have. Default 1 MiB; larger ones are returned and not stored.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The longest a value is held in the memory of a node (L1); zero: not at all. Default: what the manager says.
    #[must_use]
    pub fn l1_ttl(mut self, duration: Duration) -> Self {
        self.holding.l1_ttl = Some(duration);
        self
    }

    /// Has every clear that covers a value wait until it is in effect on all nodes, whatever their coherence is.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.holding.strict = true;
        self
    }

    /// How long after its TTL a value is served while somebody fetches it anew (RFC 5861 section 3). A clear ends it;
    /// `expire_tags` begins it.
    #[must_use]
    pub fn stale(mut self, duration: Duration) -> Self {
        self.windows.stale = duration.min(LONGEST_TTL);
        self
    }

    /// How long after its TTL a value is served if fetching it fails (RFC 5861 section 4).
    #[must_use]
    pub fn stale_if_error(mut self, duration: Duration) -> Self {
        self.windows.stale_if_error = duration.min(LONGEST_TTL);
        self
    }

    /// When a value that is still fresh is fetched anew: after a part of its TTL, such as `0.8`, or by chance,
    /// [`EarlyRefresh::XFETCH`].
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the part is not above 0 and below 1.
    pub fn early_refresh(mut self, when: impl Into<EarlyRefresh>) -> Result<Self, CacheError> {
        self.windows.early_refresh = Some(when.into());
        self.checked()
    }

    /// By how much of it a TTL is shortened at most, by chance: `0.1` for up to a tenth.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a part from 0 to 1.
    pub fn jitter(mut self, part: f64) -> Result<Self, CacheError> {
        self.windows.jitter = part;
        self.checked()
    }

    /// How long a value is fresh that says that there is nothing: one that is encoded as `null`, such as `None`.
    #[must_use]
    pub fn negative_ttl(mut self, duration: Duration) -> Self {
        self.windows.negative_ttl = Some(duration.min(LONGEST_TTL));
        self
    }

    /// Has [`CacheManager::write_through`] record in the store what it is about to replace, before it writes: if this process is
    /// killed in the middle, another node clears it. One more round trip.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durable
    }

    pub(super) fn tags(&self) -> &[Tag] {
        &self.tags
    }

    pub(super) fn holding(&self) -> Holding {
        self.holding
    }

    pub(crate) fn with(self, holding: Holding, windows: Windows) -> Self {
        Self { holding, windows, ..self }
    }

    fn asking<'a>(&self, key: &'a Key) -> Asking<'a> {
        Asking { refreshes: true, early: self.windows.early_refresh, ..Asking::new(key, self.holding) }
    }

    fn checked(self) -> Result<Self, CacheError> {
        self.windows.problem().map_or(Ok(self), |problem| Err(CacheError::Invalid(problem)))
    }

    /// Adds a tag.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a tag.
    pub fn tag(mut self, tag: &str) -> Result<Self, CacheError> {
        self.tags.push(Tag::new(tag)?);
        Ok(self)
    }
}

impl CacheManager {
    /// A policy with a TTL: a registered name, or a duration such as `5m`.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is neither.
    pub fn policy(&self, ttl: &str) -> Result<ValuePolicy, CacheError> {
        let duration = match self.ttl(ttl) {
            Some(duration) => duration,
            None if ttl.starts_with(|c: char| c.is_ascii_digit()) => {
                parse_ttl(ttl).map_err(|error| CacheError::Invalid(error.problems().join("; ")))?
            }
            None => return Err(CacheError::Invalid(self.unknown_ttl(ttl))),
        };
        Ok(ValuePolicy::new(duration))
    }

    /// The value under a key, or what `fetch` brings, which is then stored. Of several callers at once, one fetches. When
    /// a value is stale within its window, or due for an early refresh, the first who asks fetches and waits for it; the others
    /// are answered with the value. [`Self::get_or_refresh`] has nobody wait.
    ///
    /// # Errors
    /// Only those of `fetch`; they are never stored. Whatever happens to the store, `fetch` answers.
    pub async fn get_or_set<T, E>(
        &self,
        key: &str,
        policy: &ValuePolicy,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        let key = Key::new(self.current_tenant(), KeySpace::Value, None, key);
        self.value(&key, policy, async { fetch().await.map(|value| (value, Ok(policy.tags.clone()))) }).await
    }

    /// As [`Self::get_or_set`], for a fetch that says whether what it brings may be stored.
    pub(crate) async fn get_or_set_if<T, E>(
        &self,
        key: &str,
        policy: &ValuePolicy,
        fetch: impl AsyncFnOnce() -> Result<(T, bool), E>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        let key = Key::new(self.current_tenant(), KeySpace::Value, None, key);
        let judged = |stored| if stored { Ok(policy.tags.clone()) } else { Err(RefusalReason::StoreUnavailable) };
        self.value(&key, policy, async { fetch().await.map(|(value, stored)| (value, judged(stored))) }).await
    }

    /// As [`Self::get_or_set`], but what is stale within its window, or due for an early refresh, is fetched anew in the
    /// background, in a task of the Tokio runtime.
    ///
    /// # Errors
    /// Only those of `fetch`, if there was nothing to answer with.
    pub async fn get_or_refresh<T, E, F>(
        &self,
        key: &str,
        policy: &ValuePolicy,
        fetch: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let key = Key::new(self.current_tenant(), KeySpace::Value, None, key);
        if is_too_long(&key) {
            return fetch().await;
        }
        let missed = match self.begin(&policy.asking(&key), decode::<T>).await {
            Begun::Hit(hit) => return Ok(hit.accepted),
            Begun::Refresh(hit) => {
                let Some(permit) = self.background() else { return Ok(hit.accepted) };
                let (manager, policy) = (self.clone(), policy.clone());
                tokio::spawn(async move {
                    let fetch = async { fetch().await.map(|value| (value, Ok(policy.tags.clone()))) };
                    let run = |_| manager.fetched(&key, &policy, fetch);
                    manager.refresh(&policy.asking(&key), decode::<T>, hit.age, run).await;
                    drop(permit);
                });
                return Ok(hit.accepted);
            }
            Begun::Miss(missed) => missed,
        };
        let fetch = async { fetch().await.map(|value| (value, Ok(policy.tags.clone()))) };
        let run = |_| self.fetched(&key, policy, fetch);
        value_of(self.fly(&policy.asking(&key), decode::<T>, missed, run).await)
    }

    /// The engine of typed values: `fetch` gives a value with what clears it, or with why it is not to be stored.
    pub(crate) async fn value<T, E>(
        &self,
        key: &Key,
        policy: &ValuePolicy,
        fetch: impl Future<Output = Result<(T, Result<Vec<Tag>, RefusalReason>), E>>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        if is_too_long(key) {
            return fetch.await.map(|(value, _)| value);
        }
        let asking = policy.asking(key);
        let run = |_| self.fetched(key, policy, fetch);
        match self.begin(&asking, decode::<T>).await {
            Begun::Hit(hit) => Ok(hit.accepted),
            // There is something to answer with, whatever becomes of the fetch.
            Begun::Refresh(hit) => match self.refresh(&asking, decode::<T>, hit.age, run).await {
                Some(served) => value_of(served).or(Ok(hit.accepted)),
                None => Ok(hit.accepted),
            },
            Begun::Miss(missed) => value_of(self.fly(&asking, decode::<T>, missed, run).await),
        }
    }

    /// Fetches, and judges what came of it.
    async fn fetched<T: Serialize, E>(
        &self,
        key: &Key,
        policy: &ValuePolicy,
        fetch: impl Future<Output = Result<(T, Result<Vec<Tag>, RefusalReason>), E>>,
    ) -> Judged<Result<T, E>> {
        match fetch.await {
            Err(error) => Judged::Failed(Err(error), Failure { status: None, stale_stands_in: true }),
            Ok((value, Err(reason @ (RefusalReason::Unless | RefusalReason::StoreUnavailable)))) => {
                Judged::Refuse(Ok(value), reason)
            }
            Ok((value, tags)) => match self.draft(&value, policy, tags) {
                Ok(draft) => Judged::Store(Ok(value), Box::new(draft)),
                Err(reason) => {
                    log::warn!("{} was not stored: {reason}", key.name());
                    Judged::Refuse(Ok(value), reason)
                }
            },
        }
    }

    pub(super) fn draft<T: Serialize>(
        &self,
        value: &T,
        policy: &ValuePolicy,
        tags: Result<Vec<Tag>, RefusalReason>,
    ) -> Result<Draft, RefusalReason> {
        let bytes = serde_json::to_vec(value).map_err(|_| RefusalReason::ValueEncoding)?;
        if bytes.len() > policy.max_bytes {
            return Err(RefusalReason::BodyTooLarge);
        }
        let life = Lifetime::by_policy(policy.ttl, &policy.windows, bytes == b"null");
        Ok(Draft { marks: self.marks_of(&tags?)?, life, ..Draft::of(Payload::Value(bytes.into())) })
    }

    /// The value under a key, if there is a fresh one of this type.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let key = Key::new(self.current_tenant(), KeySpace::Value, None, key);
        // What is in L1 is served, but what is not is not put there: its policy, which is not known here, may forbid it.
        let asking = Asking::new(&key, Holding { l1_ttl: Some(Duration::ZERO), strict: false });
        self.peek(&asking, decode, RefusalReason::Method).await.ok().map(|hit| hit.accepted)
    }

    /// The values under several keys, in their order, looked up at once.
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Vec<Option<T>> {
        futures_util::future::join_all(keys.iter().map(|key| self.get(key))).await
    }

    /// Stores a value that is known to be current *now*, as after a write. For a value that was read from somewhere
    /// take [`CacheManager::get_or_set`]: it notices a clear that comes between the read and the store.
    ///
    /// Says whether it was stored: it is not if a clear that covers it comes at the same moment.
    ///
    /// # Errors
    /// [`CacheError::Encode`], or [`CacheError::Store`] if the store could not be asked.
    pub async fn set<T: Serialize>(&self, key: &str, policy: &ValuePolicy, value: &T) -> Result<bool, CacheError> {
        let invalid = |reason: RefusalReason| CacheError::Invalid(format!("{key:?} was not stored: {reason}"));
        let draft = match self.draft(value, policy, Ok(policy.tags.clone())) {
            Err(RefusalReason::ValueEncoding) => {
                let why = serde_json::to_vec(value).err().map(|error| error.to_string()).unwrap_or_default();
                return Err(CacheError::Encode(why));
            }
            other => other.map_err(invalid)?,
        };
        let key = Key::new(self.current_tenant(), KeySpace::Value, None, key);
        if key.name().len() > MAX_KEY_BYTES {
            return Err(CacheError::Invalid(format!("the key is longer than {MAX_KEY_BYTES} bytes")));
        }
        match self.put(&key, draft, policy.holding, None).await? {
            EntryAfterWrite::Stored => Ok(true),
            EntryAfterWrite::Cleared => Ok(false),
            EntryAfterWrite::Journaled => {
                Err(StoreError::Unavailable("the clear of the key is journaled".to_owned()).into())
            }
        }
    }

    /// Stores several values at once, all under one policy; says of each whether it was stored.
    ///
    /// # Errors
    /// As [`CacheManager::set`]: the first that failed; the others may have been stored.
    pub async fn set_many<T: Serialize>(
        &self,
        policy: &ValuePolicy,
        values: &[(&str, T)],
    ) -> Result<Vec<bool>, CacheError> {
        let all = values.iter().map(|(key, value)| self.set(key, policy, value));
        futures_util::future::try_join_all(all).await
    }
}

/// What the caller gets, from wherever it came.
fn value_of<T, E>(served: Served<Result<T, E>, T>) -> Result<T, E> {
    match served {
        Served::Entry(hit) | Served::Instead(hit, _) => Ok(hit.accepted),
        Served::Own { response, .. } => response,
    }
}

pub(super) fn is_too_long(key: &Key) -> bool {
    let length = key.name().len();
    if length > MAX_KEY_BYTES {
        log::warn!("a key of {length} bytes is not cached: the bound is {MAX_KEY_BYTES}");
    }
    length > MAX_KEY_BYTES
}

/// The value of an entry, if it holds one of this type: another type's bytes are a miss.
fn decode<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    match &entry.payload {
        Payload::Value(bytes) => serde_json::from_slice(bytes).ok(),
        Payload::Response(_) | Payload::Selector(_) => None,
    }
}
