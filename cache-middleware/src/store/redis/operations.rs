//! Fills and clears: one script per partition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::FromRedisValue;

use super::RedisStore;
use super::fence::Fence;
use super::layout::Layout;
use super::member::lease_of;
use super::scripts::on;
use crate::chance::random;
use crate::entry::{self, Entry, Stamp};
use crate::error::StoreError;
use crate::key::{Key, ScopedPattern};
use crate::store::{Clearing, Due, Filled, Filling, Landing, Lease, NodeId, Receipt, Target, Usage};
use crate::tag::Mark;
use crate::tenant::Tenant;
use crate::time::Millis;

/// How often a clear is tried while a cluster is not as it should be, within the limit of a command. After that it is kept
/// and retried by the manager.
const CLEAR_RETRY: Duration = Duration::from_millis(10);

/// Commands that a clear spends on removing entries by itself: a small tag costs one round trip and leaves nothing to
/// sweep.
const AT_ONCE: usize = 128;

/// Targets that one script takes; more of them are cleared in several steps.
const TARGETS_AT_ONCE: usize = 100;

impl RedisStore {
    pub(super) async fn do_lease(&self, key: &Key) -> Result<Lease, StoreError> {
        let partition = self.settings.layout.partition_of(key.name());
        let mut invocation = on(&self.settings.scripts.lease, &self.settings.layout, partition);
        invocation.arg(new_incarnation());
        let raw: Vec<u8> = self.invoke(partition, invocation).await?;
        let fence = Fence::parse(&raw).ok_or_else(|| StoreError::Failed("the fence cannot be read".to_owned()))?;
        Ok(Lease { stamp: fence.stamp })
    }

    pub(super) async fn do_fill(&self, entry: &Arc<Entry>, filling: &Filling) -> Result<Filled, StoreError> {
        let Millis(total_ms) = entry.life.total().into();
        if total_ms == 0 {
            // Over before it began; Redis takes no TTL of 0.
            return Ok(Filled::LeaseLost);
        }
        let Stamp { incarnation, clock } = entry.stamp;
        let partition = self.settings.layout.partition_of(&entry.key);
        let member = Layout::member(&entry.key);
        let place = self.entry_key(partition, &member);
        let mut invocation = on(&self.settings.scripts.fill, &self.settings.layout, partition);
        let (indexed, others): (Vec<_>, Vec<_>) = entry.marks.iter().partition(|mark| mark.indexed);
        invocation
            .arg(format!("{incarnation:016x}"))
            .arg(clock)
            .arg(total_ms)
            .arg(&*member)
            .arg(entry::seal(entry::encode(entry), &self.settings.keys, place.as_bytes()))
            .arg(u8::from(filling.strict))
            .arg(indexed.len())
            .arg(filling.bounds.len())
            .arg(filling.quota.unwrap_or(0))
            .arg(filling.replaces.map(u64::to_be_bytes).as_ref().map_or(&[][..], |version| &version[..]));
        let (name, token) = filling.landing.as_ref().map_or(("", ""), |flight| (flight.name(), flight.token()));
        invocation.arg(name).arg(token);
        for bound in &filling.bounds {
            invocation.arg(&*bound.mark).arg(bound.most);
        }
        for mark in indexed.iter().chain(&others) {
            invocation.arg(mark.id);
        }
        let (verdict, clock): (String, u64) = self.invoke(partition, invocation).await?;
        Ok(match verdict.as_str() {
            "ok" => Filled::Stored(Stamp { incarnation, clock }),
            "landed" => {
                filling.landing.iter().for_each(Landing::landed);
                Filled::Stored(Stamp { incarnation, clock })
            }
            "cleared" => Filled::Cleared,
            "quota" => Filled::OverQuota,
            "settling" => Filled::Settling,
            "superseded" => Filled::Superseded,
            // Counted from 1.
            "full" => Filled::Full(usize::try_from(clock).unwrap_or(1).saturating_sub(1)),
            _ => Filled::LeaseLost,
        })
    }

    pub(super) async fn do_clear(&self, targets: &[Target], clearing: Clearing) -> Result<Receipt, StoreError> {
        let mut total = Receipt::default();
        for targets in targets.chunks(TARGETS_AT_ONCE) {
            let replies = self.on_all(|partition| self.clear_partition(partition, targets, clearing)).await?;
            total = receipt(&replies, total)?;
        }
        Ok(total)
    }

    /// Clears on one partition. What is in the way for a moment only, such as a slot that is moving, is waited for.
    async fn clear_partition(
        &self,
        partition: u16,
        targets: &[Target],
        clearing: Clearing,
    ) -> Result<ScriptReply, StoreError> {
        let mut invocation = on(&self.settings.scripts.clear, &self.settings.layout, partition);
        invocation.arg(new_incarnation()).arg(self.keep_marks_us()).arg(AT_ONCE);
        invocation.arg(clearing.by.to_string()).arg(u8::from(clearing.strict)).arg(clearing.settle.as_millis());
        for target in targets {
            match target {
                Target::All => {
                    invocation.arg("a");
                }
                Target::Pattern(tenant, pattern) => {
                    invocation.arg("p").arg(ScopedPattern::new(tenant.as_ref(), pattern.clone()).id());
                }
                marked => {
                    let Some(mark) = marked.mark() else { continue };
                    invocation.arg("m").arg(&*mark.id);
                    self.add_direct_names(&mut invocation, marked, partition);
                }
            }
        }
        let began = Instant::now();
        loop {
            match self.invoke_replicated(partition, &invocation).await {
                Err(StoreError::Unavailable(_))
                    if self.settings.cluster && began.elapsed() < self.settings.command_timeout =>
                {
                    tokio::time::sleep(CLEAR_RETRY).await;
                }
                ended => return ended,
            }
        }
    }

