//! Entries: what is stored, and the bytes of it, which are written by types of our own.

mod codec;
#[cfg(test)]
mod codec_tests;

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;

pub use codec::{DecodeError, FRAME_VERSION, decode, encode};
#[cfg(feature = "redis")]
pub(crate) use codec::{State, open, seal, version};

use crate::digest;
use crate::policy::{Windows, is_negative};
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
    /// How it ages from then on.
    pub life: Lifetime,
    /// What is stored.
    pub payload: Payload,
}

/// How an entry ages. The windows after freshness are counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// The age it had already when it was stored (`corrected_initial_age`, RFC 9111 section 4.2.3).
    pub initial_age: Duration,
    /// How long it is fresh from when it was stored.
    pub fresh_for: Duration,
    /// How long it may be served stale while a refresh is under way (RFC 5861 section 3).
    pub stale_while_revalidate: Duration,
    /// How long it may be served stale if the handler fails (RFC 5861 section 4).
    pub stale_if_error: Duration,
    /// How long it is kept to be revalidated.
    pub keep: Duration,
    /// How long its fill took, which is what it costs to have it again.
    pub cost: Duration,
    /// Whether nothing that a request says lets it be served stale (RFC 9111 section 4.2.4).
    pub must_revalidate: bool,
}

impl Lifetime {
    /// Fresh for a time, and then gone.
    #[must_use]
    pub fn fresh(fresh_for: Duration) -> Self {
        Self { fresh_for, ..Self::default() }
    }

    /// What a policy gives: a TTL and its windows. `negative` says that there is nothing to be had, which is remembered
    /// for its own TTL and not beyond.
    #[must_use]
    pub fn by_policy(ttl: Duration, windows: &Windows, negative: bool) -> Self {
        if let Some(negative_ttl) = windows.negative_ttl.filter(|_| negative) {
            return Self::fresh(windows.jittered(negative_ttl));
        }
        Self {
            stale_while_revalidate: windows.stale,
            stale_if_error: windows.stale_if_error,
            ..Self::fresh(windows.jittered(ttl))
        }
    }

    /// The lifetime of what has waited before it was stored.
    #[must_use]
    pub fn after(self, waited: Duration) -> Self {
        let too_old = waited.saturating_sub(self.fresh_for);
        Self {
            initial_age: self.initial_age.saturating_add(waited),
            fresh_for: self.fresh_for.saturating_sub(waited),
            stale_while_revalidate: self.stale_while_revalidate.saturating_sub(too_old),
            stale_if_error: self.stale_if_error.saturating_sub(too_old),
            ..self
        }
    }

    /// How long an entry is held by the store.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.fresh_for.saturating_add(self.stale_while_revalidate.max(self.stale_if_error).max(self.keep))
    }

    /// How long ago an entry of this age was stored.
    #[must_use]
    pub fn stored_for(&self, age: Duration) -> Duration {
        age.saturating_sub(self.initial_age)
    }

    /// How long an entry of this age is still fresh.
    #[must_use]
    pub fn fresh_left(&self, age: Duration) -> Duration {
        self.fresh_for.saturating_sub(self.stored_for(age))
    }
}

/// What an entry holds.
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
        self.marks.iter().filter_map(|mark| Some(Mark::as_tag(&mark.id)?.1))
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
        payload + self.key.len() + self.marks.iter().map(|mark| mark.id.len()).sum::<usize>()
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
