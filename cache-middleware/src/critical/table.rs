//! What a critical cache holds: read without a lock, changed by one at a time.
//!
//! A record may become known in three ways: by a message, by asking for it, by loading everything. The answer to a question holds
//! what was committed before it was asked. So what was told *while* it was under way is compared by its version, and
//! anything else that is held gives way to the answer: the source is right, even if it was restored and counts from lower numbers.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use lru::LruCache;

use crate::source::Record;

/// How many removed records are remembered, so that a late message does not bring one back.
const REMOVED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// How many records are asked for one by one: if more are doubtful, all are loaded.
const MOST_DOUBTFUL: usize = 1_000;

#[derive(Debug, Clone)]
struct Held<V> {
    value: V,
    version: u64,
    /// When it was told, in the order of what was told.
    at: u64,
}

type Records<K, V> = papaya::HashMap<K, Held<V>>;

/// The records, and what is known of them.
pub(super) struct Table<K, V> {
    /// The most of them.
    most: usize,
    records: ArcSwap<Records<K, V>>,
    writer: Mutex<Writer<K>>,
}

struct Writer<K> {
    /// Counts what is told.
    told: u64,
    /// Removed records: the version of the removal, and when it was told.
    removed: LruCache<K, (u64, u64)>,
    /// Records that have changed in a way that is not known, and when that was told.
    doubtful: HashMap<K, u64>,
    /// When it was told last that anything may have changed.
    all_doubtful: Option<u64>,
}

/// What is in doubt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Doubt<K> {
    Nothing,
    Some(Vec<K>),
    All,
}

/// A question to the source: whatever is told from now on may not be in the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question(u64);

