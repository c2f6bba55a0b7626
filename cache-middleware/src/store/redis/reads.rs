//! Look-ups and listings: plain commands, and a script for what is read while a clear is swept.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};

use super::RedisStore;
use super::fence::Fence;
use super::layout::Layout;
use super::scripts::on;
use crate::entry::{self, Entry, Stamp, State};
use crate::error::StoreError;
use crate::key::{Key, ScopedPattern};
use crate::store::{Found, Listed, Lookup, Target};

/// The most entries that one command reads.
const AT_ONCE: usize = 64;

/// What a look at a place gave: the clock, and the entry if there is one.
type Looked = (Option<Stamp>, Option<Read>);

/// Where an entry is looked for, and the name it has if it is the right one.
pub(super) struct Sought<'a> {
    member: Cow<'a, str>,
    name: Option<&'a Arc<str>>,
}

impl<'a> Sought<'a> {
    fn of(name: &'a Arc<str>) -> Self {
        Self { member: Layout::member(name), name: Some(name) }
    }

    /// One that was listed: what is there says whose it is.
    pub(super) fn listed(member: &'a str) -> Self {
        Self { member: member.into(), name: None }
    }
}

/// An entry as it was read.
pub(super) struct Read {
    pub(super) entry: Entry,
    state: State,
    /// Its checksum in Redis: it is no other's that was under this name.
    version: u64,
}

impl RedisStore {
    /// A hit is one plain command: fence and entry in one step.
    pub(super) async fn do_read(&self, name: &Arc<str>) -> Result<Lookup, StoreError> {
        let partition = self.settings.layout.partition_of(name);
        let looked = self.look_at(partition, &[Sought::of(name)]).await?;
        Ok(self.lookup(partition, name, looked.into_iter().next().unwrap_or_default()))
    }

