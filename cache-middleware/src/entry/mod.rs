//! Entries: what is stored, and the bytes of it, which are written by types of our own.

mod codec;
#[cfg(test)]
mod codec_tests;
mod lifetime;
mod marks;

use std::sync::Arc;

use ::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;

pub use codec::{DecodeError, FRAME_VERSION, decode, encode};
#[cfg(feature = "redis")]
pub(crate) use codec::{State, decimal, decode_for, open, seal, version};
pub use lifetime::Lifetime;
pub use marks::{MarkList, MarkRef};

use crate::digest;
use crate::policy::is_negative;
use crate::tag::Mark;

/// A reading of a store's clock: which life of the store, and how many clears it has counted in it.
///
/// Two stamps can be compared only within one incarnation; a store that lost its memory starts a new one.
///
/// ```
/// use cache_middleware::entry::Stamp;
///
/// let now = Stamp { incarnation: 1, clock: 7 };
/// assert!(now.covers(Stamp { clock: 5, ..now }));
/// // Of another life of the store nothing is known.
/// assert!(!now.covers(Stamp { incarnation: 2, clock: 5 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// A random number that the store drew when it began to count. 0 is used by nodes that have no store to ask.
    pub incarnation: u64,
    /// Moves with every clear.
    pub clock: u64,
}

impl Stamp {
    /// Whether everything that was cleared by `earlier` had been cleared at this stamp too.
    #[must_use]
    pub fn covers(self, earlier: Self) -> bool {
        self.incarnation == earlier.incarnation && self.clock >= earlier.clock
    }
}

/// A stored response or value.
///
/// At work: [`encode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The clock of the lease under which it was made, read before the handler ran.
    pub stamp: Stamp,
    /// The full name of its key, verified on every read.
    pub key: Arc<str>,
    /// What clears it: key, route, tenant and tags.
    pub marks: MarkList,
    /// Store time at which it was stored, in milliseconds.
    pub stored_at_ms: u64,
    /// How it ages from then on.
    pub life: Lifetime,
    /// What is stored.
    pub payload: Payload,
}

/// What an entry holds.
///
/// At work: [`encode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// An HTTP response.
    Response(StoredResponse),
    /// A typed value, encoded.
    Value(Bytes),
    /// The names, in lower case, of the request headers that select among the variants of this key, which are entries of
    /// their own (RFC 9111 section 4.1).
    Selector(Vec<Arc<str>>),
}

impl Payload {
    /// Whether it says that there is nothing to be had.
    pub(crate) fn is_negative(&self) -> bool {
        match self {
            Self::Value(bytes) => bytes == "null",
            Self::Response(response) => is_negative(response.status),
            Self::Selector(_) => false,
        }
    }

    /// A checksum of what a reader is after: of a response its status and body, because headers such as `Date` always differ.
    pub(crate) fn sum(&self) -> [u8; 8] {
        match self {
            Self::Value(bytes) => digest::checksum([&bytes[..]]),
            Self::Response(response) => digest::checksum([&response.status.to_be_bytes()[..], &response.body]),
            Self::Selector(names) => digest::checksum(names.iter().map(|name| name.as_bytes())),
        }
    }
}

/// An HTTP response, complete.
///
/// ```
/// use cache_middleware::entry::{Payload, StoredResponse};
///
/// let stored = StoredResponse { status: 200, headers: Vec::new(), body: "soup".into() };
/// assert!(matches!(Payload::Response(stored), Payload::Response(response) if response.body == "soup"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// The status code.
    pub status: u16,
    /// The header lines in their order, repeated ones included. As they are sent: a hit makes nothing of them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Entry {
    /// Its tags, as far as their marks are not cut.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().filter_map(|mark| Some(Mark::as_tag(mark.id)?.1))
    }

    /// The bytes it stands for in a bound on memory: what it holds, not what the allocator adds.
    #[must_use]
    pub fn weight(&self) -> usize {
        let payload = match &self.payload {
            Payload::Value(bytes) => bytes.len(),
            Payload::Selector(names) => names.iter().map(|name| name.len()).sum(),
            Payload::Response(response) => {
                response.body.len()
                    + response.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
            }
        };
        payload + self.key.len() + self.marks.bytes()
    }

    /// How many header lines it holds.
    pub(crate) fn header_lines(&self) -> usize {
        match &self.payload {
            Payload::Value(_) => 0,
            Payload::Selector(names) => names.len(),
            Payload::Response(response) => response.headers.len(),
        }
    }
}
