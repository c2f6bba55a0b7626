//! Names of keys in Redis.
//!
//! All keys of one partition begin with the same hash tag, `{namespace:v3:partition}:`, so that a script touches one
//! slot of a cluster. No name is longer than 250 characters; what would be is cut and completed by a digest.

use std::borrow::Cow;

use crate::digest;
use crate::error::CacheError;
use crate::key::split_name;
use crate::store::{NAMESPACE_RULE, is_namespace};

/// The version of the layout: another version lives beside this one and shares nothing, its clears included.
const LAYOUT_VERSION: &str = "v3";

/// The most bytes of an entry's name in Redis: 250 less the longest prefix.
const MAX_MEMBER_BYTES: usize = 170;

#[derive(Debug, Clone)]
pub(super) struct Layout {
    namespace: String,
    /// The prefix of each partition.
    prefixes: Box<[Box<str>]>,
}

impl Layout {
    pub(super) fn new(namespace: &str, partitions: u16) -> Result<Self, CacheError> {
        if !is_namespace(namespace) {
            return Err(CacheError::Invalid(format!("{namespace:?} is not a namespace: {NAMESPACE_RULE}")));
        }
        if partitions == 0 {
            return Err(CacheError::Invalid("a store has at least 1 partition".to_owned()));
        }
        // Written once: each command names several keys.
        let prefix = |partition| format!("{{{namespace}:{LAYOUT_VERSION}:{partition}}}:").into();
        Ok(Self { namespace: namespace.to_owned(), prefixes: (0..partitions).map(prefix).collect() })
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = u16> + use<> {
        0..self.partition_count()
    }

    pub(super) fn partition_count(&self) -> u16 {
        u16::try_from(self.prefixes.len()).unwrap_or(u16::MAX)
    }

    /// All variants of a key are in one partition, so that the clock that is read for the one is that of the other.
    pub(super) fn partition_of(&self, name: &str) -> u16 {
        let count = self.partition_count();
        if count == 1 {
            return 0;
        }
        match split_name(name) {
            Some(parts) => digest::partition([parts.stem, parts.text], count),
            None => digest::partition([name], count),
        }
    }

    /// `{namespace:v3:partition}:`
    pub(super) fn prefix(&self, partition: u16) -> &str {
        self.prefixes.get(usize::from(partition)).map_or("", |prefix| prefix)
    }

    fn named(&self, partition: u16, parts: [&str; 2]) -> String {
        [self.prefix(partition), parts[0], parts[1]].concat()
    }

    pub(super) fn fence(&self, partition: u16) -> String {
        self.named(partition, ["f", ""])
    }

    /// The entry of a member.
    pub(super) fn entry(&self, partition: u16, member: &str) -> String {
        self.named(partition, ["e:", member])
    }

    /// The open jobs of the sweep.
    pub(super) fn jobs(&self, partition: u16) -> String {
        self.named(partition, ["x", ""])
    }

    /// The marks of the index sets that have members.
    pub(super) fn index_sets(&self, partition: u16) -> String {
        self.named(partition, ["r", ""])
    }

    /// The index set of a mark.
    pub(super) fn index_set(&self, partition: u16, mark: &str) -> String {
        self.named(partition, ["t:", mark])
    }

    /// What a tenant has, by its mark.
    pub(super) fn tenant_bytes(&self, partition: u16, mark: &str) -> String {
        self.named(partition, ["y:", mark])
    }

    /// What is set aside of a queue.
    pub(super) fn set_aside(&self, partition: u16, queue: &str) -> String {
        self.named(partition, ["p:", queue])
    }

    /// The channel of a partition's signals.
    pub(super) fn channel(&self, partition: u16) -> String {
        self.named(partition, ["c", ""])
    }

    /// The channel on which one node is told what is for it alone.
    pub(super) fn node_channel(&self, partition: u16, node: &str) -> String {
        self.named(partition, ["c:", node])
    }

    /// Remembers the number of partitions, which cannot change under a namespace. Every layout has a partition 0.
    pub(super) fn meta(&self) -> String {
        self.named(0, ["partitions", ""])
    }

    /// The name of an entry in Redis and in the index sets.
    pub(super) fn member(name: &str) -> Cow<'_, str> {
        digest::bounded(name, MAX_MEMBER_BYTES).map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// Whether a member is a cut name, of which only the entry itself holds the whole.
    pub(super) fn is_cut(member: &str) -> bool {
        member.starts_with('#')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_longer_than_250_characters() {
        let layout = Layout::new(&"n".repeat(64), u16::MAX).unwrap();
        let prefix = layout.prefix(u16::MAX - 1);
        let name = "x".repeat(8_000);
        let member = Layout::member(&name);
        assert!(prefix.len() + "e:".len() + member.len() <= 250);
        // "d:", 16 digits, ":", and the longest mark.
        assert!(prefix.len() + 2 + 16 + 1 + 150 <= 250);
    }

    #[test]
    fn bad_namespaces_are_refused() {
        for bad in ["", "a b", "a{b", "ü", &"n".repeat(65)] {
            assert!(Layout::new(bad, 1).is_err(), "{bad}");
        }
        assert!(Layout::new("app", 0).is_err());
    }
}