    /// One command for up to 64 keys of a partition.
    pub(super) async fn do_read_many(&self, keys: &[&Key]) -> Vec<Result<Lookup, StoreError>> {
        let mut by_partition: Vec<(u16, Vec<usize>)> = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let partition = self.settings.layout.partition_of(key.name());
            match by_partition.iter_mut().find(|(of, places)| *of == partition && places.len() < AT_ONCE) {
                Some((_, places)) => places.push(index),
                None => by_partition.push((partition, vec![index])),
            }
        }
        let reads = by_partition.iter().map(async |(partition, places)| {
            let places: Vec<Sought<'_>> = places.iter().map(|place| Sought::of(keys[*place].name())).collect();
            self.look_at(*partition, &places).await
        });
        let mut lookups: Vec<Result<Lookup, StoreError>> = Vec::new();
        lookups.resize_with(keys.len(), || Ok(Lookup { found: None, stamp: None }));
        for ((partition, places), looked) in by_partition.iter().zip(join_all(reads).await) {
            match looked {
                Ok(looked) => {
                    for (place, looked) in places.iter().zip(looked) {
                        lookups[*place] = Ok(self.lookup(*partition, keys[*place].name(), looked));
                    }
                }
                Err(error) => places.iter().for_each(|place| lookups[*place] = Err(error.clone())),
            }
        }
        lookups
    }

    /// What Redis holds under this name may be another key's with the same cut name, or foreign.
    fn lookup(&self, partition: u16, name: &str, (stamp, read): Looked) -> Lookup {
        let found = read.filter(|read| *read.entry.key == *name).map(|read| self.found(partition, read));
        Lookup { found, stamp }
    }

    fn found(&self, partition: u16, read: Read) -> Found {
        let Read { entry, state, version } = read;
        let now_ms = self.router.now_ms(partition);
        let held_for = Duration::from_millis(now_ms.saturating_sub(entry.stored_at_ms));
        let expired_for = match state {
            State::Fresh => None,
            // The clock of a partition is its time in microseconds, unless it had to move faster.
            State::Expired { at } => Some(Duration::from_millis(now_ms.saturating_sub(at / 1_000))),
        };
        Found::new(Arc::new(entry), version, held_for, expired_for)
    }

    /// The entry in what was found at its place; what is none is counted, and is a miss (P10).
    pub(super) fn decoded(&self, partition: u16, Sought { member, name }: &Sought<'_>, frame: Bytes) -> Option<Read> {
        let version = entry::version(&frame);
        let opened = entry::open(frame, &self.settings.keys, || self.entry_key(partition, member));
        let decoded = opened.and_then(|frame| entry::decode_for(*name, &frame));
        if let Err(error) = &decoded {
            self.refused_values.fetch_add(1, Ordering::Relaxed);
            log::debug!("{} holds no entry: {error}", self.entry_key(partition, member));
        }
        decoded.ok().map(|(entry, state)| Read { entry, state, version })
    }

    /// Looks at several places of a partition with one command.
    async fn look_at(&self, partition: u16, places: &[Sought<'_>]) -> Result<Vec<Looked>, StoreError> {
        let mut command = redis::cmd("MGET");
        command.arg(self.settings.layout.fence(partition));
        for place in places {
            command.arg(self.entry_key(partition, &place.member));
        }
        let mut frames: Vec<Option<Bytes>> = self.query(partition, &command).await?;
        if frames.len() != places.len() + 1 {
            return Err(StoreError::Failed(format!("MGET answered {} values", frames.len())));
        }
        let Some(fence) = frames.remove(0).and_then(|raw| Fence::parse(&raw)) else {
            return Ok(places.iter().map(|_| Looked::default()).collect());
        };
        let is_valid = |read: &Read| {
            let stamp = read.entry.stamp;
            stamp.incarnation == fence.stamp.incarnation && stamp.clock >= fence.all
        };
        let reads = frames.into_iter().zip(places).map(|(frame, place)| {
            let read = frame.and_then(|frame| self.decoded(partition, place, frame));
            (read.filter(is_valid), place)
        });
        if fence.open == 0 {
            return Ok(reads.map(|(read, _)| (Some(fence.stamp), read)).collect());
        }
        try_join_all(reads.map(async |(read, place)| match read {
            Some(read) => self.check(partition, &place.member, read).await,
            None => Ok((Some(fence.stamp), None)),
        }))
        .await
    }

    /// While clears have entries left to sweep, a hit compares the marks, atomically with a second look at the entry:
    /// between the read and this call the sweep may have ended and its marks may have been forgotten.
    async fn check(&self, partition: u16, member: &str, read: Read) -> Result<Looked, StoreError> {
        let entry = &read.entry;
        let Stamp { incarnation, clock } = entry.stamp;
        let mut invocation = on(&self.settings.scripts.check, &self.settings.layout, partition);
        invocation.arg(member).arg(format!("{incarnation:016x}")).arg(format!("{clock:016}"));
        for mark in entry.marks.iter() {
            invocation.arg(mark.id);
        }
        let reply: Vec<String> = self.invoke(partition, invocation).await?;
        let [verdict, clock, expired, patterns @ ..] = reply.as_slice() else {
            return Err(StoreError::Failed("the check script answered nothing".to_owned()));
        };
        let stamp = match clock.parse() {
            Ok(clock) if clock > 0 => Some(Stamp { incarnation, clock }),
            _ => None,
        };
        let cleared_by_pattern =
            patterns.iter().any(|id| ScopedPattern::parse(id).is_none_or(|pattern| pattern.matches(&entry.key)));
        Ok(match verdict.as_str() {
            "good" if !cleared_by_pattern => (stamp, Some(read)),
            "stale" if !cleared_by_pattern => {
                let at =
                    expired.parse().map_err(|_| StoreError::Failed(format!("the check script answered {reply:?}")))?;
                // One that is written in the entry already was there first.
                let state = if read.state == State::Fresh { State::Expired { at } } else { read.state };
                (stamp, Some(Read { state, ..read }))
            }
            _ => (stamp, None),
        })
    }

    pub(super) async fn do_entries(&self, target: &Target, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let Some(mark) = target.mark() else {
            return Err(StoreError::Failed(format!("the entries behind {target:?} cannot be listed")));
        };
        let pages = self
            .on_all(async |partition| {
                let mut members = self.members(partition, &mark.id, limit).await?;
                members.extend(self.direct_names(target, partition));
                let mut listed = Vec::new();
                for chunk in members.chunks(AT_ONCE) {
                    let places: Vec<Sought<'_>> = chunk.iter().map(|member| Sought::listed(member)).collect();
                    for (_, entry) in self.look_at(partition, &places).await? {
                        listed.extend(entry.map(|read| {
                            let found = self.found(partition, read);
                            Listed { key: found.entry.key.clone(), expires_in: found.expires_in() }
                        }));
                    }
                }
                Ok(listed)
            })
            .await?;
        let mut listed: Vec<Listed> = pages.into_iter().flatten().collect();
        listed.sort_by(|a, b| a.expires_in.cmp(&b.expires_in).then_with(|| a.key.cmp(&b.key)));
        listed.truncate(limit);
        Ok(listed)
    }

    async fn members(&self, partition: u16, mark: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut command = redis::cmd("ZRANGEBYSCORE");
        let set = format!("{}t:{mark}", self.settings.layout.prefix(partition));
        command.arg(set).arg(self.router.now_ms(partition)).arg("+inf").arg("LIMIT").arg(0).arg(limit);
        self.query(partition, &command).await
    }
}
