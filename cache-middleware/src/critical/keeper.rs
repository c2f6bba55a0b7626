//! Keeps a critical cache right: loads it, again and again, and asks for what is in doubt.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::shared::Shared;
use super::table::Doubt;
use crate::backoff::Backoff;
use crate::chance;
use crate::source::{SourceError, SourceOfTruth, answer, answer_of};
use crate::time::Moment;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// How many records are asked for at once.
const AT_ONCE: usize = 200;

/// By how much of its interval a refresh comes early, at most, so that not all nodes come at once.
const JITTER: f64 = 0.1;

/// Between two loads that somebody's messages call for.
const REST: Duration = Duration::from_millis(50);

/// Keeps it right for ever. The first load was tried already.
pub(super) async fn keep<K, V, S>(shared: Arc<Shared<K, V>>, source: Arc<S>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: SourceOfTruth<K, V>,
{
    let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY.min(shared.refresh));
    let mut refresh = Instant::now() + jittered(shared.refresh);
    loop {
        let due = Instant::now() >= refresh;
        let doubt = shared.table.doubts();
        let of_some = doubt == Doubt::Some && !due;
        let ended = match doubt {
            Doubt::Nothing if !due => {
                tokio::select! {
                    () = shared.doubted.notified() => {}
                    () = sleep_until(refresh) => {}
                }
                continue;
            }
            Doubt::Some if of_some => ask(&shared, &*source).await,
            _ => match load_and_rest(&shared, &*source).await {
                Ok(()) => {
                    refresh = Instant::now() + jittered(shared.refresh);
                    Ok(())
                }
                // What is in doubt by itself may be known all the same.
                Err(error) => ask(&shared, &*source).await.and(Err(error)),
            },
        };
        match ended {
            Ok(()) => backoff.reset(),
            Err(error) => {
                // Not all at once, when a source comes back that many nodes have waited for.
                let rest = backoff.rest().mul_f64(chance::part().midpoint(1.0));
                // One record that it refuses does not keep it from being asked for others.
                let answers = of_some && !matches!(error, SourceError::Unavailable(_));
                tokio::select! {
                    () = sleep(rest) => {}
                    () = shared.doubted.notified(), if answers => {}
                }
            }
        }
    }
}

/// Rests for as long as a load has taken: messages that call for one after the other must not keep the source busy.
async fn load_and_rest<K, V, S>(shared: &Shared<K, V>, source: &S) -> Result<(), SourceError>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: SourceOfTruth<K, V>,
{
    let began = Instant::now();
    load(shared, source).await?;
    sleep(began.elapsed().max(REST)).await;
    Ok(())
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 - JITTER * chance::part())
}

/// Asks for everything. If that fails, what was there stays.
pub(super) async fn load<K, V, S>(shared: &Shared<K, V>, source: &S) -> Result<(), SourceError>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: SourceOfTruth<K, V>,
{
    let (at, asked) = (Moment::now(), shared.table.ask());
    let (most, had) = (shared.table.most(), shared.table.len());
    let ended = answer(shared.within, || source.all()).await.and_then(|answers| match answers.len() {
        many if many > most => Err(SourceError::Refused(format!(
            "it has {many} records, and {most} at most are held: raise max_entries, or take a ReferenceCache"
        ))),
        count => {
            if count == 0 && had > 0 {
                log::warn!("the source of {} has no record any more, and had {had}", shared.data_type);
            }
            shared.table.answer_all(asked, answers);
            Ok(())
        }
    });
    shared.asked(at, ended, true)
}

/// Asks for records that are in doubt. If the source does not take them together, each is asked for by itself: one that it refuses must not
/// keep the others in doubt.
async fn ask<K, V, S>(shared: &Shared<K, V>, source: &S) -> Result<(), SourceError>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: SourceOfTruth<K, V>,
{
    let keys = shared.table.doubtful(AT_ONCE);
    if keys.is_empty() {
        return Ok(());
    }
    let (at, asked) = (Moment::now(), shared.table.ask());
    let ended = answer_of(shared.within, source, &keys).await;
    if !matches!(ended, Ok(_) | Err(SourceError::Unavailable(_))) {
        let mut last = Ok(());
        for key in &keys {
            let asked = shared.table.ask();
            match answer_of(shared.within, source, std::slice::from_ref(key)).await {
                Ok(mut found) => drop(shared.table.answer_one(asked, key, found.pop())),
                Err(error @ SourceError::Unavailable(_)) => {
                    last = Err(error);
                    break;
                }
                Err(error) => {
                    shared.table.refused(asked, key);
                    last = Err(error);
                }
            }
        }
        // Whether all of them are known is what the table says.
        let ended = if shared.table.doubts() == Doubt::Some { last } else { Ok(()) };
        return shared.asked(at, ended, false);
    }
    shared.asked(at, ended.map(|answers| shared.table.answer(asked, &keys, answers)), false)
}