impl<K, V> Table<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    pub(super) fn new(most: usize) -> Self {
        let writer =
            Writer { told: 0, removed: LruCache::new(REMOVED), doubtful: HashMap::new(), all_doubtful: Some(0) };
        Self { most, records: ArcSwap::from_pointee(Records::new()), writer: Mutex::new(writer) }
    }

    fn write(&self) -> MutexGuard<'_, Writer<K>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `with` makes of a value, if there is one.
    pub(super) fn read<R>(&self, key: &K, with: impl FnOnce(&V) -> R) -> Option<R> {
        let records = self.records.load();
        records.pin().get(key).map(|held| with(&held.value))
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn len(&self) -> usize {
        self.records.load().len()
    }

    pub(super) fn all(&self) -> Vec<(K, V)> {
        let records = self.records.load();
        let records = records.pin();
        records.iter().map(|(key, held)| (key.clone(), held.value.clone())).collect()
    }

    /// A value is told, or that there is none any more. `false` if it cannot be known whether it is newer than what is held, or there is
    /// no room for it.
    pub(super) fn tell(&self, key: &K, version: u64, value: Option<V>) -> bool {
        let mut writer = self.write();
        let records = self.records.load();
        let records = records.pin();
        let known = records.get(key).map(|held| held.version);
        if known == Some(0) {
            return false;
        }
        let known = known.max(writer.removed.peek(key).map(|(version, _)| *version));
        if known.is_some_and(|known| version <= known) {
            return true;
        }
        writer.told += 1;
        let at = writer.told;
        match value {
            // One more than may be held. A load says so, and until then nobody takes this for complete.
            Some(_) if records.len() >= self.most && !records.contains_key(key) => {
                writer.all_doubtful = Some(at);
                return false;
            }
            Some(value) => {
                records.insert(key.clone(), Held { value, version, at });
                writer.removed.pop(key);
            }
            None => {
                records.remove(key);
                writer.removed.put(key.clone(), (version, at));
            }
        }
        true
    }

    /// A record has changed, and nobody knows how.
    pub(super) fn doubt(&self, key: &K) {
        let mut writer = self.write();
        writer.told += 1;
        let at = writer.told;
        writer.doubtful.insert(key.clone(), at);
        if writer.doubtful.len() > MOST_DOUBTFUL {
            writer.doubtful.clear();
            writer.all_doubtful = Some(at);
        }
    }

    /// Anything may have changed.
    pub(super) fn doubt_all(&self) {
        let mut writer = self.write();
        writer.told += 1;
        writer.all_doubtful = Some(writer.told);
    }

    pub(super) fn doubts(&self, most: usize) -> Doubt<K> {
        let writer = self.write();
        if writer.all_doubtful.is_some() {
            Doubt::All
        } else if writer.doubtful.is_empty() {
            Doubt::Nothing
        } else {
            Doubt::Some(writer.doubtful.keys().take(most).cloned().collect())
        }
    }

    /// Does something if nothing is in doubt, and nothing comes to be while it is done.
    pub(super) fn if_certain(&self, act: impl FnOnce()) {
        let writer = self.write();
        if writer.all_doubtful.is_none() && writer.doubtful.is_empty() {
            act();
        }
    }

    /// Before the source is asked.
    pub(super) fn ask(&self) -> Question {
        Question(self.write().told)
    }

    /// What the source has said of some records: those that are not among the answers are gone.
    pub(super) fn answer(&self, asked: Question, keys: &[K], answers: Vec<Record<K, V>>) {
        let mut found: HashMap<K, Record<K, V>> =
            answers.into_iter().map(|record| (record.key.clone(), record)).collect();
        for key in keys {
            let _ = self.answer_one(asked, key, found.remove(key));
        }
    }

    /// What the source has said of a record; gives what is known of it then.
    pub(super) fn answer_one(&self, asked: Question, key: &K, answer: Option<Record<K, V>>) -> Option<V> {
        let mut writer = self.write();
        let records = self.records.load();
        let records = records.pin();
        let held = records.get(key);
        if writer.doubtful.get(key).is_some_and(|at| *at <= asked.0) {
            writer.doubtful.remove(key);
        }
        match writer.judge(held, asked, key, answer) {
            Judged::Holds => held.map(|held| held.value.clone()),
            Judged::Gone => {
                if let Some(held) = records.remove(key) {
                    writer.forget(key, held.version);
                }
                None
            }
            Judged::Is(new) => {
                let value = new.value.clone();
                if records.len() < self.most || held.is_some() {
                    records.insert(key.clone(), new);
                }
                Some(value)
            }
        }
    }

    /// What the source has said of everything. Readers see what was there before, or all of it.
    pub(super) fn answer_all(&self, asked: Question, answers: Vec<Record<K, V>>) {
        let mut writer = self.write();
        let before = self.records.load_full();
        let before = before.pin();
        let after = Records::with_capacity(answers.len());
        {
            let after = after.pin();
            let mut answered = HashSet::with_capacity(answers.len());
            for record in answers {
                let key = record.key.clone();
                let held = before.get(&key);
                match writer.judge(held, asked, &key, Some(record)) {
                    Judged::Is(held) => drop(after.insert(key.clone(), held)),
                    Judged::Holds => drop(held.map(|held| after.insert(key.clone(), held.clone()))),
                    Judged::Gone => {}
                }
                answered.insert(key);
            }
            for (key, held) in before.iter().filter(|(key, _)| !answered.contains(*key)) {
                // Told of meanwhile, it was not there yet when the source looked.
                if held.at > asked.0 {
                    after.insert(key.clone(), held.clone());
                } else {
                    writer.forget(key, held.version);
                }
            }
        }
        self.records.store(Arc::new(after));
        writer.doubtful.retain(|_, at| *at > asked.0);
        if writer.all_doubtful.is_some_and(|at| at <= asked.0) {
            writer.all_doubtful = None;
        }
    }
}

/// What an answer means for a record.
enum Judged<V> {
    /// What is held, or that nothing is, is newer.
    Holds,
    Gone,
    Is(Held<V>),
}

impl<K: Hash + Eq + Clone> Writer<K> {
    /// The source does not have it any more: what is told late of it is no news.
    fn forget(&mut self, key: &K, version: u64) {
        if version > 0 {
            self.removed.put(key.clone(), (version, 0));
        }
    }

    fn judge<V>(
        &mut self,
        held: Option<&Held<V>>,
        asked: Question,
        key: &K,
        answer: Option<Record<K, V>>,
    ) -> Judged<V> {
        let removed = self.removed.peek(key).copied().filter(|(_, at)| *at > asked.0).map(|(version, _)| version);
        let told = held.filter(|held| held.at > asked.0).map(|held| held.version).max(removed);
        match (answer, told) {
            (Some(record), Some(told)) if record.version <= told => {
                // Without versions nobody knows which of the two is newer.
                if record.version == 0 {
                    self.told += 1;
                    self.doubtful.insert(key.clone(), self.told);
                }
                Judged::Holds
            }
            (None, Some(_)) => Judged::Holds,
            (None, None) => Judged::Gone,
            (Some(Record { version, value, .. }), _) => {
                self.removed.pop(key);
                Judged::Is(Held { value, version, at: 0 })
            }
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
