//! What the lock of the embedded store guards.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use lru::LruCache;

use super::super::{Bound, Filled, Filling, Listed, Receipt, StoreSize, Swept, TagSize, Target, Usage, tag_sizes};
use super::index::{Holds, Index, Job, Marks, Work, tenant_of};
use crate::entry::{Entry, MarkRef, Stamp};
use crate::key::{Key, ScopedPattern};
use crate::tag::Mark;
use crate::tenant::Tenant;
use crate::time::Millis;

/// The most entries that one step under the lock touches.
const CHUNK: usize = 250;

/// The most entries that a clear removes by itself.
const AT_ONCE: usize = 32;

/// The most patterns that may be open at once.
const MAX_PATTERNS: usize = 64;

/// Beyond so many marks the oldest are forgotten before their time.
const MAX_MARKS: usize = 100_000;

#[derive(Debug)]
pub(super) struct State {
    stamp: Stamp,
    /// Entries older than this clock are gone.
    all: u64,
    /// Leases older than this clock are refused: marks up to it have been forgotten.
    floor: u64,
    /// The clock of the newest clear by pattern.
    last_pattern: u64,
    slots: LruCache<Arc<str>, Slot>,
    /// Every name, in order, so that a sweep can stop anywhere and go on.
    names: BTreeSet<Arc<str>>,
    deadlines: BTreeSet<(u64, Arc<str>)>,
    index: Index,
    cleared: Marks,
    expired: Marks,
    jobs: VecDeque<Job>,
    weight: usize,
    fills: u64,
    /// What each tenant weighs.
    tenants: HashMap<Arc<str>, usize>,
    holds: Holds,
    max_weight: usize,
    keep_marks_ms: u64,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    /// How many fills there were, this one included.
    version: u64,
    expires_ms: u64,
    /// When it was expired by hand.
    expired_ms: Option<u64>,
}

/// What an entry weighs in the bound: what it holds, and what its places in the maps cost. Sets that it shares with others weigh
/// by themselves.
fn weight_of(entry: &Entry) -> usize {
    entry.weight() + 500 + 110 * entry.marks.len()
}

