//! What a sink is given: the changes of a batch, those of one key made one.

use std::collections::HashMap;

use serde::de::DeserializeOwned;

use super::sink::SinkError;
use crate::key::split_name;
use crate::store::{Change, Queued, Target};
use crate::tenant::{self, Tenant};

/// Changes to write to their source, in one transaction if it has such a thing.
///
/// At work: [`crate::WriteBehind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    queue: String,
    done: u64,
    after: u64,
    upto: u64,
    writes: Vec<Write>,
}

/// What is to be written under a key.
///
/// At work: [`crate::WriteBehind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    tenant: Option<Tenant>,
    key: String,
    change: Change,
}

impl Batch {
    /// Of changes that can all be read, in their order: what is between two numbers, for a sink that is at a position.
    pub(super) fn of(queue: &str, (done, upto): (u64, u64), after: u64, changes: &[Queued]) -> Self {
        Self { queue: queue.to_owned(), done, after, upto, writes: coalesced(changes) }
    }

    /// The same for every attempt at the same changes, and for no others: an idempotency key for a source that knows such keys.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{}-{}", self.queue, self.done, self.upto)
    }

    /// The name of the queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The position before it: what [`super::Sink::position`] said, or else where the last batch ended.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }

    /// The position after it, which a sink records that writes exactly once; larger than [`Self::after`], and never more than
    /// [`i64::MAX`].
    #[must_use]
    pub fn upto(&self) -> u64 {
        self.upto
    }

    /// What is to be written. Changes of one key are one write where they can be: the newest value, or the sum. Only where a value
    /// comes first and amounts after it, there are two, in this order. There are none where a sink that keeps its position is only to
    /// move it: over a change that it has rejected.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }
}

impl Write {
    pub(super) fn of(name: &str, change: Change) -> Self {
        let parts = split_name(name);
        let tenant = parts.and_then(|parts| tenant::of_frame(parts.tenant));
        Self { tenant, key: parts.map_or(name, |parts| parts.text).to_owned(), change }
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_ref().map(Tenant::as_str)
    }

    /// What is cleared of a key.
    pub(super) fn target_of(name: &str) -> Target {
        let write = Self::of(name, Change::Add(0));
        Target::Key(write.tenant, write.key)
    }

    pub(super) fn owner(&self) -> Option<Tenant> {
        self.tenant.clone()
    }

    /// Its key, as it was put.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value to write.
    ///
    /// # Errors
    /// [`SinkError::Rejected`] if it is no value, or none of this type: such a write can never succeed.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, SinkError> {
        match &self.change {
            Change::Put(bytes) => serde_json::from_slice(bytes).map_err(|error| {
                SinkError::Rejected(format!("{:?} is not what was expected{}", self.key, place(&error)))
            }),
            Change::Add(_) => Err(SinkError::Rejected(format!("{:?} has an amount, and no value", self.key))),
        }
    }

    /// By how much to add, if it is an amount.
    #[must_use]
    pub fn amount(&self) -> Option<i64> {
        match self.change {
            Change::Add(amount) => Some(amount),
            Change::Put(_) => None,
        }
    }
}

/// Where a value is not what was expected: never what it is.
pub(super) fn place(error: &serde_json::Error) -> String {
    format!(" ({:?} at line {}, column {})", error.classify(), error.line(), error.column())
}

/// Changes of one key made one, at the place of the last.
fn coalesced(changes: &[Queued]) -> Vec<Write> {
    let mut writes: Vec<Option<(&str, Change)>> = Vec::with_capacity(changes.len());
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for Queued { key, change, .. } in changes {
        let Ok(change) = change else { continue };
        let earlier = places.entry(key).or_default();
        let mut change = change.clone();
        match &mut change {
            Change::Put(_) => {
                for place in earlier.drain(..) {
                    writes[place] = None;
                }
            }
            Change::Add(amount) => {
                let before = earlier.last().copied().and_then(|place| match &writes[place] {
                    Some((_, Change::Add(before))) => Some((place, *before)),
                    _ => None,
                });
                // Beyond what a number holds they stay two.
                if let Some((place, before)) = before
                    && let Some(sum) = before.checked_add(*amount)
                {
                    *amount = sum;
                    writes[place] = None;
                    earlier.pop();
                }
            }
        }
        earlier.push(writes.len());
        writes.push(Some((key, change)));
    }
    writes.into_iter().flatten().map(|(key, change)| Write::of(key, change)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(number: u64, key: &str, change: Change) -> Queued {
        Queued { number, key: format!("-/v/{key}"), change: Ok(change) }
    }

    fn put(text: &str) -> Change {
        Change::Put(serde_json::to_vec(text).unwrap().into())
    }

    #[test]
    fn changes_of_a_key_are_one_where_they_can_be() {
        let changes = [
            queued(1, "a", put("old")),
            queued(2, "n", Change::Add(2)),
            queued(3, "b", put("b")),
            queued(4, "a", Change::Add(1)),
            queued(5, "a", put("new")),
            queued(6, "n", Change::Add(-5)),
            queued(7, "a", Change::Add(4)),
            queued(8, "a", Change::Add(4)),
        ];
        let batch = Batch::of("q", (0, 8), 0, &changes);
        let shown: Vec<String> = batch
            .writes()
            .iter()
            .map(|write| match write.amount() {
                Some(amount) => format!("{}{amount:+}", write.key()),
                None => format!("{}={}", write.key(), write.value::<String>().unwrap()),
            })
            .collect();
        assert_eq!(shown, ["b=b", "a=new", "n-3", "a+8"]);
        assert_eq!((batch.id().as_str(), batch.upto()), ("q:0-8", 8));
    }

    #[test]
    fn sums_do_not_wrap() {
        let changes = [queued(1, "n", Change::Add(i64::MAX)), queued(2, "n", Change::Add(1))];
        let amounts: Vec<_> = Batch::of("q", (0, 2), 0, &changes).writes().iter().map(Write::amount).collect();
        assert_eq!(amounts, [Some(i64::MAX), Some(1)]);
    }

    /// What is written is nobody's to see in a log.
    #[test]
    fn r15_values_are_not_shown() {
        let write = Write::of("-/v/a", put("hunter2"));
        let refused = write.value::<u64>().unwrap_err().to_string();
        assert!(refused.contains("\"a\" is not what was expected (Data at line 1"), "{refused}");
        assert!(!refused.contains("hunter2") && !format!("{write:?}").contains("hunter2"), "{write:?}");
    }

    #[test]
    fn a_write_knows_its_tenant() {
        let write = Write::of("4:acme/v/a/b", Change::Add(1));
        assert_eq!((write.tenant(), write.key()), (Some("acme"), "a/b"));
    }
}
