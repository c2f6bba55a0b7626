//! Channels of messages, with positions that have no holes: the port behind change messages.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::StoreError;

/// The place of a message in its channel.
///
/// At work: [`Channels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    /// Which life of the store the number is of: another one's says nothing.
    pub incarnation: u64,
    /// How many messages there were with it; 0: before the first.
    pub number: u64,
    /// Tells the message from one that somebody else gave its number: nobody knows it before it is published.
    pub check: u64,
}

/// What comes after a position.
///
/// At work: [`Channels`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The position of the last message that was published.
    pub head: Position,
    /// Messages that are kept, the oldest first, from the one *at* the position on: a part of them if there are many. Who finds
    /// another message at the position has believed something that was never published.
    pub kept: Vec<(Position, MessageText)>,
}

/// What was published.
///
/// At work: [`Channels`].
#[derive(Clone, PartialEq, Eq)]
pub enum MessageText {
    /// This.
    Text(Bytes),
    /// Something that cannot be read: tampered with, or sealed by a key that this node does not have.
    Unreadable,
}

/// Without the text, which is nobody's to see in a log.
impl fmt::Debug for MessageText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(bytes) => write!(f, "Text({} bytes)", bytes.len()),
            Self::Unreadable => f.write_str("Unreadable"),
        }
    }
}

/// What came over a channel just now.
///
/// At work: [`Channels`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The name of the channel.
    pub channel: String,
    /// Its position, and the check of the message before it, as it says itself; `None` if nobody counted it.
    pub position: Option<(Position, u64)>,
    /// What was published.
    pub payload: MessageText,
}

/// Who hears what is published. Calls come one after another, and must not block.
///
/// At work: [`Channels`].
pub trait Hearer: fmt::Debug + Send + Sync + 'static {
    /// A message.
    fn heard(&self, pushed: Pushed);

    /// Messages are heard from now on; before this some may have been missed.
    fn hears(&self);
}

/// Hears for as long as it is kept.
///
/// At work: [`Channels`].
pub trait Hearing: fmt::Debug + Send + Sync {}

/// Channels by name. Every step is atomic; a caller that drops its future leaves the channel whole.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use cache_middleware::store::{Hearer, MemoryStore, MessageText, Pushed, Store};
///
/// #[derive(Debug, Default)]
/// struct Heard(Mutex<Vec<MessageText>>);
///
/// impl Hearer for Heard {
///     fn heard(&self, pushed: Pushed) {
///         self.0.lock().unwrap().push(pushed.payload);
///     }
///
///     fn hears(&self) {}
/// }
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::default();
/// let channels = store.channels().ok_or("it has some")?;
/// let heard = Arc::new(Heard::default());
/// let _hearing = channels.listen("shop:", heard.clone());
/// let first = channels.publish("shop:prices", &"bread: 3".into(), 10).await?;
/// let second = channels.publish("shop:prices", &"bread: 4".into(), 10).await?;
/// assert_eq!(second.number, first.number + 1);
/// assert_eq!(heard.0.lock().unwrap().len(), 2);
///
/// // Who has only heard of the first asks whether that was all.
/// let since = channels.since("shop:prices", first).await?;
/// assert!(!since.is_nothing(first) && since.head == second);
/// assert_eq!(since.kept.last(), Some(&(second, MessageText::Text("bread: 4".into()))));
/// # Ok(())
/// # }
/// ```
pub trait Channels: fmt::Debug + Send + Sync {
    /// Counts a message, keeps it with the last `keep` of the channel, and tells whoever hears it. If the answer is an error, it may
    /// have been published or not.
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        text: &'a Bytes,
        keep: u64,
    ) -> BoxFuture<'a, Result<Position, StoreError>>;

    /// What comes after a position, a few hundred messages at most. That nothing does is true of the moment of the question or a
    /// later one.
    fn since<'a>(&'a self, channel: &'a str, after: Position) -> BoxFuture<'a, Result<Since, StoreError>>;

    /// Tells whoever hears a channel, and neither counts nor keeps: for other programs. Gives how many have heard it.
    fn announce<'a>(&'a self, channel: &'a str, text: &'a Bytes) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Has every channel heard whose name begins so.
    fn listen(&self, prefix: &str, hearer: Arc<dyn Hearer>) -> Box<dyn Hearing>;
}

impl Since {
    /// Whether nothing was published after the position.
    #[must_use]
    pub fn is_nothing(&self, after: Position) -> bool {
        self.head == after
    }
}