impl State {
    pub(super) fn new(max_weight: usize, keep_marks_ms: u64) -> Self {
        Self {
            // A process starts with an empty store, so one incarnation is all it ever has.
            stamp: Stamp { incarnation: 1, clock: 1 },
            all: 0,
            floor: 0,
            last_pattern: 0,
            slots: LruCache::unbounded(),
            names: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            index: Index::default(),
            cleared: Marks::default(),
            expired: Marks::default(),
            jobs: VecDeque::new(),
            weight: 0,
            fills: 0,
            tenants: HashMap::new(),
            holds: Holds::default(),
            max_weight,
            keep_marks_ms,
        }
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The entry, its version and when it was expired, if no clear covers it and its time is not over.
    pub(super) fn read(&mut self, name: &Arc<str>, now: u64) -> Option<(Arc<Entry>, u64, Option<u64>)> {
        let slot = self.slots.get(name)?;
        if slot.expires_ms <= now || slot.entry.stamp.clock < self.all {
            return None;
        }
        let (entry, version, mut expired_ms) = (slot.entry.clone(), slot.version, slot.expired_ms);
        // With no job open, every entry that a mark covers is already gone or marked.
        if !self.jobs.is_empty() {
            if self.is_cleared(&entry) {
                return None;
            }
            let by_mark = |mark: MarkRef<'_>| self.expired.set_after(mark.id, entry.stamp.clock);
            expired_ms = expired_ms.or_else(|| entry.marks.iter().filter_map(by_mark).min());
        }
        Some((entry, version, expired_ms))
    }

    fn is_cleared(&self, entry: &Entry) -> bool {
        let clock = entry.stamp.clock;
        clock < self.all
            || entry.marks.iter().any(|mark| self.cleared.newer_than(mark.id, clock))
            || self.jobs.iter().any(|job| match &job.work {
                Work::Scan { pattern: Some(pattern), .. } => job.clock > clock && pattern.matches(&entry.key),
                _ => false,
            })
    }

    pub(super) fn fill(&mut self, entry: &Arc<Entry>, filling: &Filling, now: u64) -> Filled {
        // It would push everything else out, and then itself.
        if weight_of(entry) > self.max_weight {
            return Filled::TooLarge;
        }
        let Stamp { incarnation, clock } = entry.stamp;
        if incarnation != self.stamp.incarnation || clock < self.floor {
            return Filled::LeaseLost;
        }
        // A pattern voids every fill that was under way, whatever its key: patterns are rare, and this is exact for all
        // the entries it is about.
        let marked = |marks: &Marks| entry.marks.iter().any(|mark| marks.newer_than(mark.id, clock));
        if clock < self.all || clock < self.last_pattern || marked(&self.cleared) || marked(&self.expired) {
            return Filled::Cleared;
        }
        if entry.marks.iter().any(|mark| self.holds.refuse(mark.id, now)) {
            return Filled::Settling;
        }
        let there = self.slots.peek(&entry.key).map(|slot| slot.version);
        if filling.replaces.is_some() && filling.replaces != there {
            return Filled::Superseded;
        }
        let is_full = |bound: &Bound| self.index.count(&bound.mark) as u64 >= bound.most;
        if let Some(full) = filling.bounds.iter().position(is_full)
            && !self.slots.contains(&entry.key)
        {
            return Filled::Full(full);
        }
        if let (Some(tenant), Some(quota)) = (tenant_of(entry), filling.quota) {
            let has = self.slots.peek(&entry.key).map_or(0, |slot| weight_of(&slot.entry));
            let others = self.tenants.get(tenant).copied().unwrap_or(0).saturating_sub(has);
            if (others + weight_of(entry)) as u64 > quota {
                return Filled::OverQuota;
            }
        }
        self.remove(&entry.key);
        if let Some(tenant) = tenant_of(entry) {
            *self.tenants.entry(tenant.into()).or_default() += weight_of(entry);
        }
        let total_ms = Millis::from(entry.life.total()).0;
        let expires_ms = now.saturating_add(total_ms);
        for mark in entry.marks.iter().filter(|mark| mark.indexed) {
            self.index.add(mark.id, expires_ms, &entry.key);
        }
        self.names.insert(entry.key.clone());
        self.deadlines.insert((expires_ms, entry.key.clone()));
        self.weight += weight_of(entry);
        self.fills += 1;
        let slot = Slot { entry: entry.clone(), version: self.fills, expires_ms, expired_ms: None };
        self.slots.put(entry.key.clone(), slot);
        while self.weight + self.index.weight() > self.max_weight {
            let Some(oldest) = self.slots.peek_lru().map(|(name, _)| name.clone()) else { break };
            self.remove(&oldest);
        }
        Filled::Stored(self.stamp)
    }

    /// Removes an entry and its places in the index.
    fn remove(&mut self, name: &Arc<str>) {
        let Some(slot) = self.slots.pop(name) else { return };
        self.names.remove(name);
        self.deadlines.remove(&(slot.expires_ms, name.clone()));
        for mark in slot.entry.marks.iter().filter(|mark| mark.indexed) {
            self.index.remove(mark.id, slot.expires_ms, name);
        }
        self.weight -= weight_of(&slot.entry);
        if let Some(tenant) = tenant_of(&slot.entry)
            && let Some(weight) = self.tenants.get_mut(tenant)
        {
            *weight = weight.saturating_sub(weight_of(&slot.entry));
            if *weight == 0 {
                self.tenants.remove(tenant);
            }
        }
    }

    pub(super) fn usage(&self, tenant: &Tenant) -> Usage {
        let mark = Mark::tenant(tenant);
        let bytes = self.tenants.get(&mark.id).copied().unwrap_or(0);
        Usage { entries: self.index.count(&mark.id) as u64, bytes: bytes as u64 }
    }

    pub(super) fn clear(&mut self, targets: &[Target], now: u64, settle_ms: u64) -> Receipt {
        self.holds.add(targets, now, settle_ms);
        let before = vec![self.stamp.clock];
        self.stamp.clock += 1;
        let clock = self.stamp.clock;
        let mut covered = 0;
        for target in targets {
            match target {
                Target::All => {
                    self.all = clock;
                    self.jobs.push_back(Job { clock, work: Work::Scan { pattern: None, place: None } });
                }
                Target::Pattern(tenant, pattern) => {
                    self.last_pattern = clock;
                    let pattern = Some(ScopedPattern::new(tenant.as_ref(), pattern.clone()));
                    // The same pattern again: its scan starts over, under the new clock.
                    self.jobs.retain(|job| !matches!(&job.work, Work::Scan { pattern: open, .. } if *open == pattern));
                    self.jobs.push_back(Job { clock, work: Work::Scan { pattern, place: None } });
                    self.bound_patterns(clock);
                }
                marked => {
                    let Some(mark) = marked.mark() else { continue };
                    if let Target::Key(tenant, text) = marked {
                        for name in Key::direct_names(tenant.as_ref(), text) {
                            covered += u64::from(self.slots.contains(name.as_str()));
                            self.remove(&Arc::from(name));
                        }
                    }
                    let mut members = self.index.take(&mark.id);
                    covered += members.len() as u64;
                    self.cleared.set(mark.id, clock, now);
                    // A small set is removed here and leaves no job.
                    if members.len() <= AT_ONCE {
                        while let Some((_, name)) = members.pop_first() {
                            self.remove_older(&name, clock);
                        }
                    } else {
                        self.jobs.push_back(Job { clock, work: Work::Drop(members) });
                    }
                }
            }
        }
        self.forget_marks(now);
        Receipt { stamps: vec![self.stamp], before, covered, ..Receipt::default() }
    }

    /// Each open pattern costs every read a comparison: beyond a bound, one clear of everything takes their place.
    fn bound_patterns(&mut self, clock: u64) {
        let is_pattern = |job: &Job| matches!(job.work, Work::Scan { pattern: Some(_), .. });
        if self.jobs.iter().filter(|job| is_pattern(job)).count() > MAX_PATTERNS {
            self.jobs.retain(|job| !is_pattern(job));
            self.all = clock;
            self.jobs.push_back(Job { clock, work: Work::Scan { pattern: None, place: None } });
        }
    }

    pub(super) fn expire(&mut self, targets: &[Target], now: u64) -> Receipt {
        self.stamp.clock += 1;
        let clock = self.stamp.clock;
        let mut covered = 0;
        for target in targets {
            let Some(mark) = target.mark() else { continue };
            if let Target::Key(tenant, text) = target {
                for name in Key::direct_names(tenant.as_ref(), text) {
                    if let Some(slot) = self.slots.peek_mut(name.as_str()) {
                        slot.expired_ms.get_or_insert(now);
                        covered += 1;
                    }
                }
            }
            covered += self.index.count(&mark.id) as u64;
            self.expired.set(mark.id.clone(), clock, now);
            self.jobs.push_back(Job { clock, work: Work::Expire { mark: mark.id, at_ms: now, place: None } });
        }
        self.forget_marks(now);
        Receipt { stamps: vec![self.stamp], covered, ..Receipt::default() }
    }

    /// Marks may be forgotten once their job is closed; leases that are older than a forgotten mark are refused.
    fn forget_marks(&mut self, now: u64) {
        let oldest_open = self.jobs.iter().map(|job| job.clock).min().unwrap_or(self.stamp.clock);
        for marks in [&mut self.cleared, &mut self.expired] {
            let before_ms = now.saturating_sub(self.keep_marks_ms);
            let before_ms = if marks.len() > MAX_MARKS { u64::MAX } else { before_ms };
            if let Some(forgotten) = marks.forget(oldest_open, before_ms) {
                self.floor = self.floor.max(forgotten);
            }
        }
    }

    pub(super) fn entries(&self, target: &Target, mark: &str, limit: usize, now: u64) -> Vec<Listed> {
        let direct = match target {
            Target::Key(tenant, text) => Vec::from(Key::direct_names(tenant.as_ref(), text).map(Arc::from)),
            _ => Vec::new(),
        };
        let names = direct.into_iter().chain(self.index.members(mark).map(|(_, name)| name.clone()));
        names
            .filter_map(|name| {
                let slot = self.slots.peek(&name)?;
                let live = slot.expires_ms > now && !self.is_cleared(&slot.entry);
                let expires_in = std::time::Duration::from_millis(slot.expires_ms.saturating_sub(now));
                live.then_some(Listed { key: name, expires_in })
            })
            .take(limit)
            .collect()
    }

    pub(super) fn sweep(&mut self, now: u64) -> Swept {
        let mut visited = self.drop_expired(now);
        while visited < CHUNK as u64
            && let Some(mut job) = self.jobs.pop_front()
        {
            if !self.step(&mut job, &mut visited) {
                self.jobs.push_front(job);
            }
        }
        self.forget_marks(now);
        let due = self.deadlines.first().is_some_and(|(deadline, _)| *deadline <= now);
        Swept { visited, more: due || !self.jobs.is_empty() }
    }

    fn drop_expired(&mut self, now: u64) -> u64 {
        let mut visited = 0;
        while let Some((deadline, name)) = self.deadlines.first().cloned() {
            if deadline > now || visited >= CHUNK as u64 {
                break;
            }
            self.remove(&name);
            visited += 1;
        }
        visited
    }

    /// Does one chunk of a job; says whether the job is done.
    fn step(&mut self, job: &mut Job, visited: &mut u64) -> bool {
        while *visited < CHUNK as u64 {
            *visited += 1;
            match &mut job.work {
                Work::Drop(members) => {
                    let Some((_, name)) = members.pop_first() else { return true };
                    self.remove_older(&name, job.clock);
                }
                Work::Expire { mark, at_ms, place } => {
                    let Some(next) = self.index.after(mark, place.as_ref()) else { return true };
                    if let Some(slot) = self.slots.peek_mut(&next.1)
                        && slot.entry.stamp.clock < job.clock
                    {
                        slot.expired_ms.get_or_insert(*at_ms);
                    }
                    *place = Some(next);
                }
                Work::Scan { pattern, place } => {
                    use std::ops::Bound::{Excluded, Unbounded};
                    let from = place.clone().map_or(Unbounded, Excluded);
                    let Some(next) = self.names.range((from, Unbounded)).next().cloned() else { return true };
                    if pattern.as_ref().is_none_or(|pattern| pattern.matches(&next)) {
                        self.remove_older(&next, job.clock);
                    }
                    *place = Some(next);
                }
            }
        }
        false
    }

    fn remove_older(&mut self, name: &Arc<str>, clock: u64) {
        if self.slots.peek(name).is_some_and(|slot| slot.entry.stamp.clock < clock) {
            self.remove(name);
        }
    }

    /// Of many tags those that come first.
    pub(super) fn tags(&self, most: usize) -> Vec<TagSize> {
        tag_sizes(self.index.sizes(most))
    }

    pub(super) fn size(&self) -> StoreSize {
        let awaiting: usize = self
            .jobs
            .iter()
            .map(|job| match &job.work {
                Work::Drop(members) => members.len(),
                _ => 0,
            })
            .sum();
        StoreSize {
            entries: self.slots.len() as u64,
            index_members: (self.index.total() + awaiting) as u64,
            open_sweeps: self.jobs.len() as u64,
        }
    }
}
