//! What is found when health is checked.

use std::fmt;

use serde::Serialize;

use crate::outcome::tokens;

tokens! {
    /// How the cache is.
    #[derive(PartialOrd, Ord, Default, Serialize)]
    #[serde(rename_all = "lowercase")]
    pub HealthVerdict {
        /// Nobody has checked yet.
        #[default]
        Unknown = "unknown",
        /// As it should be.
        Healthy = "healthy",
        /// It works, and somebody should look.
        Degraded = "degraded",
        /// It is of little use, or something is wrong that must not be.
        Unhealthy = "unhealthy",
    }
}

impl HealthVerdict {
    /// What the metrics have for it; `None` if there is nothing to tell.
    pub(super) const fn number(self) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::Healthy => Some(0),
            Self::Degraded => Some(1),
            Self::Unhealthy => Some(2),
        }
    }
}

tokens! {
    /// Why the cache is not healthy.
    #[derive(PartialOrd, Ord)]
    #[non_exhaustive]
    pub HealthReason {
        /// The store, or a part of it, cannot be reached.
        StoreAway = "store-away",
        /// The store fails or is slow, and is not asked.
        BreakerOpen = "breaker-open",
        /// The Redis Cluster does not serve all slots.
        ClusterDown = "cluster-down",
        /// Hits differ from what their handlers say now, and nothing excuses it.
        Difference = "difference",
        /// Critical data may be old.
        CriticalData = "critical-data",
        /// Clears wait for the store.
        Journal = "journal",
        /// This node does not hear of clears, and serves nothing from L1 meanwhile.
        CoherenceClosed = "coherence-closed",
        /// Too many commands to the store fail.
        ErrorRate = "error-rate",
        /// The store is slow.
        StoreLatency = "store-latency",
        /// The store is nearly full.
        StoreMemory = "store-memory",
        /// Too few look-ups find something.
        HitRate = "hit-rate",
        /// Too few look-ups of a type of data find something: its target is not met.
        TypeHitRate = "type-hit-rate",
    }
}

impl HealthReason {
    /// The unit of its number.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::StoreAway => " % connected",
            Self::BreakerOpen => " % broken",
            Self::ClusterDown => " masters",
            Self::Difference => " differences",
            Self::CriticalData => " s",
            Self::Journal => " clears",
            Self::CoherenceClosed => " % open",
            Self::ErrorRate | Self::StoreMemory | Self::HitRate | Self::TypeHitRate => " %",
            Self::StoreLatency => " ms",
        }
    }
}

/// Something that is not as it should be.
///
/// At work: [`crate::Health`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// What.
    pub reason: HealthReason,
    /// Of which type of data, if it is about one.
    pub subject: Option<String>,
    /// How bad it makes the verdict.
    pub verdict: HealthVerdict,
    /// The number, in the unit of the reason.
    pub value: f64,
    /// The limit that it is past.
    pub limit: f64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.token())?;
        if let Some(subject) = &self.subject {
            write!(f, " of {subject}")?;
        }
        let rounded = |value: f64| (value * 10.0).round() / 10.0;
        write!(f, ": {}{} (limit {})", rounded(self.value), self.reason.unit(), rounded(self.limit))
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Finding", 6)?;
        fields.serialize_field("reason", self.reason.token())?;
        fields.serialize_field("subject", &self.subject)?;
        fields.serialize_field("verdict", &self.verdict)?;
        fields.serialize_field("value", &self.value)?;
        fields.serialize_field("limit", &self.limit)?;
        fields.serialize_field("text", &self.to_string())?;
        fields.end()
    }
}
