//! Records of the journal's file, to bytes and back.

use serde::{Deserialize, Serialize};

use crate::store::{Target, decode_targets, encode_targets};

/// What is appended to the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// Clears that wait.
    Clear { number: u64, targets: Vec<Target> },
    /// All clears up to a number have been acknowledged.
    Acknowledged { up_to: u64 },
}

#[derive(Serialize, Deserialize)]
enum Stored {
    Clear { number: u64, targets: Vec<u8> },
    Acknowledged { up_to: u64 },
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = match self {
            Self::Clear { number, targets } => Stored::Clear { number: *number, targets: encode_targets(targets) },
            Self::Acknowledged { up_to } => Stored::Acknowledged { up_to: *up_to },
        };
        // Serialising plain data into memory cannot fail.
        postcard::to_allocvec(&stored).unwrap_or_default()
    }

    /// `None` if the bytes are no record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match postcard::from_bytes(bytes).ok()? {
            Stored::Acknowledged { up_to } => Self::Acknowledged { up_to },
            Stored::Clear { number, targets } => Self::Clear { number, targets: decode_targets(&targets)? },
        })
    }
}
