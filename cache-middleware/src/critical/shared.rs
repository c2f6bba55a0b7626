//! What the handles of a critical cache, its keeper and its channel have in common.

use std::borrow::Cow;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::CriticalFreshness;
use super::table::Table;
use crate::change::{ChangeMessage, Route, count, is_told, record_key};
use crate::source::SourceError;
use crate::telemetry::{Measured, Sample, metric};
use crate::time::Moment;

pub(super) struct Shared<K, V> {
    pub(super) data_type: String,
    /// The field of messages that names a record.
    pub(super) key_field: String,
    pub(super) refresh: Duration,
    /// How long the source may take.
    pub(super) within: Duration,
    pub(super) table: Table<K, V>,
    /// Told when something is in doubt that was not.
    pub(super) doubted: Notify,
    /// Up to when everything that had been published is known here; zero: it never was.
    proven: AtomicU64,
    /// When the source was last asked for everything, and has answered.
    loaded: watch::Sender<Option<Moment>>,
    problem: Mutex<Option<SourceError>>,
    /// Messages that name no record.
    nameless: AtomicU64,
}

impl<K, V> fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CriticalCache").field("data_type", &self.data_type).finish_non_exhaustive()
    }
}

impl<K, V> Measured for Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn measure(&self, samples: &mut Vec<Sample>) {
        let data = || Cow::Owned(self.data_type.clone());
        let proven_for = self.proven_for().map_or(f64::INFINITY, |proven| proven.as_secs_f64());
        samples.push(Sample::gauge(&metric::CRITICAL_PROOF, [data()], proven_for));
        samples.push(Sample::number(&metric::CRITICAL_RECORDS, [data()], self.table.len() as u64));
    }
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    pub(super) fn new(names: (String, String), refresh: Duration, within: Duration, table: Table<K, V>) -> Self {
        let (data_type, key_field) = names;
        Self {
            data_type,
            key_field,
            refresh,
            within,
            table,
            doubted: Notify::new(),
            proven: AtomicU64::new(0),
            loaded: watch::Sender::new(None),
            problem: Mutex::default(),
            nameless: AtomicU64::new(0),
        }
    }

    /// The source was asked, at a moment.
    pub(super) fn asked(&self, at: Moment, ended: Result<(), SourceError>, all: bool) -> Result<(), SourceError> {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match &ended {
            Ok(()) => {
                if problem.take().is_some() {
                    log::info!("the source of {} answers again", self.data_type);
                }
                if all {
                    self.loaded.send_replace(Some(at));
                    // What was published before it was asked for was committed before that.
                    self.table.if_certain(|| self.prove(at));
                }
            }
            Err(error) => {
                if problem.is_none() {
                    let what = if self.is_loaded() { "stays as it is, and grows old" } else { "has never been loaded" };
                    log::error!("{} {what}: {error}", self.data_type);
                }
                *problem = Some(error.clone());
            }
        }
        ended
    }

    /// Has everything be read again.
    pub(super) fn doubt_all(&self) {
        self.table.doubt_all();
        self.doubted.notify_one();
    }

    fn prove(&self, at: Moment) {
        self.proven.fetch_max(at.0, Ordering::Release);
    }

    /// How old the proof is that nothing is missing; `None`: there was none yet.
    pub(super) fn proven_for(&self) -> Option<Duration> {
        let proven = self.proven.load(Ordering::Acquire);
        (proven > 0).then(|| Moment::now().since(Moment(proven)))
    }

    /// Why the source has not answered, if it has not since.
    pub(super) fn problem(&self) -> Option<SourceError> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.borrow().is_some()
    }

    pub(super) async fn until_loaded(&self) {
        // The sender is this very object's.
        let _ = self.loaded.subscribe().wait_for(Option::is_some).await;
    }

    pub(super) fn freshness(&self) -> CriticalFreshness {
        CriticalFreshness {
            proven_for: self.proven_for(),
            loaded_for: self.loaded.borrow().map(|at| Moment::now().since(at)),
            entries: self.table.len(),
            problem: self.problem().map(|error| error.to_string()),
        }
    }
}

impl<K, V> Route for Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + DeserializeOwned + 'static,
    V: Clone + Send + Sync + DeserializeOwned + 'static,
{
    fn changed<'a>(&'a self, message: &'a ChangeMessage, counted: bool) -> BoxFuture<'a, ()> {
        if let Some(key) = record_key::<K>(message, &self.key_field) {
            if !(counted && self.tell(&key, message)) {
                self.table.doubt(&key);
                self.doubted.notify_one();
            }
        } else {
            let so_many = count(&self.nameless);
            if is_told(so_many) {
                log::warn!(
                    "a message of {} names no record by {:?}, and everything is loaded anew ({so_many} so far): is `.key(..)` the field \
                     by which its publisher names them? It has {:?}",
                    self.data_type,
                    self.key_field,
                    message.data.fields.keys().collect::<Vec<_>>()
                );
            }
            self.doubt_all();
        }
        Box::pin(std::future::ready(()))
    }

    fn missed(&self) -> BoxFuture<'_, ()> {
        self.doubt_all();
        Box::pin(std::future::ready(()))
    }

    fn proven(&self, at: Moment) {
        self.table.if_certain(|| self.prove(at));
    }
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone + DeserializeOwned,
{
    /// Believes a message that says which value it is; `false`: the source has to be asked.
    fn tell(&self, key: &K, message: &ChangeMessage) -> bool {
        let data = &message.data;
        let Some((version, value)) = data.version.filter(|version| *version > 0).zip(data.new_value.as_ref()) else {
            return false;
        };
        let value = match value {
            Value::Null => None,
            value => match V::deserialize(value) {
                Ok(value) => Some(value),
                Err(_) => return false,
            },
        };
        self.table.tell(key, version, value)
    }
}
