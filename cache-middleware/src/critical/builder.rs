//! Settings of a critical cache, checked when it starts.

use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::asking::Asking;
use super::keeper::{keep, load};
use super::shared::Shared;
use super::table::Table;
use super::{CriticalCache, Kept, PastLimit};
use crate::change::{ChangeConsumer, Route};
use crate::error::CacheError;
use crate::manager::in_a_runtime;
use crate::policy::duration_of;
use crate::source::{SourceError, SourceOfTruth, answer_of};

/// Settings of a [`CriticalCache`].
///
/// At work: [`crate::CriticalCache`].
#[derive(Debug, Clone)]
#[must_use]
pub struct CriticalCacheBuilder<K, V> {
    data_type: String,
    key_field: String,
    refresh: String,
    within: Duration,
    max_entries: usize,
    limit: String,
    past: PastLimit,
    of: PhantomData<fn() -> (K, V)>,
}

impl<K, V> CriticalCacheBuilder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + DeserializeOwned + 'static,
    V: Clone + Send + Sync + DeserializeOwned + 'static,
{
    pub(super) fn new(data_type: String) -> Self {
        Self {
            data_type,
            key_field: "id".to_owned(),
            refresh: "5m".to_owned(),
            within: Duration::from_secs(30),
            max_entries: 100_000,
            limit: "10s".to_owned(),
            past: PastLimit::default(),
            of: PhantomData,
        }
    }

    /// The field of a message's data that names the record, such as `operationCode`. Default `id`.
    pub fn key(mut self, field: impl Into<String>) -> Self {
        self.key_field = field.into();
        self
    }

    /// How often everything is loaded although nothing seems to be missing: a duration, default `5m`. It bounds how long a change
    /// goes unnoticed that nobody has published.
    pub fn refresh(mut self, duration: impl Into<String>) -> Self {
        self.refresh = duration.into();
        self
    }

    /// How long the source may take to answer; then it counts as away. Default 30 s.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// The most records that are held. A source that has more is refused. Default 100,000.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// How old the proof may be that nothing is missing, and what [`CriticalCache::get`] does when it is older. Default `10s`, and the
    /// source is asked.
    pub fn limit(mut self, duration: impl Into<String>, past: PastLimit) -> Self {
        self.limit = duration.into();
        self.past = past;
        self
    }

    /// Loads everything, and follows its changes from then on, within the Tokio runtime that lives as long as the service. If the
    /// source is away, it starts without: reads then ask for single records, until it could be loaded. Keep the handle: with the last
    /// one the following ends.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if a setting is not one, or if the source cannot be asked: for everything, or for the records that it
    /// lists.
    pub async fn start<S: SourceOfTruth<K, V>>(
        self,
        changes: &ChangeConsumer,
        source: S,
    ) -> Result<CriticalCache<K, V>, CacheError> {
        in_a_runtime()?;
        let (refresh, limit) = (duration_of("refresh", &self.refresh)?, duration_of("limit", &self.limit)?);
        if self.max_entries == 0 || self.within.is_zero() {
            let which = if self.within.is_zero() { "within" } else { "max_entries" };
            return Err(CacheError::Invalid(format!("{which} is zero: nothing would ever be held")));
        }
        let names = (self.data_type, self.key_field);
        let shared = Arc::new(Shared::new(names, refresh.max(SHORTEST), self.within, Table::new(self.max_entries)));
        changes.cache().measure(&shared);
        let route: Arc<dyn Route> = shared.clone();
        // From here on every change is told. Only then the source is asked.
        changes.follow(&shared.data_type, &Arc::downgrade(&route)).await?;
        let source = Arc::new(source);
        match load(&shared, &*source).await {
            Err(error @ SourceError::Unsupported(_)) => return Err(CacheError::Invalid(error.to_string())),
            // How that ended is told by `freshness`, and in the log.
            Err(_) => {}
            Ok(()) => knows_its_records(&shared, &*source).await?,
        }
        let keeper = tokio::spawn(keep(shared.clone(), source.clone()));
        let within = self.within;
        let ask = Box::new(move |keys: Vec<K>| -> super::Answers<K, V> {
            let source = source.clone();
            Box::pin(async move { answer_of(within, &*source, &keys).await })
        });
        let kept = Kept { keeper, _changes: changes.clone(), ask, asking: Asking::new(), limit, past: self.past };
        Ok(CriticalCache { shared, kept: Arc::new(kept) })
    }
}

/// Whether the source knows by itself what it lists: if it does not, every question about a record would take it away here. One record may
/// have gone in between.
async fn knows_its_records<K, V, S>(shared: &Shared<K, V>, source: &S) -> Result<(), CacheError>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: SourceOfTruth<K, V>,
{
    let listed = shared.table.some_keys(SAMPLE);
    if listed.is_empty() {
        return Ok(());
    }
    let answers = match answer_of(shared.within, source, &listed).await {
        Err(error @ SourceError::Unsupported(_)) => return Err(CacheError::Invalid(error.to_string())),
        // It may be away again.
        Err(_) => return Ok(()),
        Ok(answers) => answers,
    };
    if answers.is_empty() {
        let data_type = &shared.data_type;
        return Err(CacheError::Invalid(format!(
            "the source of {data_type} lists records, and does not know them when it is asked for them: is the path of `.one_at(..)` or \
             `.many_at(..)`, or `SourceOfTruth::one`, right?"
        )));
    }
    Ok(())
}

/// Of how many records that is asked.
const SAMPLE: usize = 3;

/// The shortest time between two refreshes.
const SHORTEST: Duration = Duration::from_millis(10);
