//! Queues of changes that are written to their source later: the port behind `WriteBehind`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::StoreError;
use crate::key::Key;

/// What is to be written under a key.
///
/// At work: [`Queues`].
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// This, in the place of what is there.
    Put(Bytes),
    /// So much more than is there.
    Add(i64),
}

/// Without the value, which is nobody's to see in a log.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(bytes) => write!(f, "Put({} bytes)", bytes.len()),
            Self::Add(amount) => write!(f, "Add({amount})"),
        }
    }
}

/// A change in a queue.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its place: larger than that of every change before it.
    pub number: u64,
    /// The full name of its key.
    pub key: String,
    /// The change itself.
    pub change: Result<Change, Unreadable>,
}

/// Why a change cannot be read.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is foreign, or was tampered with: nobody can.
    Damaged,
    /// It is sealed by a key that this node does not have: another node may.
    UnknownKey,
}

/// How large a queue may be.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// The most changes that wait.
    pub changes: u64,
    /// The most bytes that they have together, names of keys included.
    pub bytes: u64,
}

/// What became of a change.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enqueued {
    /// It waits, with so many others.
    Waiting(u64),
    /// There is no room for it.
    Full,
    /// The queue does not know after which number it begins: [`Queues::begin`] tells it.
    Unbegun,
}

/// What waits under a key.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pending {
    /// The newest value.
    pub put: Option<Bytes>,
    /// The sum of what is to be added.
    pub add: i64,
}

/// Who flushes a queue, and what a batch is.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flusher {
    /// Tells flushers apart.
    pub token: u64,
    /// For how long nobody else flushes.
    pub claim: Duration,
    /// The most changes of a batch.
    pub most: u64,
    /// The most bytes of a batch, unless one change has more.
    pub bytes: u64,
    /// How long the oldest change waits at most before there is a batch that is not full.
    pub interval: Duration,
}

/// What there is to flush.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextBatch {
    /// All changes up to one, until they are settled.
    Sealed {
        /// The number of the last of them.
        upto: u64,
        /// The number of the last change before them that was settled or set aside; 0 if none is known.
        done: u64,
        /// Whether it is one change that is set aside, and only has to end ([`Queues::close_aside`]).
        aside: bool,
    },
    /// Nothing, for so long at least; `None`: nothing waits.
    Nothing(Option<Duration>),
    /// Somebody else is at it, for so long unless they go on.
    Claimed(Duration),
}

/// How far the settling of a batch is.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// All its changes have left the queue.
    All,
    /// Some of them have.
    Some,
    /// It is not the sealed batch.
    Other,
}

/// A change that its sink has rejected.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The change.
    pub queued: Queued,
    /// Why.
    pub reason: String,
}

/// How much a queue holds.
///
/// At work: [`Queues`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueSize {
    /// How many changes wait.
    pub waiting: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long the oldest has waited.
    pub oldest: Duration,
    /// How many are set aside.
    pub set_aside: u64,
}

/// Queues by name. Every step is atomic; a caller that drops its future leaves the queue whole.
///
/// ```
/// use std::time::Duration;
///
/// use cache_middleware::key::{Key, KeySpace};
/// use cache_middleware::store::{Change, Enqueued, Flusher, MemoryStore, NextBatch, QueueBounds, Settled, Store};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::default();
/// let queues = store.queues().ok_or("it keeps some")?;
/// let visits = Key::new(None, KeySpace::Value, None, "visits");
/// queues.begin("q", 0).await?;
/// let bounds = QueueBounds { changes: 100, bytes: 1 << 20 };
/// for _ in 0..2 {
///     assert!(matches!(queues.enqueue("q", &visits, &Change::Add(1), bounds).await?, Enqueued::Waiting(_)));
/// }
/// assert_eq!(queues.pending("q", &visits).await?.add, 2);
///
/// let (token, claim, interval) = (7, Duration::from_secs(10), Duration::ZERO);
/// let flusher = Flusher { token, claim, most: 100, bytes: 1 << 20, interval };
/// let NextBatch::Sealed { upto, .. } = queues.next_batch("q", flusher).await? else { return Err("none is due".into()) };
/// let batch = queues.page("q", 0, upto, 1 << 20).await?;
/// assert_eq!((batch.len(), &batch[0].change), (2, &Ok(Change::Add(1))));
/// // Once the sink has it:
/// assert_eq!(queues.settle("q", upto, true).await?, Settled::All);
/// assert_eq!(queues.size("q").await?.waiting, 0);
/// # Ok(())
/// # }
/// ```
pub trait Queues: fmt::Debug + Send + Sync {
    /// Has numbers begin after one: what a sink knows already must not come again as something new.
    fn begin<'a>(&'a self, queue: &'a str, after: u64) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Adds a change. If the answer is an error, it may have been added or not.
    fn enqueue<'a>(
        &'a self,
        queue: &'a str,
        key: &'a Key,
        change: &'a Change,
        bounds: QueueBounds,
    ) -> BoxFuture<'a, Result<Enqueued, StoreError>>;

    /// What waits under a key.
    fn pending<'a>(&'a self, queue: &'a str, key: &'a Key) -> BoxFuture<'a, Result<Pending, StoreError>>;

    /// The sealed batch, or a new one: the same changes for whoever asks, until they are settled or the batch is narrowed.
    fn next_batch<'a>(&'a self, queue: &'a str, flusher: Flusher) -> BoxFuture<'a, Result<NextBatch, StoreError>>;

    /// Some of the changes of the sealed batch, in their order: those after a number, at most so many bytes, and one at least.
    fn page<'a>(
        &'a self,
        queue: &'a str,
        after: u64,
        upto: u64,
        bytes: u64,
    ) -> BoxFuture<'a, Result<Vec<Queued>, StoreError>>;

    /// Goes on with the claim, if it is still this flusher's.
    fn keep_claim<'a>(&'a self, queue: &'a str, flusher: Flusher) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Lets another flusher begin at once.
    fn give_up_claim<'a>(&'a self, queue: &'a str, token: u64) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The changes of the sealed batch, which ends at a number, are written: they leave the queue, some at a time. One that is set
    /// aside stays listed, unless the caller has had it `written` itself, and not only found that it is.
    fn settle<'a>(&'a self, queue: &'a str, upto: u64, written: bool) -> BoxFuture<'a, Result<Settled, StoreError>>;

    /// Has the sealed batch end earlier, if this flusher has it.
    fn narrow<'a>(
        &'a self,
        queue: &'a str,
        token: u64,
        from: u64,
        upto: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Sets the one change of the sealed batch aside, if this flusher has it and no more than `most` are set aside. It waits no more,
    /// but the batch does not end before [`Queues::close_aside`]. Again is as once.
    fn set_aside<'a>(
        &'a self,
        queue: &'a str,
        token: u64,
        number: u64,
        reason: &'a str,
        most: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Ends the sealed batch whose one change is set aside, if this flusher has it.
    fn close_aside<'a>(&'a self, queue: &'a str, token: u64, number: u64) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// What is set aside, the oldest first.
    fn list_aside<'a>(&'a self, queue: &'a str, limit: usize) -> BoxFuture<'a, Result<Vec<SetAside>, StoreError>>;

    /// Takes a change from what is set aside: back to the end of the queue, whatever its bounds are, or for good. Gives the full
    /// name of its key; `None` if it is not there.
    fn take_aside<'a>(
        &'a self,
        queue: &'a str,
        number: u64,
        back: bool,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>>;

    /// How much it holds.
    fn size<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<QueueSize, StoreError>>;

    /// What may be lost of it, for the log; `None` if that is nothing.
    fn risk<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Option<String>>;
}
