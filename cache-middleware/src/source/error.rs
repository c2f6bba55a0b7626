//! Why a source has not answered.

use thiserror::Error;

/// Why a source of truth has not answered. Its text is for logs: keep values and credentials out of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is away, or late: the next question may be answered.
    #[error("the source cannot be reached: {0}")]
    Unavailable(String),
    /// It says no, and would again.
    #[error("the source refuses: {0}")]
    Refused(String),
    /// It has answered with something that is no record.
    #[error("the source has answered something else: {0}")]
    Malformed(String),
}
