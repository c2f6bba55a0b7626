//! Typed values: the same store, flights and promises as responses.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::look::VALUES;
use super::{Asking, Begun, CacheManager, Draft, Failure, Hit, Judged, Missed, Served, Stopwatch, ValuePolicy};
use crate::entry::{Entry, Lifetime, Payload};
use crate::error::{CacheError, StoreError};
use crate::key::{Key, KeySpace, MAX_KEY_BYTES};
use crate::outcome::{BypassReason, Forward, Outcome, RefusalReason};
use crate::policy::Holding;
use crate::tag::Tag;

const KEY_TOO_LONG: Outcome = Outcome::Bypass { reason: BypassReason::KeyTooLong };

impl CacheManager {
    /// The key of a value that is named by hand.
    pub(crate) fn value_key(&self, text: &str) -> Key {
        Key::new(self.current_tenant(), KeySpace::Value, None, text)
    }

    /// A policy with a TTL: a registered name, or a duration such as `5m`.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is neither.
    pub fn policy(&self, ttl: &str) -> Result<ValuePolicy, CacheError> {
        self.inner.ttls.resolve(ttl).map(ValuePolicy::new).map_err(CacheError::Invalid)
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
        let key = self.value_key(key);
        let fetch = async { fetch().await.map(|value| (value, Ok(policy.tags.clone()))) };
        self.value(&key, policy, fetch).await
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
        let key = self.value_key(key);
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
        let key = self.value_key(key);
        Ok(self.refreshed_and_outcome(&key, policy, fetch).await?.0)
    }

    /// As [`Self::get_or_refresh`], and says what became of the question.
    pub(crate) async fn refreshed_and_outcome<T, E, F>(
        &self,
        key: &Key,
        policy: &ValuePolicy,
        fetch: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(T, Outcome), E>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let asking = policy.asking(key);
        let counting = Counting { manager: self, route: asking.route, watch: self.stopwatch() };
        if is_too_long(key) {
            return counting.ended(Served::<_, T>::Own { response: fetch().await, outcome: KEY_TOO_LONG });
        }
        let missed = match self.begin(&asking, decode::<T>).await {
            Begun::Hit(hit) => return counting.ended(Served::Entry(hit)),
            Begun::Probe(hit, probe) => {
                if let Some(right) = self.background() {
                    let (manager, policy, key) = (self.clone(), policy.clone(), key.clone());
                    tokio::spawn(right.run(async move {
                        let fetch = async { fetch().await.map(|value| (value, Ok(policy.tags.clone()))) };
                        let judged = manager.fetched(&key, &policy, fetch, |_| true).await;
                        manager.compared(policy.asking(&key).route, &probe, &judged);
                    }));
                }
                return counting.ended(Served::Entry(hit));
            }
            Begun::Refresh(hit) => {
                let Some(right) = self.background() else { return counting.ended(Served::Entry(hit)) };
                let (manager, policy, key, served_at) = (self.clone(), policy.clone(), key.clone(), hit.age);
                tokio::spawn(right.run(async move {
                    let fetch = async { fetch().await.map(|value| (value, Ok(policy.tags.clone()))) };
                    let run = |_| manager.fetched(&key, &policy, fetch, |_| true);
                    manager.refresh(&policy.asking(&key), decode::<T>, served_at, run).await;
                }));
                return counting.ended(Served::Entry(hit));
            }
            Begun::Miss(missed) => missed,
        };
        let fetch = async { fetch().await.map(|value| (value, Ok(policy.tags.clone()))) };
        let run = |_| self.fetched(key, policy, fetch, |_| true);
        counting.ended(self.fly(&asking, decode::<T>, missed, run).await)
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
        Ok(self.value_and_outcome(key, policy, fetch, |_| true).await?.0)
    }

