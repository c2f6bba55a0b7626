//! A look at everything: does the index fit the entries?

use bytes::Bytes;

use super::RedisStore;
use super::layout::Layout;
use super::router::distinct;
use crate::entry;
use crate::error::StoreError;
use crate::store::{Examination, ProblemKind};
use crate::tag::Mark;

/// Keys that are asked for in a step.
const STEP: usize = 200;

impl RedisStore {
    pub(super) async fn do_examine(&self, progress: &(dyn Fn(u64) + Send + Sync)) -> Result<Examination, StoreError> {
        let mut found = Examination::default();
        for partition in self.settings.layout.partitions() {
            let sweeps: u64 =
                self.ask(partition, redis::cmd("ZCARD").arg(self.settings.layout.jobs(partition))).await?;
            found.open_sweeps += sweeps;
        }
        // A server is walked once, whatever partitions it has.
        for site in distinct(self.router.map().sites()) {
            let Some(partition) = site.partitions.first().copied() else { continue };
            let mut cursor = "0".to_owned();
            loop {
                let mut command = redis::cmd("SCAN");
                command.arg(&cursor).arg("MATCH").arg(self.settings.layout.of_any_version()).arg("COUNT").arg(STEP);
                let (next, keys): (String, Vec<Vec<u8>>) = self.ask(partition, &command).await?;
                for key in &keys {
                    let key = String::from_utf8_lossy(key);
                    match self.examine_key(&key, &mut found).await {
                        // What is of another type, or no text, is somebody else's.
                        Err(StoreError::Failed(_)) => found.found(ProblemKind::Unreadable, key.into_owned()),
                        ended => ended?,
                    }
                }
                found.keys += keys.len() as u64;
                progress(found.keys);
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        found.problems.sort_by_key(|problem| problem.kind);
        Ok(found)
    }

    async fn examine_key(&self, key: &str, found: &mut Examination) -> Result<(), StoreError> {
        let Some((partition, rest)) = self.settings.layout.split(key) else {
            found.found(ProblemKind::OtherVersion, key.to_owned());
            return Ok(());
        };
        match rest.split_at_checked(2) {
            Some(("e:", member)) => self.examine_entry(partition, key, member, found).await,
            Some(("t:", mark)) => self.examine_set(partition, key, mark, found).await,
            _ => Ok(()),
        }
    }

    async fn examine_entry(
        &self,
        partition: u16,
        key: &str,
        member: &str,
        found: &mut Examination,
    ) -> Result<(), StoreError> {
        let ttl: i64 = self.ask(partition, redis::cmd("PTTL").arg(key)).await?;
        let frame: Option<Bytes> = self.ask(partition, redis::cmd("GET").arg(key)).await?;
        // It has ended since it was listed.
        let Some(frame) = frame.filter(|_| ttl != -2) else { return Ok(()) };
        found.entries += 1;
        if ttl == -1 {
            found.found(ProblemKind::EntryWithoutTtl, member.to_owned());
        }
        let opened = entry::open(frame.clone(), &self.settings.keys, || key.to_owned());
        let Ok((entry, _)) = opened.and_then(|frame| entry::decode(&frame)) else {
            found.found(ProblemKind::Unreadable, member.to_owned());
            return Ok(());
        };
        for mark in entry.marks.iter().filter(|mark| mark.indexed) {
            let set = self.settings.layout.index_set(partition, mark.id);
            let score: Option<f64> = self.ask(partition, redis::cmd("ZSCORE").arg(set).arg(member)).await?;
            // A clear takes the set away first and the entry later; and who fills anew may give other tags.
            if score.is_none() && !self.is_covered(partition, key, &frame).await? {
                let tag = Mark::as_tag(mark.id).map_or(mark.id, |(_, tag)| tag);
                found.found(ProblemKind::EntryWithoutIndex, format!("{member} of {tag}"));
            }
        }
        Ok(())
    }

    /// Whether an entry has gone, or is another, or is of a time before a clear that is not swept yet.
    async fn is_covered(&self, partition: u16, key: &str, seen: &Bytes) -> Result<bool, StoreError> {
        let now: Option<Bytes> = self.ask(partition, redis::cmd("GET").arg(key)).await?;
        let there = now.as_ref() == Some(seen);
        let sweeps: u64 = self.ask(partition, redis::cmd("ZCARD").arg(self.settings.layout.jobs(partition))).await?;
        Ok(!there || sweeps > 0)
    }

    async fn examine_set(
        &self,
        partition: u16,
        key: &str,
        mark: &str,
        found: &mut Examination,
    ) -> Result<(), StoreError> {
        let mut cursor = "0".to_owned();
        loop {
            let mut command = redis::cmd("ZSCAN");
            command.arg(key).arg(&cursor).arg("COUNT").arg(STEP);
            let (next, members): (String, Vec<(String, f64)>) = self.ask(partition, &command).await?;
            found.index_members += members.len() as u64;
            for (member, expires_ms) in members {
                #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact in doubles for a long time")]
                let over = expires_ms <= self.router.now_ms(partition) as f64;
                let entry = self.entry_key(partition, &member);
                if over || self.ask::<bool>(partition, redis::cmd("EXISTS").arg(&entry)).await? {
                    continue;
                }
                // The set was read before the entry went.
                let still: Option<f64> = self.ask(partition, redis::cmd("ZSCORE").arg(key).arg(&member)).await?;
                if still.is_some() && !self.ask::<bool>(partition, redis::cmd("EXISTS").arg(&entry)).await? {
                    let tag = Mark::as_tag(mark).map_or(mark, |(_, tag)| tag);
                    found.found(ProblemKind::MemberWithoutEntry, format!("{member} of {tag}"));
                }
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }
}

impl Layout {
    /// What all keys of the namespace match, of this version of the layout and others.
    fn of_any_version(&self) -> String {
        format!("{{{}:v*", self.namespace())
    }

    /// Partition and rest of a key; `None` for those of another version.
    fn split<'a>(&self, key: &'a str) -> Option<(u16, &'a str)> {
        let (prefix, rest) = key.split_once("}:")?;
        let partition = prefix.rsplit(':').next()?.parse().ok()?;
        (self.prefix(partition) == format!("{prefix}}}:")).then_some((partition, rest))
    }
}