    /// Runs a script whose effect so many replicas must have before it counts, if that is wanted.
    pub(super) async fn invoke_replicated<T: FromRedisValue>(
        &self,
        partition: u16,
        invocation: &redis::ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let Some((mut waiting, call)) = self.router.waiting_call(partition)? else {
            let (mut main, call) = self.router.call(partition)?;
            return call.ended(invocation.invoke_async(&mut main)).await;
        };
        let (wanted, timeout) = (self.settings.wait_for_replicas, self.settings.replica_timeout);
        let mut command = redis::cmd("WAIT");
        command.arg(wanted).arg(timeout.as_millis());
        let invoked = async {
            let reply = invocation.invoke_async(&mut waiting).await?;
            Ok((reply, command.query_async::<usize>(&mut waiting).await?))
        };
        let (reply, have) = call.ended(invoked).await?;
        if have < wanted {
            return Err(StoreError::Failed(format!("{have} of {wanted} replicas have it after {timeout:?}")));
        }
        Ok(reply)
    }

    pub(super) async fn do_expire(&self, targets: &[Target], by: NodeId) -> Result<Receipt, StoreError> {
        if let Some(unfit) = targets.iter().find(|target| target.mark().is_none()) {
            return Err(StoreError::Failed(format!("{unfit:?} cannot be expired, only cleared")));
        }
        let replies = self
            .on_all(async |partition| {
                let mut invocation = on(&self.settings.scripts.expire, &self.settings.layout, partition);
                invocation.arg(new_incarnation()).arg(self.keep_marks_us()).arg(by.to_string());
                for target in targets {
                    let Some(mark) = target.mark() else { continue };
                    invocation.arg(&*mark.id);
                    self.add_direct_names(&mut invocation, target, partition);
                }
                self.invoke::<ScriptReply>(partition, invocation).await
            })
            .await?;
        receipt(&replies, Receipt::default())
    }

    fn keep_marks_us(&self) -> u64 {
        u64::try_from(self.settings.keep_marks.as_micros()).unwrap_or(u64::MAX)
    }

    /// The names of this partition that follow from a key without a look at the index.
    pub(super) fn direct_names(&self, target: &Target, partition: u16) -> Vec<String> {
        match target {
            Target::Key(tenant, text) => Key::direct_names(tenant.as_ref(), text)
                .into_iter()
                .filter(|name| self.settings.layout.partition_of(name) == partition)
                .map(|name| Layout::member(&name).into_owned())
                .collect(),
            _ => Vec::new(),
        }
    }

    fn add_direct_names(&self, invocation: &mut redis::ScriptInvocation<'_>, target: &Target, partition: u16) {
        let names = self.direct_names(target, partition);
        invocation.arg(names.len());
        for name in names {
            invocation.arg(name);
        }
    }

    pub(super) async fn do_usage(&self, tenant: &Tenant) -> Result<Usage, StoreError> {
        let mark = Mark::tenant(tenant);
        let usages = self
            .on_all(async |partition| {
                let layout = &self.settings.layout;
                let set = layout.index_set(partition, &mark.id);
                let entries: u64 = self.query(partition, redis::cmd("ZCARD").arg(set)).await?;
                let sum = redis::cmd("HGET").arg(layout.tenant_bytes(partition, &mark.id)).arg("").to_owned();
                let bytes: Option<u64> = self.query(partition, &sum).await?;
                Ok(Usage { entries, bytes: bytes.unwrap_or(0) })
            })
            .await?;
        let sum =
            |total: Usage, of: &Usage| Usage { entries: total.entries + of.entries, bytes: total.bytes + of.bytes };
        Ok(usages.iter().fold(Usage::default(), sum))
    }

    pub(super) fn entry_key(&self, partition: u16, member: &str) -> String {
        self.settings.layout.entry(partition, member)
    }
}

/// What `clear.lua` and `expire.lua` return: incarnation, clock, entries covered, nodes told, clock before it, and then nodes
/// with what they hold.
type ScriptReply = Vec<String>;

/// What the partitions replied, in their order, added to what earlier steps of the same clear gave.
fn receipt(replies: &[ScriptReply], before: Receipt) -> Result<Receipt, StoreError> {
    // What came first is before all of its steps.
    let first = before.before.is_empty();
    let mut receipt = Receipt { stamps: Vec::new(), ..before };
    for (partition, reply) in (0..).zip(replies) {
        let read = || -> Option<(Stamp, u64, u64, u64, &[String])> {
            let [incarnation, clock, covered, told, before, nodes @ ..] = reply.as_slice() else { return None };
            let incarnation = u64::from_str_radix(incarnation, 16).ok()?;
            let stamp = Stamp { incarnation, clock: clock.parse().ok()? };
            Some((stamp, covered.parse().ok()?, told.parse().ok()?, before.parse().ok()?, nodes))
        };
        let (stamp, covered, told, before, nodes) =
            read().ok_or_else(|| StoreError::Failed(format!("the script answered {reply:?}")))?;
        receipt.stamps.push(stamp);
        if first {
            receipt.before.push(before);
        }
        receipt.covered += covered;
        receipt.told = receipt.told.max(told);
        for row in nodes.chunks_exact(2) {
            let Ok(node) = u64::from_str_radix(&row[0], 16) else { continue };
            let registered = row[1].clone();
            let due = Due { partition, node: NodeId(node), at: stamp, lease: lease_of(&registered), registered };
            receipt.due.retain(|other| (other.partition, other.node) != (due.partition, due.node));
            receipt.due.push(due);
        }
    }
    Ok(receipt)
}

/// 0 is kept for nodes that have no store to ask.
pub(super) fn new_incarnation() -> String {
    format!("{:016x}", random().max(1))
}