    /// As [`Self::value`], and says what became of the question; a stale value stands in for errors that let it.
    pub(crate) async fn value_and_outcome<T, E>(
        &self,
        key: &Key,
        policy: &ValuePolicy,
        fetch: impl Future<Output = Result<(T, Result<Vec<Tag>, RefusalReason>), E>>,
        stale_stands_in: impl Fn(&E) -> bool,
    ) -> Result<(T, Outcome), E>
    where
        T: Serialize + DeserializeOwned,
    {
        let asking = Asking { probes: false, ..policy.asking(key) };
        let counting = Counting { manager: self, route: asking.route, watch: self.stopwatch() };
        if is_too_long(key) {
            let response = fetch.await.map(|(value, _)| value);
            return counting.ended(Served::<_, T>::Own { response, outcome: KEY_TOO_LONG });
        }
        let run = |_| self.fetched(key, policy, fetch, stale_stands_in);
        match self.begin(&asking, decode::<T>).await {
            Begun::Hit(hit) | Begun::Probe(hit, _) => counting.ended(Served::Entry(hit)),
            // There is something to answer with, whatever becomes of the fetch.
            Begun::Refresh(hit) => match self.refresh(&asking, decode::<T>, hit.age, run).await {
                None | Some(Served::Own { response: Err(_), .. }) => counting.ended(Served::Entry(hit)),
                Some(served) => counting.ended(served),
            },
            Begun::Miss(missed) => counting.ended(self.fly(&asking, decode::<T>, missed, run).await),
        }
    }

    /// Fetches, and judges what came of it.
    async fn fetched<T: Serialize, E>(
        &self,
        key: &Key,
        policy: &ValuePolicy,
        fetch: impl Future<Output = Result<(T, Result<Vec<Tag>, RefusalReason>), E>>,
        stale_stands_in: impl Fn(&E) -> bool,
    ) -> Judged<Result<T, E>> {
        match fetch.await {
            Err(error) => {
                let stale_stands_in = stale_stands_in(&error);
                Judged::Failed(Err(error), Failure { status: None, stale_stands_in })
            }
            // Told already, or meant so.
            Ok((
                value,
                Err(reason @ (RefusalReason::Unless | RefusalReason::TtlUnknown | RefusalReason::StoreUnavailable)),
            )) => Judged::Refuse(Ok(value), reason),
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
        // Cut to its length: L1 counts its bytes, and a buffer that has grown has up to twice as many.
        let bytes = serde_json::to_vec(value).map_err(|_| RefusalReason::ValueEncoding)?.into_boxed_slice();
        if bytes.len() > policy.max_bytes {
            return Err(RefusalReason::BodyTooLarge);
        }
        let life = Lifetime::by_policy(policy.ttl, &policy.windows, *bytes == *b"null");
        Ok(Draft { marks: self.marks_of(&tags?)?, life, ..Draft::of(Payload::Value(bytes.into())) })
    }

    /// The value under a key, if there is a fresh one of this type.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.get_many(&[key]).await.pop()?
    }

