//! Questions to the source about single records: one at a time for each, whoever asks.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::source::SourceError;
use crate::time::Moment;

type Answer<V> = Shared<BoxFuture<'static, Result<Found<V>, SourceError>>>;

/// What the source had, and when it was asked.
pub(super) type Found<V> = (Option<V>, Moment);

/// A question that is under way, or waits for the one before it to end.
#[derive(Clone)]
struct Question<V: Clone> {
    asked: Arc<AtomicBool>,
    answer: Answer<V>,
}

type Last<K, V> = Mutex<HashMap<K, Question<V>>>;

/// The questions that have not ended.
pub(super) struct Asking<K, V: Clone> {
    last: Arc<Last<K, V>>,
}

impl<K, V> Asking<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self { last: Arc::default() }
    }

    /// Has a question asked after this moment, once for all who wait for it: one that was asked already may be answered with what
    /// was there before the caller came. It goes on in a task, whatever becomes of the caller.
    pub(super) async fn ask<F>(
        &self,
        key: &K,
        question: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Found<V>, SourceError>
    where
        F: Future<Output = Result<Option<V>, SourceError>> + Send + 'static,
    {
        let answer = {
            let mut last = lock(&self.last);
            match last.get(key).cloned() {
                Some(waits) if !waits.asked.load(Ordering::SeqCst) => waits.answer,
                before => {
                    let next = self.begin(key.clone(), before.map(|question| question.answer), question);
                    last.insert(key.clone(), next.clone());
                    next.answer
                }
            }
        };
        answer.await
    }

    fn begin<F>(&self, key: K, before: Option<Answer<V>>, question: impl FnOnce() -> F + Send + 'static) -> Question<V>
    where
        F: Future<Output = Result<Option<V>, SourceError>> + Send + 'static,
    {
        let asked = Arc::new(AtomicBool::new(false));
        let ends = Ends { last: self.last.clone(), key, asked: asked.clone() };
        let task = tokio::spawn(async move {
            let ends = ends;
            if let Some(before) = before {
                let _ = before.await;
            }
            ends.asked.store(true, Ordering::SeqCst);
            let at = Moment::now();
            question().await.map(|found| (found, at))
        });
        let cut_off = |_| Err(SourceError::Unavailable("the question was cut off".to_owned()));
        Question { asked, answer: task.map(move |ended| ended.unwrap_or_else(cut_off)).boxed().shared() }
    }
}

fn lock<K, V: Clone>(last: &Last<K, V>) -> MutexGuard<'_, HashMap<K, Question<V>>> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a question away when it has ended, however it has.
struct Ends<K: Hash + Eq, V: Clone> {
    last: Arc<Last<K, V>>,
    key: K,
    asked: Arc<AtomicBool>,
}

impl<K: Hash + Eq, V: Clone> Drop for Ends<K, V> {
    fn drop(&mut self) {
        let mut last = lock(&self.last);
        if last.get(&self.key).is_some_and(|question| Arc::ptr_eq(&question.asked, &self.asked)) {
            last.remove(&self.key);
        }
    }
}
