//! Records of the journal's file, to bytes and back.

use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;
use crate::store::Target;
use crate::tag::Tag;
use crate::tenant::Tenant;

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
    Clear { number: u64, targets: Vec<StoredTarget> },
    Acknowledged { up_to: u64 },
}

#[derive(Serialize, Deserialize)]
enum StoredTarget {
    Tag(Option<String>, String),
    Key(Option<String>, String),
    Route(Option<String>, String),
    Tenant(String),
    Pattern(Option<String>, String),
    All,
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = match self {
            Self::Clear { number, targets } => {
                Stored::Clear { number: *number, targets: targets.iter().map(StoredTarget::of).collect() }
            }
            Self::Acknowledged { up_to } => Stored::Acknowledged { up_to: *up_to },
        };
        // Serialising plain data into memory cannot fail.
        postcard::to_allocvec(&stored).unwrap_or_default()
    }

    /// `None` if the bytes are no record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match postcard::from_bytes(bytes).ok()? {
            Stored::Acknowledged { up_to } => Self::Acknowledged { up_to },
            Stored::Clear { number, targets } => {
                let targets = targets.into_iter().map(StoredTarget::target).collect::<Option<_>>()?;
                Self::Clear { number, targets }
            }
        })
    }
}

impl StoredTarget {
    fn of(target: &Target) -> Self {
        let name = |tenant: &Option<Tenant>| tenant.as_ref().map(|tenant| tenant.as_str().to_owned());
        match target {
            Target::Tag(tenant, tag) => Self::Tag(name(tenant), tag.as_str().to_owned()),
            Target::Key(tenant, text) => Self::Key(name(tenant), text.clone()),
            Target::Route(tenant, pattern) => Self::Route(name(tenant), pattern.clone()),
            Target::Tenant(tenant) => Self::Tenant(tenant.as_str().to_owned()),
            Target::Pattern(tenant, pattern) => Self::Pattern(name(tenant), pattern.to_string()),
            Target::All => Self::All,
        }
    }

    fn target(self) -> Option<Target> {
        let tenant = |name: Option<String>| match name {
            Some(name) => Tenant::new(&name).ok().map(Some),
            None => Some(None),
        };
        Some(match self {
            Self::Tag(name, tag) => Target::Tag(tenant(name)?, Tag::new(&tag).ok()?),
            Self::Key(name, text) => Target::Key(tenant(name)?, text),
            Self::Route(name, pattern) => Target::Route(tenant(name)?, pattern),
            Self::Tenant(name) => Target::Tenant(Tenant::new(&name).ok()?),
            Self::Pattern(name, pattern) => Target::Pattern(tenant(name)?, Pattern::new(&pattern).ok()?),
            Self::All => Target::All,
        })
    }
}
