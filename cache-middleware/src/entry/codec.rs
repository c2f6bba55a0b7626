//! Entry to bytes and back.
//!
//! ```text
//! offset  length  field
//!      0       3  "CMW"
//!      3       1  version of the frame
//!      4       4  "frsh" or "stal"
//!      8      32  clock of the expire, decimal digits, twice; zeros if it is fresh
//!                 (state and this are what a store may rewrite in place; twice, because no checksum covers it)
//!     40      16  incarnation, hexadecimal digits
//!     56      16  clock, decimal digits            (text, because the Lua scripts compare it)
//!     72       8  checksum of all but state, clock of the expire and itself
//!     80       4  length of the marks block, big endian
//!     84       4  length of the meta block, big endian
//!     88       …  marks: count (2 bytes), then each 'i' or 'm' (indexed or mark only), length (2 bytes), text
//!      …       …  meta: postcard
//!      …       …  body
//! ```
//!
//! Whatever is not exactly this is a [`DecodeError`], which readers treat as a miss (promise P10).

use std::sync::Arc;

use ::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Entry, Lifetime, MarkList, Payload, Stamp, StoredResponse};
use crate::digest;
#[cfg(feature = "redis")]
use crate::seal::Keyring;
use crate::time::Millis;

/// The version written into every frame; another one is a miss.
pub const FRAME_VERSION: u8 = 4;

const MAGIC: [u8; 3] = *b"CMW";
const STATE: std::ops::Range<usize> = 4..40;
const STAMP: std::ops::Range<usize> = 40..72;
const SUM: std::ops::Range<usize> = 72..80;
const MARKS_LENGTH: std::ops::Range<usize> = 80..84;
const META_LENGTH: std::ops::Range<usize> = 84..88;
const HEAD: usize = 88;

/// Whether an entry has been expired. Four letters that no flip of one bit turns into each other, and a clock that is
/// written twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it was stored.
    Fresh,
    /// Marked by `expire`.
    Expired {
        /// The clock of the store then.
        at: u64,
    },
}

/// The state of nearly all.
const FRESH: &[u8] = b"frsh00000000000000000000000000000000";

impl State {
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Fresh => FRESH.to_vec(),
            Self::Expired { at } => format!("stal{at:016}{at:016}").into_bytes(),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes == FRESH {
            return Some(Self::Fresh);
        }
        let at = std::str::from_utf8(bytes.get(4..20)?).ok()?.parse().ok()?;
        let state = Self::Expired { at };
        (state.bytes() == bytes).then_some(state)
    }
}

/// Why bytes are not an entry.
///
/// At work: [`encode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Too short, or lengths that do not add up.
    #[error("cut short")]
    Truncated,
    /// Not written by this library.
    #[error("foreign bytes")]
    Foreign,
    /// Written by another version of it.
    #[error("another version")]
    Version,
    /// Changed since they were written.
    #[error("wrong checksum")]
    Checksum,
    /// Not sealed where everything is, or for another place, or with a key that is not known.
    #[error("not sealed for this place by a known key")]
    Sealed,
    /// The fields make no entry.
    #[error("malformed")]
    Malformed,
}

#[derive(Serialize, Deserialize)]
struct Meta<'a> {
    key: &'a str,
    stored_at_ms: u64,
    /// Milliseconds: initial age, freshness, stale-while-revalidate, stale-if-error, keep, cost.
    life: [u64; 6],
    must_revalidate: bool,
    #[serde(borrow)]
    kind: Kind<'a>,
}

#[derive(Serialize, Deserialize)]
enum Kind<'a> {
    Value,
    Response {
        status: u16,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
    },
    Selector {
        #[serde(borrow)]
        names: Vec<&'a str>,
    },
}

