//! The words a verdict may use (promise P11): the same in `Cache-Status`, logs and tests.

mod reason;
mod tokens;
mod verdict;

use std::fmt;

pub use self::reason::{BypassReason, RefusalReason, TimeLimit};
pub(crate) use self::tokens::tokens;
pub use self::verdict::Verdict;

tokens! {
    /// Why a request went to the handler, in the words of RFC 9211 section 2.2 (`fwd`).
    ///
    /// At work: [`Outcome`].
    #[non_exhaustive]
    pub Forward {
        /// Not looked up.
        Bypass = "bypass",
        /// The method is not one that is cached.
        Method = "method",
        /// No entry for the key.
        UriMiss = "uri-miss",
        /// There are entries for the target, but none for these request headers.
        VaryMiss = "vary-miss",
        /// There is an entry, but it is stale.
        Stale = "stale",
        /// There is a fresh entry, but the request does not want it as old as it is, or the caller shows credentials and the
        /// entry is not for everybody.
        Request = "request",
    }
}

tokens! {
    /// Where an entry was found, in the words of `detail`.
    ///
    /// At work: [`Outcome`].
    pub Tier {
        /// In the memory of this node.
        L1 = "l1",
        /// In the store.
        L2 = "l2",
    }
}

/// What became of a request, each with its reason.
///
/// ```
/// use cache_middleware::outcome::{Forward, Outcome, RefusalReason, Tier};
///
/// let hit = Outcome::Hit { ttl: 58, tier: Tier::L1 };
/// assert_eq!(hit.to_string(), "hit; ttl=58; detail=l1");
/// assert_eq!((hit.verdict().outcome, hit.verdict().tier), ("hit", "l1"));
/// let refused = Outcome::Refused { forward: Forward::UriMiss, reason: RefusalReason::Status };
/// assert_eq!(refused.to_string(), "fwd=uri-miss; detail=status");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Answered from an entry that is fresh for `ttl` more seconds, or has been stale for so many if it is negative.
    Hit {
        /// Seconds of freshness left.
        ttl: i64,
        /// Where it was.
        tier: Tier,
    },
    /// Answered by the handler, and stored.
    Stored {
        /// Why it was not a hit.
        forward: Forward,
    },
    /// Answered from a stale entry that the handler has confirmed with a 304.
    Revalidated {
        /// Why it was not a hit.
        forward: Forward,
        /// Why the confirmed entry was not stored, if it was not.
        refused: Option<RefusalReason>,
    },
    /// Answered from a stale entry, because the handler failed (RFC 5861 section 4).
    StaleIfError {
        /// The status that the handler failed with, if it has one.
        status: Option<u16>,
    },
    /// Answered from a stale entry, because the handler failed a moment ago and is not tried again yet.
    BackedOff {
        /// Seconds of freshness left, below 0.
        ttl: i64,
    },
    /// Answered from a stale entry, because the handler took too long; it goes on in the background.
    StaleIfSlow {
        /// Which limit was over.
        limit: TimeLimit,
    },
    /// Refused with a 504: the handler took longer than the hard timeout, and there is nothing stale to serve.
    TimedOut {
        /// Why it was not a hit.
        forward: Forward,
    },
    /// Refused with a 504: the request wants a stored response or none (`only-if-cached`).
    OnlyIfCached,
    /// Answered by the handler run of another request that was already on its way.
    Collapsed {
        /// Why it was not a hit.
        forward: Forward,
    },
    /// Answered by the handler, and not stored.
    Refused {
        /// Why it was not a hit.
        forward: Forward,
        /// Why it was not stored.
        reason: RefusalReason,
    },
    /// Only looked up, and there is nothing to answer with.
    Absent {
        /// Why it was not a hit.
        forward: Forward,
    },
    /// Passed to the handler without a look-up.
    Bypass {
        /// Why.
        reason: BypassReason,
    },
    /// Passed to the handler because of its method.
    Method,
}

impl Outcome {
    /// Whether the answer was in the cache, fresh or stale.
    #[must_use]
    pub const fn is_from_cache(&self) -> bool {
        matches!(self, Self::Hit { .. } | Self::BackedOff { .. } | Self::StaleIfError { .. } | Self::StaleIfSlow { .. })
    }

    /// Whether the answer was a stored one that is stale.
    pub(crate) const fn is_stale(&self) -> bool {
        match self {
            Self::Hit { ttl, .. } => *ttl < 0,
            _ => self.is_from_cache(),
        }
    }

    /// Why it was not a hit, of one that was looked up and not stored; a bypass for any other.
    pub(crate) fn forward(&self) -> Forward {
        match self {
            Self::Refused { forward, .. } => *forward,
            _ => Forward::Bypass,
        }
    }
}

impl fmt::Display for Outcome {
    /// The parameters of the `Cache-Status` member (RFC 9211), without the cache's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit { ttl, tier } => write!(f, "hit; ttl={ttl}; detail={}", tier.token()),
            Self::Stored { forward } => write!(f, "fwd={}; stored", forward.token()),
            Self::Revalidated { forward, refused: None } => {
                write!(f, "fwd={}; fwd-status=304; stored", forward.token())
            }
            Self::Revalidated { forward, refused: Some(reason) } => {
                write!(f, "fwd={}; fwd-status=304; detail={reason}", forward.token())
            }
            Self::StaleIfError { status: Some(status) } => {
                write!(f, "fwd=stale; fwd-status={status}; detail=stale-if-error")
            }
            Self::StaleIfError { status: None } => f.write_str("fwd=stale; detail=stale-if-error"),
            Self::BackedOff { ttl } => write!(f, "hit; ttl={ttl}; detail=back-off"),
            Self::StaleIfSlow { limit } => write!(f, "fwd=stale; detail={limit}"),
            Self::TimedOut { forward } => write!(f, "fwd={}; detail={}", forward.token(), TimeLimit::Hard),
            Self::OnlyIfCached => f.write_str("detail=only-if-cached"),
            Self::Collapsed { forward } => write!(f, "fwd={}; collapsed", forward.token()),
            Self::Refused { forward, reason } => write!(f, "fwd={}; detail={reason}", forward.token()),
            Self::Absent { forward } => write!(f, "fwd={}", forward.token()),
            Self::Bypass { reason } => write!(f, "fwd=bypass; detail={reason}"),
            Self::Method => write!(f, "fwd={}", Forward::Method.token()),
        }
    }
}
