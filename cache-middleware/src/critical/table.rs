//! What a critical cache holds: read without a lock, changed by one at a time.
//!
//! A record may become known in three ways: by a message, by asking for it, by loading everything. Messages and questions are numbered
//! in the order in which this node has told and asked. The answer to a question holds what was committed before it was asked. So:
//!
//! - what a message has told *after* the question is compared by its version;
//! - what the answer to a *later* question has said stays;
//! - anything else that is held gives way: the source is right, even if it was restored and counts from lower numbers.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use lru::LruCache;

use crate::source::Record;

/// How many removed records are remembered, so that a late message or answer does not bring one back.
const REMOVED: usize = 10_000;

/// How many records are asked for one by one: if more are doubtful, all are loaded.
const MOST_DOUBTFUL: usize = 1_000;

#[derive(Debug, Clone)]
struct Held<V> {
    value: V,
    known: Known,
}

/// How something is known of a record.
#[derive(Debug, Clone, Copy)]
struct Known {
    version: u64,
    /// The number of the message, or of the question.
    at: u64,
    /// Whether it was the answer to a question.
    answered: bool,
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
    /// Counts messages and questions.
    number: u64,
    /// The number of the last question about everything that was answered.
    loaded: Option<u64>,
    /// Records that are gone.
    removed: LruCache<K, Known>,
    /// Records that have changed in a way that is not known, and when that was told.
    doubtful: HashMap<K, u64>,
    /// When it was told last that anything may have changed.
    all_doubtful: Option<u64>,
}

/// What is in doubt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    Nothing,
    Some,
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
        let writer = Writer {
            number: 0,
            loaded: None,
            removed: LruCache::unbounded(),
            doubtful: HashMap::new(),
            all_doubtful: Some(0),
        };
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

    /// Some of the keys.
    pub(super) fn some_keys(&self, most: usize) -> Vec<K> {
        let records = self.records.load();
        let records = records.pin();
        records.keys().take(most).cloned().collect()
    }

    pub(super) fn all(&self) -> Vec<(K, V)> {
        let records = self.records.load();
        let records = records.pin();
        records.iter().map(|(key, held)| (key.clone(), held.value.clone())).collect()
    }

    /// A message tells a value, or that there is none any more. `false` if the source has to be asked: it cannot be known whether this
    /// is newer than what there is, it says that it is older, or there is no room for it. Of a record that is not known at all it is not: it may be one
    /// that was removed before this node had it.
    pub(super) fn tell(&self, key: &K, version: u64, value: Option<V>) -> bool {
        let mut writer = self.write();
        let records = self.records.load();
        let records = records.pin();
        let held = records.get(key).map(|held| held.known.version);
        let known = held.max(writer.removed.peek(key).map(|known| known.version));
        match known {
            Some(0) | None => return false,
            Some(known) if version == known => return true,
            // Late, or of a source that was restored and counts from lower numbers: that is for the source to say.
            Some(known) if version < known => return false,
            Some(_) => {}
        }
        let known = Known { version, at: writer.next(), answered: false };
        match value {
            Some(_) if held.is_none() && records.len() >= self.most => {
                writer.all_doubtful = Some(known.at);
                return false;
            }
            Some(value) => {
                records.insert(key.clone(), Held { value, known });
                writer.removed.pop(key);
            }
            None => {
                records.remove(key);
                writer.forget(key, known);
            }
        }
        true
    }

    /// A record has changed, and nobody knows how.
    pub(super) fn doubt(&self, key: &K) {
        let mut writer = self.write();
        let at = writer.next();
        writer.doubtful.insert(key.clone(), at);
        if writer.doubtful.len() > MOST_DOUBTFUL {
            writer.doubtful.clear();
            writer.all_doubtful = Some(at);
        }
    }

    /// Anything may have changed.
    pub(super) fn doubt_all(&self) {
        let mut writer = self.write();
        writer.all_doubtful = Some(writer.next());
    }

    pub(super) fn doubts(&self) -> Doubt {
        let writer = self.write();
        match (writer.all_doubtful, writer.doubtful.is_empty()) {
            (Some(_), _) => Doubt::All,
            (None, false) => Doubt::Some,
            (None, true) => Doubt::Nothing,
        }
    }

    /// Some of the records that are in doubt by themselves.
    pub(super) fn doubtful(&self, most: usize) -> Vec<K> {
        self.write().doubtful.keys().take(most).cloned().collect()
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
        Question(self.write().next())
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
            Judged::Gone(known) => {
                records.remove(key);
                writer.forget(key, known);
                None
            }
            Judged::Is(new) => {
                let value = new.value.clone();
                // Not before there is a whole: nobody shall take a part for it.
                if writer.loaded.is_some() {
                    if records.len() < self.most || held.is_some() {
                        records.insert(key.clone(), new);
                    } else {
                        writer.all_doubtful = Some(writer.next());
                    }
                }
                Some(value)
            }
        }
    }

    /// The source will never say anything of a record; if there is none, that is no reason to doubt.
    pub(super) fn refused(&self, asked: Question, key: &K) {
        let mut writer = self.write();
        let held = self.records.load().pin().contains_key(key);
        if !held && writer.doubtful.get(key).is_some_and(|at| *at <= asked.0) {
            writer.doubtful.remove(key);
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
                    Judged::Gone(_) => {}
                }
                answered.insert(key);
            }
            for (key, held) in before.iter().filter(|(key, _)| !answered.contains(*key)) {
                match writer.judge(Some(held), asked, key, None) {
                    Judged::Gone(known) => writer.forget(key, known),
                    // It was not there yet when the source looked.
                    _ => drop(after.insert(key.clone(), held.clone())),
                }
            }
        }
        self.records.store(Arc::new(after));
        writer.loaded = writer.loaded.max(Some(asked.0));
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
    /// It is gone, as far as that is known.
    Gone(Known),
    Is(Held<V>),
}

