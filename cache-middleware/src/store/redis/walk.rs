//! The sweep: one bounded step per call, and the walks that need a cursor between steps.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::RedisStore;
use super::layout::Layout;
use super::reads::Sought;
use super::scripts::on;
use crate::error::StoreError;
use crate::key::{ScopedPattern, split_name};
use crate::store::{StoreSize, Swept};

/// Entries per step: keeps Redis busy for well under a millisecond (`docs/redis.md` has the measurement).
const CHUNK: usize = 64;

/// A walk over a partition that goes on where its last step stopped. A node that dies leaves the job open; whoever
/// sweeps next begins it anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk {
    job: String,
    clock: String,
    cursor: String,
}

impl RedisStore {
    pub(super) async fn do_sweep(&self) -> Result<Swept, StoreError> {
        let partition = self.turn.fetch_add(1, Ordering::Relaxed) % self.settings.layout.partition_count();
        let (visited, more) = self.sweep_partition(partition).await?;
        // One pass asks every partition once; there is another if any of them has more.
        if more {
            self.busy.store(true, Ordering::Relaxed);
        }
        let last = partition + 1 == self.settings.layout.partition_count();
        let more = if last { self.busy.swap(false, Ordering::Relaxed) } else { true };
        Ok(Swept { visited, more })
    }

    async fn sweep_partition(&self, partition: u16) -> Result<(u64, bool), StoreError> {
        let mut invocation = on(&self.settings.scripts.sweep, &self.settings.layout, partition);
        invocation.arg(&self.token).arg(CHUNK);
        let (visited, more, job, clock): (u64, u8, String, String) = self.invoke(partition, invocation).await?;
        if job.is_empty() {
            return Ok((visited, more == 1));
        }
        Ok((visited + self.walk(partition, job, clock).await?, true))
    }

    /// One step of a walk; returns how many members it looked at.
    async fn walk(&self, partition: u16, job: String, clock: String) -> Result<u64, StoreError> {
        let slot = usize::from(partition);
        let saved = self.walks.lock().unwrap_or_else(PoisonError::into_inner)[slot].take();
        // A job that began anew under another clock is walked from its start.
        let mut walk = saved.filter(|walk| walk.job == job && walk.clock == clock).unwrap_or_else(|| Walk {
            job,
            clock,
            cursor: "0".to_owned(),
        });
        let visited = match walk.job.split_at_checked(2) {
            Some(("e/", mark)) => {
                let mut invocation = on(&self.settings.scripts.expire_step, &self.settings.layout, partition);
                invocation.arg(&self.token).arg(mark).arg(&walk.clock).arg(&walk.cursor).arg(CHUNK);
                let (cursor, visited): (String, u64) = self.invoke(partition, invocation).await?;
                walk.cursor = cursor;
                visited
            }
            Some(("p/", pattern)) => {
                let pattern = ScopedPattern::parse(pattern);
                self.scan(partition, &mut walk, |name| pattern.as_ref().is_none_or(|p| p.matches(name))).await?
            }
            _ => self.scan(partition, &mut walk, |_| true).await?,
        };
        if walk.cursor != "0" {
            self.walks.lock().unwrap_or_else(PoisonError::into_inner)[slot] = Some(walk);
        }
        Ok(visited)
    }

    /// One page of `SCAN` over the entries of a partition; never `KEYS`, which holds Redis for the whole of it.
    async fn scan(&self, partition: u16, walk: &mut Walk, matches: impl Fn(&str) -> bool) -> Result<u64, StoreError> {
        let prefix = self.entry_key(partition, "");
        let mut command = redis::cmd("SCAN");
        command.arg(&walk.cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(CHUNK);
        let (cursor, keys): (String, Vec<Vec<u8>>) = self.query(partition, &command).await?;
        let visited = keys.len() as u64;

        let mut names = Vec::new();
        for key in keys {
            let Some(member) = key.strip_prefix(prefix.as_bytes()).and_then(|m| std::str::from_utf8(m).ok()) else {
                continue;
            };
            if self.wanted(partition, member, &matches).await? {
                names.push(member.to_owned());
            }
        }
        if !names.is_empty() {
            let mut invocation = on(&self.settings.scripts.drop, &self.settings.layout, partition);
            invocation.arg(&self.token).arg(&walk.clock);
            for name in &names {
                invocation.arg(name);
            }
            if self.invoke::<i64>(partition, invocation).await? < 0 {
                walk.cursor = "0".to_owned();
                return Ok(visited);
            }
        }
        if cursor == "0" {
            let mut invocation = on(&self.settings.scripts.close, &self.settings.layout, partition);
            invocation.arg(&self.token).arg(&walk.job).arg(&walk.clock);
            self.invoke::<u8>(partition, invocation).await?;
        }
        walk.cursor = cursor;
        Ok(visited)
    }

    async fn wanted(&self, partition: u16, member: &str, matches: &impl Fn(&str) -> bool) -> Result<bool, StoreError> {
        if !Layout::is_cut(member) {
            return Ok(split_name(member).is_some() && matches(member));
        }
        // Only the entry knows its whole name.
        let frame: Option<Bytes> =
            self.query(partition, redis::cmd("GET").arg(self.entry_key(partition, member))).await?;
        let entry = frame.and_then(|frame| self.decoded(partition, &Sought::listed(member), frame));
        Ok(entry.is_none_or(|read| matches(&read.entry.key)))
    }

    pub(super) async fn do_size(&self) -> Result<StoreSize, StoreError> {
        let sizes = self
            .on_all(async |partition| {
                let prefix = self.settings.layout.prefix(partition);
                let mut size = StoreSize {
                    open_sweeps: self
                        .query(partition, redis::cmd("ZCARD").arg(self.settings.layout.jobs(partition)))
                        .await?,
                    ..StoreSize::default()
                };
                let mut cursor = "0".to_owned();
                loop {
                    let mut command = redis::cmd("SCAN");
                    command.arg(&cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(CHUNK);
                    let (next, keys): (String, Vec<Vec<u8>>) = self.query(partition, &command).await?;
                    for key in keys {
                        match key.get(prefix.len()..prefix.len() + 2) {
                            Some(b"e:") => size.entries += 1,
                            Some(b"t:" | b"d:") => {
                                size.index_members +=
                                    self.query::<u64>(partition, redis::cmd("ZCARD").arg(key)).await?;
                            }
                            _ => {}
                        }
                    }
                    if next == "0" {
                        return Ok(size);
                    }
                    cursor = next;
                }
            })
            .await?;
        Ok(sizes.iter().fold(StoreSize::default(), |sum, size| StoreSize {
            entries: sum.entries + size.entries,
            index_members: sum.index_members + size.index_members,
            open_sweeps: sum.open_sweeps + size.open_sweeps,
        }))
    }
}
