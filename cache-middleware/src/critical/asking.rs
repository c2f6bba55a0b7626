//! Questions to the source about single records: one at a time for each, whoever asks.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::source::SourceError;

type Answer<V> = Shared<BoxFuture<'static, Result<Option<V>, SourceError>>>;

/// A question that is under way, or waits for the one before it to end.
#[derive(Clone)]
struct Question<V: Clone> {
    asked: Arc<AtomicBool>,
    answer: Answer<V>,
}

/// The questions that have not ended.
pub(super) struct Asking<K, V: Clone> {
    last: Mutex<HashMap<K, Question<V>>>,
}

impl<K, V> Asking<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self { last: Mutex::default() }
    }

    /// Has a question asked after this moment, once for all who wait for it: one that was asked already may be answered with what
    /// was there before the caller came. It goes on in a task, whatever becomes of the caller.
    pub(super) async fn ask<F>(
        &self,
        key: &K,
        question: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Option<V>, SourceError>
    where
        F: Future<Output = Result<Option<V>, SourceError>> + Send + 'static,
    {
        let answer = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.retain(|_, question| question.answer.peek().is_none());
            let before = last.get(key).cloned();
            match before {
                Some(waits) if !waits.asked.load(Ordering::SeqCst) => waits.answer,
                before => {
                    let next = begin(before.map(|question| question.answer), question);
                    last.insert(key.clone(), next.clone());
                    next.answer
                }
            }
        };
        answer.await
    }
}

fn begin<V, F>(before: Option<Answer<V>>, question: impl FnOnce() -> F + Send + 'static) -> Question<V>
where
    V: Clone + Send + Sync + 'static,
    F: Future<Output = Result<Option<V>, SourceError>> + Send + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let now = asked.clone();
    let task = tokio::spawn(async move {
        if let Some(before) = before {
            let _ = before.await;
        }
        now.store(true, Ordering::SeqCst);
        question().await
    });
    let cut_off = |_| Err(SourceError::Unavailable("the question was cut off".to_owned()));
    Question { asked, answer: task.map(move |ended| ended.unwrap_or_else(cut_off)).boxed().shared() }
}