impl<K: Hash + Eq + Clone> Writer<K> {
    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// A record is gone. Of as many as are remembered that is known; if more have gone since the last load, an answer that is on its
    /// way may bring one back.
    fn forget(&mut self, key: &K, known: Known) {
        self.removed.put(key.clone(), known);
        if self.removed.len() > REMOVED
            && let Some((_, forgotten)) = self.removed.pop_lru()
            && self.loaded.is_none_or(|loaded| forgotten.at > loaded)
        {
            self.all_doubtful = Some(self.next());
        }
    }

    /// What is known of a record that is not held: it is gone, or was not there when everything was loaded.
    fn known_absent(&self, key: &K) -> Option<Known> {
        let removed = self.removed.peek(key).copied();
        match self.loaded {
            Some(at) if removed.is_none_or(|removed| removed.at < at) => {
                Some(Known { version: removed.map_or(0, |removed| removed.version), at, answered: true })
            }
            _ => removed,
        }
    }

    fn judge<V>(
        &mut self,
        held: Option<&Held<V>>,
        asked: Question,
        key: &K,
        answer: Option<Record<K, V>>,
    ) -> Judged<V> {
        let known = held.map(|held| held.known).or_else(|| self.known_absent(key));
        let later = known.filter(|known| known.at > asked.0);
        let newest = known.map_or(0, |known| known.version);
        match (answer, later) {
            (_, Some(Known { answered: true, .. })) | (None, Some(_)) => Judged::Holds,
            (Some(record), Some(told)) if record.version <= told.version => {
                // Without versions nobody knows which of the two is newer.
                if record.version == 0 {
                    let at = self.next();
                    self.doubtful.insert(key.clone(), at);
                }
                Judged::Holds
            }
            (None, None) => Judged::Gone(Known { version: newest, at: asked.0, answered: true }),
            (Some(Record { version, value, .. }), _) => {
                self.removed.pop(key);
                Judged::Is(Held { value, known: Known { version, at: asked.0, answered: true } })
            }
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