    /// The value under a key, if there is a fresh one of this type; its policy says how it is held in L1, and whether it slides.
    ///
    /// ```
    /// # use cache_middleware::CacheManager;
    /// # use std::time::Duration;
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = CacheManager::builder().build().await?;
    /// let sessions = cache.policy("30m")?.tag("user:7")?.sliding(Duration::from_secs(12 * 3_600))?;
    /// cache.set("session:x1", &sessions, &"Ada").await?;
    /// // Each request of hers begins the half hour anew, for twelve hours at most.
    /// assert_eq!(cache.get_with::<String>("session:x1", &sessions).await.as_deref(), Some("Ada"));
    /// // She changes her password.
    /// cache.clear_tag("user:7").await?;
    /// assert_eq!(cache.get_with::<String>("session:x1", &sessions).await, None);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    pub async fn get_with<T: DeserializeOwned>(&self, key: &str, policy: &ValuePolicy) -> Option<T> {
        self.try_get_with(key, policy).await.ok().flatten()
    }

    /// As [`Self::get_with`], and tells a value that is not there from a store that cannot be asked: who has no session may be logged
    /// out, or Redis may be away.
    ///
    /// # Errors
    /// [`CacheError::Store`] if it is not in the memory of this node, and the store did not answer.
    pub async fn try_get_with<T: DeserializeOwned>(
        &self,
        key: &str,
        policy: &ValuePolicy,
    ) -> Result<Option<T>, CacheError> {
        let named = self.value_key(key);
        // Nothing is fetched here.
        let asking = Asking { refreshes: false, probes: false, ..policy.asking(&named) };
        let watch = self.stopwatch();
        let begun = self.begin(&asking, decode::<T>).await;
        let (outcome, age) = match &begun {
            Begun::Hit(hit) if !matches!(hit.outcome, Outcome::Hit { .. }) => {
                (Outcome::Absent { forward: Forward::Stale }, None)
            }
            Begun::Hit(hit) | Begun::Refresh(hit) | Begun::Probe(hit, _) => (hit.outcome, Some(hit.age)),
            Begun::Miss(Missed { forward, .. }) => (Outcome::Absent { forward: *forward }, None),
        };
        self.note(asking.route, watch, &outcome, age);
        match begun {
            Begun::Hit(hit) if matches!(hit.outcome, Outcome::Hit { .. }) => Ok(Some(hit.accepted)),
            Begun::Miss(Missed { forward: Forward::Bypass, .. }) => {
                Err(StoreError::Unavailable(format!("whether there is a value under {key:?} is not known")).into())
            }
            _ => Ok(None),
        }
    }

    /// The values under several keys, in their order: those in L1, and of the others up to 64 of a partition with one command of
    /// Redis.
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Vec<Option<T>> {
        let keys = keys.iter().map(|key| self.value_key(key));
        let keys: Vec<Key> = keys.collect();
        // What is in L1 is served, but what is not is not put there: its policy, which is not known here, may forbid it.
        let holding = Holding { l1_ttl: Some(Duration::ZERO), strict: false };
        let askings: Vec<Asking<'_>> = keys.iter().map(|key| Asking::new(key, holding)).collect();
        let watch = self.stopwatch();
        let found = |hit: Hit<T>| {
            self.note(VALUES, watch, &hit.outcome, Some(hit.age));
            hit.accepted
        };
        let near = |asking| self.near(asking, decode::<T>).map(|(hit, ..)| found(hit));
        let mut values: Vec<Option<T>> = askings.iter().map(near).collect();
        let far: Vec<usize> = (0..keys.len()).filter(|place| values[*place].is_none()).collect();
        let before: Vec<_> = far.iter().map(|place| self.before(&keys[*place])).collect();
        let asked: Vec<&Key> = far.iter().map(|place| &keys[*place]).collect();
        let looked_up = self.inner.store.read_many(&asked).await;
        for ((place, before), lookup) in far.iter().zip(&before).zip(looked_up) {
            let judged = match lookup {
                Ok(lookup) => self.judge(&askings[*place], decode, before, lookup).map_err(|(forward, _)| forward),
                Err(_) => Err(Forward::Bypass),
            };
            match judged {
                Ok((hit, ..)) => values[*place] = Some(found(hit)),
                Err(forward) => self.note(VALUES, watch, &Outcome::Absent { forward }, None),
            }
        }
        values
    }
}

impl CacheManager {
    /// The key of a value of this handle's tenant, for those who refuse one that is too long.
    pub(crate) fn checked_key(&self, key: &str) -> Result<Key, CacheError> {
        let key = self.value_key(key);
        if key.name().len() > MAX_KEY_BYTES {
            return Err(CacheError::Invalid(format!("the key is longer than {MAX_KEY_BYTES} bytes")));
        }
        Ok(key)
    }
}

/// A question that is counted when it has an answer.
struct Counting<'a> {
    manager: &'a CacheManager,
    route: &'a str,
    watch: Stopwatch,
}

impl Counting<'_> {
    /// What the caller gets, and what it is.
    fn ended<T, E>(self, served: Served<Result<T, E>, T>) -> Result<(T, Outcome), E> {
        let (value, outcome, age) = match served {
            Served::Entry(hit) | Served::Instead(hit, _) => (Ok(hit.accepted), hit.outcome, Some(hit.age)),
            Served::Own { response, outcome } => (response, outcome, None),
        };
        self.manager.note(self.route, self.watch, &outcome, age);
        value.map(|value| (value, outcome))
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
