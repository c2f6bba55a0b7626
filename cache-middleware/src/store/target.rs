//! What clears are aimed at, and its bytes for those who carry them out later.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::key::Key;
use crate::pattern::Pattern;
use crate::tag::{Mark, Tag};
use crate::tenant::Tenant;

/// What a clear or an expire is aimed at.
///
/// ```
/// use cache_middleware::store::Target;
/// use cache_middleware::{Tag, Tenant};
///
/// # fn main() -> Result<(), cache_middleware::CacheError> {
/// assert_eq!(Target::Tag(Some(Tenant::new("acme")?), Tag::new("teacher:7")?).to_string(), "tag teacher:7 of tenant acme");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Every entry with a tag.
    Tag(Option<Tenant>, Tag),
    /// Every entry with a key: all its variants, whichever handler made them.
    Key(Option<Tenant>, String),
    /// Every entry of a route pattern.
    Route(Option<Tenant>, String),
    /// Every entry of a tenant.
    Tenant(Tenant),
    /// Every entry of a tenant (or of none) whose key text matches.
    Pattern(Option<Tenant>, Pattern),
    /// Every entry of the store.
    All,
}

impl Target {
    /// All that has the text of a key.
    pub(crate) fn of_key(key: &Key) -> Self {
        Self::Key(key.tenant().cloned(), key.text().to_owned())
    }

    /// The mark of it; `None` for patterns and all, which are no single mark.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self {
            Self::Tag(tenant, tag) => Some(Mark::tag(tenant.as_ref(), tag)),
            Self::Key(tenant, text) => Some(Mark::key(tenant.as_ref(), text, true)),
            Self::Route(tenant, pattern) => Some(Mark::route(tenant.as_ref(), pattern)),
            Self::Tenant(tenant) => Some(Mark::tenant(tenant)),
            Self::Pattern(..) | Self::All => None,
        }
    }
}

impl fmt::Display for Target {
    /// For people who watch: `tag teacher:7`, `key menu of tenant acme`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (owner, what) = match self {
            Self::Tag(tenant, tag) => (tenant, format!("tag {tag}")),
            Self::Key(tenant, text) => (tenant, format!("key {text:?}")),
            Self::Route(tenant, pattern) => (tenant, format!("route {pattern}")),
            Self::Pattern(tenant, pattern) => (tenant, format!("pattern {pattern}")),
            Self::Tenant(tenant) => return write!(f, "tenant {tenant}"),
            Self::All => return f.write_str("all"),
        };
        f.write_str(&what)?;
        match owner {
            Some(tenant) => write!(f, " of tenant {tenant}"),
            None => Ok(()),
        }
    }
}

/// Targets as bytes.
pub(crate) fn encode_targets(targets: &[Target]) -> Vec<u8> {
    let stored: Vec<StoredTarget> = targets.iter().map(StoredTarget::of).collect();
    // Serialising plain data into memory cannot fail.
    postcard::to_allocvec(&stored).unwrap_or_default()
}

/// The targets in such bytes; `None` if they are something else.
pub(crate) fn decode_targets(bytes: &[u8]) -> Option<Vec<Target>> {
    let stored: Vec<StoredTarget> = postcard::from_bytes(bytes).ok()?;
    stored.into_iter().map(StoredTarget::target).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_survives_the_way() {
        let tenant = Tenant::new("acme").ok();
        let targets = [
            Target::Tag(tenant.clone(), Tag::new("t:1").unwrap()),
            Target::Key(None, "a key".to_owned()),
            Target::Route(tenant.clone(), "/rooms/{id}".to_owned()),
            Target::Tenant(Tenant::new("acme").unwrap()),
            Target::Pattern(tenant, Pattern::new("a*").unwrap()),
            Target::All,
        ];
        let bytes = encode_targets(&targets);
        assert_eq!(decode_targets(&bytes).as_deref(), Some(&targets[..]));
        for cut in 1..bytes.len() {
            assert_eq!(decode_targets(&bytes[..cut]), None, "cut to {cut}");
        }
    }
}
