//! What the flusher asks of a sink: that it writes, and where it is; while the claim is kept.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout};

use super::batch::Batch;
use super::flusher::{Sealed, TAKEN, Worker};
use super::shared::Shared;
use super::sink::{Sink, SinkError};

impl<S: Sink> Worker<S> {
    /// Has the sink write what it does not have yet; `false` if it has it all by its own word.
    pub(super) async fn write(&self, sealed: &Sealed) -> Result<bool, SinkError> {
        let Sealed { done, upto, changes, .. } = sealed;
        let attempt = async {
            let Some(position) = self.position().await? else {
                let batch = Batch::of(self.shared.queue(), (*done, *upto), *done, changes);
                return self.sink.write(&batch).await.map(|()| true);
            };
            let missing = changes.partition_point(|queued| queued.number <= position);
            if missing < changes.len() {
                let batch = Batch::of(self.shared.queue(), (*done, *upto), position, &changes[missing..]);
                self.sink.write(&batch).await?;
                return self.must_be_at(*upto).await.map(|()| true);
            }
            if position > *upto {
                log::error!(
                    "the sink of the queue {:?} has all up to {position}, and the changes up to {upto} are left out: did \
                     Redis lose its memory, and its clock go back?",
                    self.shared.queue()
                );
                let queues = self.shared.queues().map_err(unavailable)?;
                queues.begin(self.shared.queue(), position).await.map_err(unavailable)?;
            }
            Ok(false)
        };
        self.attempted(attempt).await
    }

    /// Moves the position of a sink that keeps one over a change that it rejects: a flusher that stood still with that change in
    /// its hands cannot write it any more, when somebody has put it back.
    pub(super) async fn fence(&self, sealed: &Sealed) -> Result<(), SinkError> {
        let Sealed { done, upto, .. } = sealed;
        let attempt = async {
            match self.position().await? {
                Some(position) if position < *upto => {
                    let nothing = Batch::of(self.shared.queue(), (*done, *upto), position, &[]);
                    self.sink.write(&nothing).await
                }
                _ => Ok(()),
            }
        };
        self.attempted(attempt).await
    }

    /// A sink that says a position and does not record it is told so, once, before it is given everything again and again.
    async fn must_be_at(&self, upto: u64) -> Result<(), SinkError> {
        if self.checked.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let position = self.position().await?.unwrap_or(0);
        if position < upto {
            log::error!(
                "the sink of the queue {:?} has written up to {upto}, and says that it is at {position}: record `batch.upto()` in \
                 the transaction of the writes, or leave `position` out; as it is, changes are written more than once",
                self.shared.queue()
            );
        }
        Ok(())
    }

    async fn position(&self) -> Result<Option<u64>, SinkError> {
        self.sink.position(self.shared.queue()).await.map_err(unavailable)
    }

    /// Waits for the sink while the claim is kept. If it cannot be kept, somebody else goes on with the batch, and this attempt
    /// ends: it would overtake what they write next.
    async fn attempted<T>(&self, attempt: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
        let Shared { settings, flusher, .. } = &*self.shared;
        let within = settings.within;
        // One that panics has rejected what it was given: it would again.
        let mut attempt = pin!(timeout(within, AssertUnwindSafe(attempt).catch_unwind()));
        let mut kept = Instant::now();
        let ended = loop {
            match timeout(flusher.claim / 4, &mut attempt).await {
                Ok(ended) => break ended,
                Err(_) => {
                    let queues = self.shared.queues().map_err(unavailable)?;
                    match queues.keep_claim(self.shared.queue(), *flusher).await {
                        Ok(true) => kept = Instant::now(),
                        Err(_) if kept.elapsed() < flusher.claim / 2 => {}
                        Ok(false) | Err(_) => {
                            return Err(SinkError::Unavailable(TAKEN.to_owned()));
                        }
                    }
                }
            }
        };
        match ended {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => Err(SinkError::Rejected("the sink panicked".to_owned())),
            Err(_) => Err(SinkError::Unavailable(format!("it took longer than {within:?}"))),
        }
    }
}

/// Whatever it is, it may be better next time.
fn unavailable(error: impl std::fmt::Display) -> SinkError {
    SinkError::Unavailable(error.to_string())
}
