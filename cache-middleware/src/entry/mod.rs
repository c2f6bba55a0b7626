//! Entries: what is stored, in types of our own, so that no framework's types reach the bytes in Redis.

mod codec;
#[cfg(test)]
mod codec_tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

#[cfg(feature = "redis")]
pub(crate) use codec::State;
pub use codec::{DecodeError, FRAME_VERSION, decode, encode};

use crate::tag::Mark;

/// A reading of a store's clock: which life of the store, and how many clears it has counted in it.
///
/// Two stamps can be compared only within one incarnation; a store that lost its memory starts a new one.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The clock of the lease under which it was made, read before the handler ran.
    pub stamp: Stamp,
    /// The full name of its key, verified on every read.
    pub key: Arc<str>,
    /// What clears it: key, route, tenant and tags.
    pub marks: Vec<Mark>,
    /// Store time at which it was stored, in milliseconds.
    pub stored_at_ms: u64,
    /// How long it is fresh.
    pub fresh_for: Duration,
    /// What is stored.
    pub payload: Payload,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// An HTTP response.
    Response(StoredResponse),
    /// A typed value, encoded.
    Value(Bytes),
}

/// An HTTP response, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// The status code.
    pub status: u16,
    /// The header lines in their order, repeated ones included; names in lower case.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// The body.
    pub body: Bytes,
}

impl Entry {
    /// The bytes it stands for in a bound on memory: what it holds, not what the allocator adds.
    #[must_use]
    pub fn weight(&self) -> usize {
        let payload = match &self.payload {
            Payload::Value(bytes) => bytes.len(),
            Payload::Response(response) => {
                response.body.len()
                    + response.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            }
        };
        payload + self.key.len() + self.marks.iter().map(|mark| mark.id.len()).sum::<usize>()
    }

    /// How many header lines it holds.
    pub(crate) fn header_lines(&self) -> usize {
        match &self.payload {
            Payload::Value(_) => 0,
            Payload::Response(response) => response.headers.len(),
        }
    }
}
