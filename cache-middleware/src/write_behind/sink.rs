//! Where changes go.

use thiserror::Error;

use super::batch::Batch;

/// The source of truth that changes are written to.
///
/// ```
/// use cache_middleware::{Batch, Sink, SinkError};
/// # use std::collections::HashMap;
/// # use std::sync::Mutex;
///
/// /// Counts views, each exactly once: the position is recorded with the views.
/// #[derive(Default)]
/// struct Views {
///     database: Mutex<(HashMap<String, i64>, u64)>,
/// }
///
/// impl Sink for Views {
///     async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
///         let mut database = self.database.lock().map_err(|_| SinkError::Unavailable("locked".to_owned()))?;
///         let (views, position) = &mut *database; // BEGIN
///         if *position != batch.after() {
///             // UPDATE positions SET upto = $upto WHERE queue = $queue AND upto = $after: no row
///             return Err(SinkError::Unavailable("somebody else has written meanwhile".to_owned()));
///         }
///         for write in batch.writes() {
///             *views.entry(write.key().to_owned()).or_default() += write.amount().unwrap_or(0);
///         }
///         *position = batch.upto();
///         Ok(()) // COMMIT
///     }
///
///     async fn position(&self, _queue: &str) -> Result<Option<u64>, SinkError> {
///         Ok(Some(self.database.lock().map_err(|_| SinkError::Unavailable("locked".to_owned()))?.1))
///     }
/// }
/// # let _ = Views::default();
/// ```
pub trait Sink: Send + Sync + 'static {
    /// Writes a batch: all of it, or nothing of it. The same batch, with the same [`Batch::id`], may come again after an error, or
    /// after the death of a process that had written it.
    ///
    /// # Errors
    /// [`SinkError`] says whether it is tried again as it is.
    fn write(&self, batch: &Batch) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// How far a sink has come that writes exactly once: the [`Batch::upto`] that it has recorded in the transaction of its last
    /// writes, 0 at first. It is not given again what it has; and its `write` must fail if the position is not
    /// [`Batch::after`] any more. `None`, the default: it may be given a change more than once.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`]; what else it is counts as that.
    fn position(&self, queue: &str) -> impl Future<Output = Result<Option<u64>, SinkError>> + Send {
        let _ = queue;
        std::future::ready(Ok(None))
    }
}

/// Why a sink did not write.
///
/// At work: [`crate::WriteBehind`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SinkError {
    /// The source cannot be reached, or has no time: the batch is tried again as it is, later and later, until it succeeds.
    #[error("the sink is not available: {0}")]
    Unavailable(String),
    /// The source will never take it. The batch is tried in parts, until the changes that are to blame are alone; those are set
    /// aside.
    #[error("the sink rejects it: {0}")]
    Rejected(String),
}
