//! Settings of a reference cache, checked when it starts.

use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Answers, ReferenceCache, Shared};
use crate::change::ChangeConsumer;
use crate::error::CacheError;
use crate::policy::{duration_of, hit_target_problem, parse_l1_ttl};
use crate::source::{SourceOfTruth, answer_of};

/// Settings of a [`ReferenceCache`].
///
/// At work: [`crate::ReferenceCache`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ReferenceCacheBuilder<K, V> {
    data_type: String,
    ttl: String,
    negative_ttl: String,
    stale: Option<String>,
    stale_if_error: String,
    l1_ttl: Option<String>,
    strict: bool,
    within: Duration,
    target: Option<f64>,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K, V> ReferenceCacheBuilder<K, V> {
    pub(super) fn new(data_type: String) -> Self {
        Self {
            data_type,
            ttl: "5m".to_owned(),
            negative_ttl: "5s".to_owned(),
            stale: None,
            stale_if_error: "1h".to_owned(),
            l1_ttl: None,
            strict: false,
            within: Duration::from_secs(30),
            target: None,
            of: PhantomData,
        }
    }

    /// How long a record is fresh: a duration, or a name registered with the manager. Default `5m`.
    pub fn ttl(mut self, ttl: impl Into<String>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// How long it is remembered that there is no such record. Default `5s`.
    pub fn negative_ttl(mut self, duration: impl Into<String>) -> Self {
        self.negative_ttl = duration.into();
        self
    }

    /// How long after its TTL a record is served while one caller fetches it anew. Default: not at all. A clear ends it.
    pub fn stale(mut self, duration: impl Into<String>) -> Self {
        self.stale = Some(duration.into());
        self
    }

    /// How long after its TTL a record is served while the source is away. Default `1h`. A clear ends it.
    pub fn stale_if_error(mut self, duration: impl Into<String>) -> Self {
        self.stale_if_error = duration.into();
        self
    }

    /// The longest a record is held in the memory of a node (L1); `0s`: not at all. Default: what the manager says.
    pub fn l1_ttl(mut self, duration: impl Into<String>) -> Self {
        self.l1_ttl = Some(duration.into());
        self
    }

    /// Has every clear wait until it is in effect on all nodes, whatever their coherence is.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// How long the source may take to answer; then it counts as away. Default 30 s.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Which part of the reads should find their record: [`crate::CacheManager::hit_ratios`] tells it beside what does.
    pub fn target_hit_ratio(mut self, ratio: f64) -> Self {
        self.target = Some(ratio);
        self
    }

    /// Starts it, for the tenant of the consumer.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if a setting is not one.
    pub async fn start<S: SourceOfTruth<K, V>>(
        self,
        changes: &ChangeConsumer,
        source: S,
    ) -> Result<ReferenceCache<K, V>, CacheError>
    where
        K: Display + Clone + PartialEq + Send + Sync + 'static,
        V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let cache = changes.cache().clone();
        let mut policy = cache.policy(&self.ttl)?.counted_as(self.data_type.clone());
        policy = policy.negative_ttl(duration_of("negative_ttl", &self.negative_ttl)?);
        policy = policy.stale_if_error(duration_of("stale_if_error", &self.stale_if_error)?);
        if let Some(stale) = &self.stale {
            policy = policy.stale(duration_of("stale", stale)?);
        }
        if let Some(l1_ttl) = &self.l1_ttl {
            let l1_ttl = parse_l1_ttl(l1_ttl);
            policy = policy.l1_ttl(l1_ttl.map_err(|error| CacheError::Invalid(error.line_of("l1_ttl")))?);
        }
        if self.strict {
            policy = policy.strict();
        }
        if self.within.is_zero() {
            return Err(CacheError::Invalid("within is zero: the source could never answer".to_owned()));
        }
        if let Some(problem) = self.target.and_then(hit_target_problem) {
            return Err(CacheError::Invalid(problem));
        }
        changes.clears(&self.data_type)?;
        let hits = cache.hits_of(&self.data_type, self.target);
        let (source, within) = (Arc::new(source), self.within);
        let ask = Arc::new(move |keys: Vec<K>| -> Answers<K, V> {
            let source = source.clone();
            Box::pin(async move { answer_of(within, &*source, &keys).await })
        });
        let (data_type, ttl, changes) = (self.data_type, policy.ttl(), changes.clone());
        Ok(ReferenceCache { shared: Arc::new(Shared { data_type, cache, policy, ttl, hits, ask, _changes: changes }) })
    }
}
