//! One question for several records: those of a caller that nobody else is fetching.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Answers;
use crate::source::{Record, SourceError};

/// How many records one question is about.
const AT_ONCE: usize = 200;

/// How long a record waits for the others to need fetching as well: they may be waiting for somebody else's flight.
const WINDOW: Duration = Duration::from_millis(2);

type Ask<K, V> = Arc<dyn Fn(Vec<K>) -> Answers<K, V> + Send + Sync>;

/// Collects what has to be fetched, until nothing more can come, or the window is over.
pub(super) struct Batch<K, V> {
    ask: Ask<K, V>,
    state: Mutex<State<K, V>>,
}

type Wanted<K, V> = (K, oneshot::Sender<Result<Option<V>, SourceError>>);

struct State<K, V> {
    /// How many may still be wanted.
    undecided: usize,
    wanted: Vec<Wanted<K, V>>,
}

impl<K, V> Batch<K, V>
where
    K: Clone + PartialEq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(ask: Ask<K, V>, keys: usize) -> Self {
        Self { ask, state: Mutex::new(State { undecided: keys, wanted: Vec::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the records, which may be wanted or not.
    pub(super) fn of<'a>(&'a self, key: &'a K) -> OneOf<'a, K, V> {
        OneOf { batch: self, key, decided: AtomicBool::new(false) }
    }

    /// One of the records is wanted, or will not be.
    fn decided(&self) {
        let mut state = self.lock();
        state.undecided = state.undecided.saturating_sub(1);
        if state.undecided == 0 {
            self.send(&mut state);
        }
    }

    /// Asks in tasks: the source is not left in the middle of an answer.
    fn send(&self, state: &mut State<K, V>) {
        while !state.wanted.is_empty() {
            let rest = state.wanted.split_off(state.wanted.len().min(AT_ONCE));
            let wanted = std::mem::replace(&mut state.wanted, rest);
            let answers = (self.ask)(wanted.iter().map(|(key, _)| key.clone()).collect());
            tokio::spawn(async move {
                let answers = answers.await;
                for (key, tell) in wanted {
                    let record = |records: &Vec<Record<K, V>>| records.iter().find(|record| record.key == key).cloned();
                    let answer = answers.as_ref().map(record).map_err(Clone::clone);
                    let _ = tell.send(answer.map(|record| record.map(|record| record.value)));
                }
            });
        }
    }
}

/// One of the records of a batch.
pub(super) struct OneOf<'a, K, V>
where
    K: Clone + PartialEq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    batch: &'a Batch<K, V>,
    key: &'a K,
    decided: AtomicBool,
}

impl<K, V> OneOf<'_, K, V>
where
    K: Clone + PartialEq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Fetches it with the others.
    pub(super) async fn load(&self) -> Result<Option<V>, SourceError> {
        let (tell, mut told) = oneshot::channel();
        self.batch.lock().wanted.push((self.key.clone(), tell));
        self.decide();
        let answer = match timeout(WINDOW, &mut told).await {
            Ok(answer) => answer,
            Err(_) => {
                self.batch.send(&mut self.batch.lock());
                told.await
            }
        };
        answer.unwrap_or_else(|_| Err(SourceError::Unavailable("the question was cut off".to_owned())))
    }

    fn decide(&self) {
        if !self.decided.swap(true, Ordering::SeqCst) {
            self.batch.decided();
        }
    }
}

/// It was found, or somebody else is fetching it.
impl<K, V> Drop for OneOf<'_, K, V>
where
    K: Clone + PartialEq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.decide();
    }
}
