//! A command that counts: it has a limit, and the breaker learns how it went.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use tokio::time::{Instant, timeout_at};

use super::settings::Settings;
use super::site::{Site, store_error};
use crate::error::StoreError;
use crate::time::Moment;

/// How many times as long a command may take that nobody waits for.
const PATIENCE: u32 = 20;

/// A command that is under way.
pub(super) struct Call<'a> {
    settings: &'a Settings,
    site: Arc<Site>,
    limit: Duration,
    began: Moment,
    /// Whether the breaker learns how it went.
    counted: bool,
}

/// How a command ended.
enum Reply<T> {
    /// In time.
    Quick(T),
    /// Late, and it was not this process that was.
    Slow(T),
    None,
}

impl<'a> Call<'a> {
    pub(super) fn new(settings: &'a Settings, site: Arc<Site>, limit: Duration) -> Self {
        Self { settings, site, limit, began: Moment::now(), counted: true }
    }

    /// One that nobody waits for may take longer, and says nothing about whether requests should ask.
    pub(super) fn patient(self) -> Self {
        Self { limit: self.limit * PATIENCE, counted: false, ..self }
    }

    /// Takes the answer, at most for the limit; turns an error into ours, and has somebody look after what it tells.
    pub(super) async fn ended<T>(self, answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, StoreError> {
        let (answer, slow) = match in_time(self.limit, answer).await {
            Reply::Quick(answer) => (answer, false),
            Reply::Slow(answer) => (answer, true),
            Reply::None => {
                self.settings.route_lost.notify_one();
                self.tell::<T>(None);
                self.count(true);
                return Err(StoreError::Unavailable(format!("no answer within {:?}", self.limit)));
            }
        };
        let answer = answer.map_err(|error| {
            self.site.note(&error);
            if error.is_cluster_error() || error.is_unrecoverable_error() || error.is_timeout() {
                self.settings.route_lost.notify_one();
            }
            store_error(&error)
        });
        self.tell(Some(&answer).filter(|answer| !matches!(answer, Err(StoreError::Unavailable(_)))));
        // An answer that says no is an answer.
        self.count(slow || matches!(answer, Err(StoreError::Unavailable(_))));
        answer
    }

    /// Tells the metrics; what nobody waits for is not in them.
    fn tell<T>(&self, answer: Option<&Result<T, StoreError>>) {
        let counts = &self.settings.counts;
        match answer {
            _ if !self.counted => {}
            None => counts.unavailable(),
            Some(answer) => counts.answered(Moment::now().since(self.began), answer.is_err()),
        }
    }

    fn count(&self, bad: bool) {
        if self.counted {
            self.site.count(bad);
        }
    }
}

/// Waits for an answer.
///
/// A process that has no time for itself sees every answer late. That must not open the breaker: the handlers that would
/// run then are what it has no time for. So the time is measured in two parts. An alarm that itself comes late says that
/// this process is late. And before an answer counts as missing, whoever reads it from the socket has had a turn.
async fn in_time<T>(limit: Duration, answer: impl Future<Output = T>) -> Reply<T> {
    let mut answer = pin!(answer);
    let half = Instant::now() + limit / 2;
    if let Ok(answer) = timeout_at(half, &mut answer).await {
        return Reply::Quick(answer);
    }
    let late = half.elapsed() > limit / 8;
    let rest = if late { Instant::now() + limit / 2 } else { half + limit / 2 };
    let answered = match timeout_at(rest, &mut answer).await {
        Ok(answer) => Some(answer),
        Err(_) => {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            futures_util::FutureExt::now_or_never(answer)
        }
    };
    match answered {
        Some(answer) if late => Reply::Quick(answer),
        Some(answer) => Reply::Slow(answer),
        None => Reply::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    fn kind(reply: &Reply<u8>) -> &'static str {
        match reply {
            Reply::Quick(_) => "quick",
            Reply::Slow(_) => "slow",
            Reply::None => "none",
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_quick_slow_or_missing() {
        for (after, expected) in [(1, "quick"), (24, "quick"), (30, "slow"), (49, "slow"), (60, "none")] {
            let answer = async {
                tokio::time::sleep(Duration::from_millis(after)).await;
                1
            };
            assert_eq!(kind(&in_time(LIMIT, answer).await), expected, "{after} ms");
        }
    }

    /// The process is held up, and the answer has been there all the time.
    #[tokio::test]
    async fn a_process_without_time_does_not_blame_redis() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let reader = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tell.send(1).ok();
        });
        let busy = tokio::spawn(async { std::thread::sleep(Duration::from_millis(200)) });
        let reply = in_time(LIMIT, async { told.await.unwrap_or_default() }).await;
        assert_eq!(kind(&reply), "quick");
        reader.await.unwrap();
        busy.await.unwrap();
    }
}
