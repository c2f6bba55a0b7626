//! Why a source has not answered.

use thiserror::Error;

/// Why a source of truth has not answered. Its text is for logs: keep values and credentials out of it.
///
/// ```
/// use cache_middleware::SourceError;
///
/// let late = SourceError::Unavailable("it has not answered within 5s".to_owned());
/// assert_eq!(late.to_string(), "the source cannot be reached: it has not answered within 5s");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is away, or late: the next question may be answered.
    #[error("the source cannot be reached: {0}")]
    Unavailable(String),
    /// It says no, and would again.
    #[error("the source refuses: {0}")]
    Refused(String),
    /// It cannot be asked that, and never could: something is missing in the program, or wrong.
    #[error("the source cannot be asked that: {0}")]
    Unsupported(String),
    /// It has answered with something that is no record, or with another one, or panicked.
    #[error("the source has answered something else: {0}")]
    Malformed(String),
}

impl SourceError {
    /// Whether what was known before may be answered instead: not against a source that says no.
    pub(crate) fn lets_stale_stand_in(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Unsupported(_))
    }
}
