//! The tag index of the embedded store.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::entry::Entry;
use crate::key::ScopedPattern;
use crate::store::Target;

/// Names of entries, ordered by the store time at which they expire.
pub(super) type Members = BTreeSet<(u64, Arc<str>)>;

/// The mark of the tenant that has an entry.
pub(super) fn tenant_of(entry: &Entry) -> Option<&str> {
    entry.marks.iter().map(|mark| mark.id).find(|id| id.starts_with("n/"))
}

/// Mark id → the entries that have it.
#[derive(Debug, Default)]
pub(super) struct Index {
    sets: HashMap<Arc<str>, Members>,
    /// What the sets take, beside their members.
    weight: usize,
}

/// What a set costs that has one member, beside its name and what [`super::state`] counts of an entry's marks.
const SET_OVERHEAD: usize = 320;

impl Index {
    pub(super) fn add(&mut self, mark: &str, expires_ms: u64, name: &Arc<str>) {
        let place = (expires_ms, name.clone());
        match self.sets.get_mut(mark) {
            Some(members) => drop(members.insert(place)),
            None => {
                self.sets.insert(mark.into(), Members::from([place]));
                self.weight += SET_OVERHEAD + mark.len();
            }
        }
    }

    pub(super) fn remove(&mut self, mark: &str, expires_ms: u64, name: &Arc<str>) {
        if let Some(members) = self.sets.get_mut(mark) {
            members.remove(&(expires_ms, name.clone()));
            if members.is_empty() {
                self.take(mark);
            }
        }
    }

    /// Takes the whole set away, in constant time.
    pub(super) fn take(&mut self, mark: &str) -> Members {
        let taken = self.sets.remove(mark);
        self.weight -= taken.as_ref().map_or(0, |_| SET_OVERHEAD + mark.len());
        taken.unwrap_or_default()
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn members(&self, mark: &str) -> impl Iterator<Item = &(u64, Arc<str>)> {
        self.sets.get(mark).into_iter().flatten()
    }

    pub(super) fn count(&self, mark: &str) -> usize {
        self.sets.get(mark).map_or(0, BTreeSet::len)
    }

    /// Some marks, and how many entries each has.
    pub(super) fn sizes(&self, most: usize) -> impl Iterator<Item = (String, u64)> {
        self.sets.iter().take(most).map(|(mark, members)| (mark.to_string(), members.len() as u64))
    }

    /// The first member after a place, in the set's own order.
    pub(super) fn after(&self, mark: &str, place: Option<&(u64, Arc<str>)>) -> Option<(u64, Arc<str>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let members = self.sets.get(mark)?;
        members.range((place.map_or(Unbounded, Excluded), Unbounded)).next().cloned()
    }

    pub(super) fn total(&self) -> usize {
        self.sets.values().map(BTreeSet::len).sum()
    }
}

/// Marks whose fills are refused, and until when in store time.
#[derive(Debug, Default)]
pub(super) struct Holds {
    until: HashMap<Arc<str>, u64>,
}

impl Holds {
    /// Refuses fills of what has a mark of the targets, for a time.
    pub(super) fn add(&mut self, targets: &[Target], now_ms: u64, for_ms: u64) {
        self.until.retain(|_, until| now_ms < *until);
        for mark in targets.iter().filter_map(Target::mark).filter(|_| for_ms > 0) {
            let until = self.until.entry(mark.id).or_default();
            *until = now_ms.saturating_add(for_ms).max(*until);
        }
    }

    pub(super) fn refuse(&self, mark: &str, now_ms: u64) -> bool {
        self.until.get(mark).is_some_and(|until| now_ms < *until)
    }
}

/// When something was cleared: mark id → clock and store time.
#[derive(Debug, Default)]
pub(super) struct Marks {
    newest: HashMap<Arc<str>, (u64, u64)>,
    /// (clock, store time, mark id), oldest first; holds older rows of a mark that was set again.
    order: VecDeque<(u64, u64, Arc<str>)>,
}

impl Marks {
    pub(super) fn set(&mut self, mark: Arc<str>, clock: u64, now_ms: u64) {
        self.newest.insert(mark.clone(), (clock, now_ms));
        self.order.push_back((clock, now_ms, mark));
    }

    pub(super) fn newer_than(&self, mark: &str, clock: u64) -> bool {
        self.set_after(mark, clock).is_some()
    }

    /// The store time of a mark that is newer than a clock.
    pub(super) fn set_after(&self, mark: &str, clock: u64) -> Option<u64> {
        self.newest.get(mark).filter(|(marked, _)| *marked > clock).map(|(_, at_ms)| *at_ms)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Forgets marks that are older than `before` on the clock and in time, and returns the newest clock forgotten.
    pub(super) fn forget(&mut self, before: u64, before_ms: u64) -> Option<u64> {
        let mut newest = None;
        while let Some((clock, at_ms, _)) = self.order.front() {
            if *clock >= before || *at_ms >= before_ms {
                break;
            }
            if let Some((clock, _, mark)) = self.order.pop_front()
                && self.newest.get(&mark).is_some_and(|(newest, _)| *newest == clock)
            {
                self.newest.remove(&mark);
                newest = Some(clock);
            }
        }
        newest
    }
}

/// A clear or expire whose entries have not all been visited.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) clock: u64,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    Drop(Members),
    Expire { mark: Arc<str>, at_ms: u64, place: Option<(u64, Arc<str>)> },
    Scan { pattern: Option<ScopedPattern>, place: Option<Arc<str>> },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_sets_weigh_as_long_as_they_have_members() {
        let (mut index, name) = (Index::default(), Arc::<str>::from("entry"));
        for mark in ["t/-/a", "t/-/b", "t/-/a"] {
            index.add(mark, 1, &name);
        }
        assert_eq!(index.weight(), 2 * (SET_OVERHEAD + 5));
        index.remove("t/-/a", 1, &name);
        assert_eq!(index.take("t/-/b").len(), 1);
        assert_eq!((index.take("t/-/c").len(), index.weight()), (0, 0));
    }
}