/// Encodes a fresh entry.
///
/// ```
/// use std::time::Duration;
///
/// use cache_middleware::entry::{DecodeError, Entry, Lifetime, MarkList, Payload, Stamp, decode, encode};
///
/// let entry = Entry {
///     stamp: Stamp { incarnation: 1, clock: 7 },
///     key: "menu".into(),
///     marks: MarkList::default(),
///     stored_at_ms: 0,
///     life: Lifetime::fresh(Duration::from_secs(60)),
///     payload: Payload::Value("\"soup\"".into()),
/// };
/// let mut frame = encode(&entry);
/// assert_eq!(decode(&frame.clone().into()).map(|(decoded, _)| decoded), Ok(entry));
/// *frame.last_mut().unwrap() ^= 1;
/// assert_eq!(decode(&frame.into()).unwrap_err(), DecodeError::Checksum);
/// ```
#[must_use]
pub fn encode(entry: &Entry) -> Vec<u8> {
    let none = Bytes::new();
    let (kind, body) = match &entry.payload {
        Payload::Value(bytes) => (Kind::Value, bytes),
        Payload::Selector(names) => (Kind::Selector { names: names.iter().map(|name| &**name).collect() }, &none),
        Payload::Response(response) => {
            let headers = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            (Kind::Response { status: response.status, headers }, &response.body)
        }
    };
    let meta = Meta {
        key: &entry.key,
        stored_at_ms: entry.stored_at_ms,
        life: to_ms(&entry.life),
        must_revalidate: entry.life.must_revalidate,
        kind,
    };
    // Serialising plain data into memory cannot fail; an empty block would decode as a miss.
    let meta = postcard::to_allocvec(&meta).unwrap_or_default();
    let marks = entry.marks.block();

    let mut out = Vec::with_capacity(HEAD + marks.len() + meta.len() + body.len());
    out.extend_from_slice(&MAGIC);
    out.push(FRAME_VERSION);
    out.extend_from_slice(&State::Fresh.bytes());
    out.extend_from_slice(format!("{:016x}{:016}", entry.stamp.incarnation, entry.stamp.clock).as_bytes());
    out.extend_from_slice(&[0; 8]);
    for block in [&marks, &meta] {
        out.extend_from_slice(&u32::try_from(block.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend_from_slice(&marks);
    out.extend_from_slice(&meta);
    out.extend_from_slice(body);
    let sum = frame_sum(&out);
    out[SUM].copy_from_slice(&sum);
    out
}

fn to_ms(life: &Lifetime) -> [u64; 6] {
    [life.initial_age, life.fresh_for, life.stale_while_revalidate, life.stale_if_error, life.keep, life.cost]
        .map(|time| time.0)
}

pub(super) fn from_ms(life: [u64; 6], must_revalidate: bool) -> Lifetime {
    let [initial_age, fresh_for, stale_while_revalidate, stale_if_error, keep, cost] = life.map(Millis);
    Lifetime { initial_age, fresh_for, stale_while_revalidate, stale_if_error, keep, cost, must_revalidate }
}

fn frame_sum(frame: &[u8]) -> [u8; 8] {
    digest::frame_sum(&[&frame[..STATE.start], &frame[STATE.end..SUM.start], &frame[SUM.end..]])
}

/// A frame of version [`FRAME_VERSION`] whose meta and body are sealed. What scripts read stays as it is: head and marks,
/// which are authenticated with the rest, but for the state and the checksum.
#[cfg(feature = "redis")]
const SEALED_VERSION: u8 = 0x80 | FRAME_VERSION;

/// Seals a frame for the place where it will be; without a key it stays as it is.
#[cfg(feature = "redis")]
pub(crate) fn seal(frame: Vec<u8>, keys: &Keyring, place: &[u8]) -> Vec<u8> {
    let Some((front, back)) = split(&frame).filter(|_| !keys.is_empty()) else { return frame };
    let mut out = front.to_vec();
    out[3] = SEALED_VERSION;
    // Nothing is better than what anybody can read.
    let Some(sealed) = keys.seal(&bound(place, &out), back) else { return Vec::new() };
    out.extend_from_slice(&sealed);
    let sum = frame_sum(&out);
    out[SUM].copy_from_slice(&sum);
    out
}

/// Opens a frame that was sealed for a place. With keys, a frame that is not sealed is refused: anybody could have put it
/// there.
///
/// # Errors
/// [`DecodeError::Sealed`], or what is wrong with it.
#[cfg(feature = "redis")]
pub(crate) fn open(frame: Bytes, keys: &Keyring, place: impl Fn() -> String) -> Result<Bytes, DecodeError> {
    let sealed = frame.get(3) == Some(&SEALED_VERSION);
    if !sealed && keys.is_empty() {
        return Ok(frame);
    }
    let (front, back) = split(&frame).filter(|_| sealed).ok_or(DecodeError::Sealed)?;
    let back = keys.open(&bound(place().as_bytes(), front), back).ok_or(DecodeError::Sealed)?;
    let mut out = [front, &back].concat();
    out[3] = FRAME_VERSION;
    let sum = frame_sum(&out);
    out[SUM].copy_from_slice(&sum);
    Ok(out.into())
}

/// The checksum of a frame as it lies in a store, 0 if it is none.
#[cfg(feature = "redis")]
pub(crate) fn version(frame: &[u8]) -> u64 {
    frame.get(SUM).and_then(|sum| sum.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// Head and marks, and what is behind them.
#[cfg(feature = "redis")]
fn split(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let marks = u32::from_be_bytes(frame.get(MARKS_LENGTH)?.try_into().ok()?);
    frame.split_at_checked(HEAD.checked_add(usize::try_from(marks).ok()?)?)
}

/// What a sealed frame is bound to: its place, and all that is not sealed and does not change.
#[cfg(feature = "redis")]
fn bound(place: &[u8], front: &[u8]) -> Vec<u8> {
    let length = (place.len() as u64).to_be_bytes();
    [&length, place, &front[..STATE.start], &front[STATE.end..SUM.start], &front[SUM.end..]].concat()
}

/// Decodes an entry. The body and the header values share the memory of `frame`.
///
/// # Errors
/// [`DecodeError`] for everything that [`encode`] did not write, whole and unchanged.
///
/// At work: [`encode`].
pub fn decode(frame: &Bytes) -> Result<(Entry, State), DecodeError> {
    decode_for(None, frame)
}

/// The same, for somebody who has the name that is most likely the entry's, and shares it then.
pub(crate) fn decode_for(name: Option<&Arc<str>>, frame: &Bytes) -> Result<(Entry, State), DecodeError> {
    let head = frame.get(..HEAD).ok_or(DecodeError::Truncated)?;
    if head[..3] != MAGIC {
        return Err(DecodeError::Foreign);
    }
    if head[3] != FRAME_VERSION {
        return Err(DecodeError::Version);
    }
    let state = State::parse(&head[STATE]).ok_or(DecodeError::Checksum)?;
    if head[SUM] != frame_sum(frame) {
        return Err(DecodeError::Checksum);
    }
    let length = |at: std::ops::Range<usize>| -> Option<usize> {
        usize::try_from(u32::from_be_bytes(head.get(at)?.try_into().ok()?)).ok()
    };
    let marks_len = length(MARKS_LENGTH).ok_or(DecodeError::Truncated)?;
    let meta_len = length(META_LENGTH).ok_or(DecodeError::Truncated)?;
    let blocks = &frame[HEAD..];
    let marks = blocks.get(..marks_len).ok_or(DecodeError::Truncated)?;
    let meta = blocks.get(marks_len..marks_len.saturating_add(meta_len)).ok_or(DecodeError::Truncated)?;
    let body = frame.slice(HEAD + marks_len + meta_len..);

    let meta: Meta<'_> = postcard::from_bytes(meta).map_err(|_| DecodeError::Malformed)?;
    let entry = Entry {
        stamp: decode_stamp(head).ok_or(DecodeError::Malformed)?,
        key: name.filter(|name| ***name == *meta.key).map_or_else(|| meta.key.into(), Arc::clone),
        marks: MarkList::of_block(marks).ok_or(DecodeError::Malformed)?,
        stored_at_ms: meta.stored_at_ms,
        life: from_ms(meta.life, meta.must_revalidate),
        payload: match meta.kind {
            Kind::Value => Payload::Value(body),
            Kind::Selector { names } => Payload::Selector(names.into_iter().map(Arc::from).collect()),
            Kind::Response { status, headers } => {
                let line = |(name, value): (&str, &[u8])| {
                    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                    Some((name, HeaderValue::from_maybe_shared(frame.slice_ref(value)).ok()?))
                };
                let headers: Option<Vec<_>> = headers.into_iter().map(line).collect();
                Payload::Response(StoredResponse { status, headers: headers.ok_or(DecodeError::Malformed)?, body })
            }
        },
    };
    Ok((entry, state))
}

fn decode_stamp(head: &[u8]) -> Option<Stamp> {
    let (incarnation, clock) = head.get(STAMP)?.split_at_checked(16)?;
    let incarnation = u64::from_str_radix(std::str::from_utf8(incarnation).ok()?, 16).ok()?;
    Some(Stamp { incarnation, clock: decimal(clock)? })
}

/// A number in decimal digits and nothing else, as scripts and frames write it; `parse` takes a sign as well. A hit in Redis reads
/// six of them, in 600 instructions less.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let fits = !digits.is_empty() && digits.len() < 20 && digits.iter().all(u8::is_ascii_digit);
    fits.then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
