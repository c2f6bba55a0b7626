//! Queues of changes: each step one script, all of a queue in one partition.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use redis::{FromRedisValue, Script, ScriptInvocation};

use super::RedisStore;
use super::call::Call;
use super::scripts::{Scripts, on};
use crate::digest;
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{
    Change, Enqueued, Flusher, NextBatch, Pending, QueueBounds, QueueSize, Queued, Queues, SetAside, Settled,
    Unreadable,
};

/// What sealed values begin with, so that one whose key is not known is told from one that somebody else put there.
const SEALED: &[u8] = b"CMQ1";

/// In the place of a key for the reasons why changes are set aside: they may quote values.
const REASON: &str = "reason";

/// How many changes leave a queue with one script.
const LEAVING_AT_ONCE: usize = 500;

impl RedisStore {
    fn queue_partition(&self, queue: &str) -> u16 {
        digest::partition([queue], self.settings.layout.partition_count())
    }

    async fn invoke_queue<T: FromRedisValue>(
        &self,
        queue: &str,
        script: impl Fn(&Scripts) -> &Script,
        fill: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, StoreError> {
        self.invoke_as(|call| call, queue, script, fill).await
    }

    /// The same for the flusher, for which nobody waits.
    async fn invoke_patiently<T: FromRedisValue>(
        &self,
        queue: &str,
        script: impl Fn(&Scripts) -> &Script,
        fill: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, StoreError> {
        self.invoke_as(Call::patient, queue, script, fill).await
    }

    async fn invoke_as<'a, T: FromRedisValue>(
        &'a self,
        how: impl FnOnce(Call<'a>) -> Call<'a>,
        queue: &str,
        script: impl Fn(&Scripts) -> &Script,
        fill: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, StoreError> {
        let partition = self.queue_partition(queue);
        let (mut connection, call) = self.router.call(partition)?;
        let mut invocation = on(script(&self.settings.scripts), &self.settings.layout, partition);
        invocation.arg(queue);
        fill(&mut invocation);
        how(call).ended(invocation.invoke_async(&mut connection)).await
    }

    fn aside_stream(&self, queue: &str) -> String {
        self.settings.layout.set_aside(self.queue_partition(queue), queue)
    }

    /// What a payload is sealed for: the queue and the key, so that nobody can give it another.
    fn payload_place(queue: &str, key: &str) -> Vec<u8> {
        format!("queue {}:{queue}{key}", queue.len()).into_bytes()
    }

    fn sealed(&self, queue: &str, key: &str, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        if self.settings.keys.is_empty() {
            return Ok(bytes.to_vec());
        }
        let sealed = self.settings.keys.seal(&Self::payload_place(queue, key), bytes);
        let sealed = sealed.ok_or_else(|| StoreError::Failed("the value cannot be encrypted".to_owned()))?;
        Ok([SEALED, &sealed].concat())
    }

    fn opened(&self, queue: &str, key: &str, bytes: &Bytes) -> Result<Bytes, Unreadable> {
        let sealed = bytes.strip_prefix(SEALED);
        if self.settings.keys.is_empty() {
            return if sealed.is_some() { Err(Unreadable::UnknownKey) } else { Ok(bytes.clone()) };
        }
        let sealed = sealed.ok_or(Unreadable::Damaged)?;
        if !self.settings.keys.knows(sealed) {
            return Err(Unreadable::UnknownKey);
        }
        let opened = self.settings.keys.open(&Self::payload_place(queue, key), sealed);
        opened.map(Bytes::from).ok_or(Unreadable::Damaged)
    }

    fn queued(&self, queue: &str, number: &[u8], key: &[u8], kind: &[u8], payload: &Bytes) -> Option<Queued> {
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        let key = String::from_utf8_lossy(key).into_owned();
        let change = if kind == b"p" {
            self.opened(queue, &key, payload).map(Change::Put)
        } else {
            let amount = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
            amount.map(Change::Add).ok_or(Unreadable::Damaged)
        };
        Some(Queued { number, key, change })
    }

    async fn do_enqueue(
        &self,
        queue: &str,
        key: &Key,
        change: &Change,
        bounds: QueueBounds,
    ) -> Result<Enqueued, StoreError> {
        let (kind, payload) = match change {
            Change::Put(bytes) => ("p", self.sealed(queue, key.name(), bytes)?),
            Change::Add(amount) => ("a", amount.to_string().into_bytes()),
        };
        let partition = self.queue_partition(queue);
        let mut invocation = on(&self.settings.scripts.enqueue, &self.settings.layout, partition);
        invocation.arg(queue).arg(&**key.name()).arg(kind).arg(payload).arg(bounds.changes).arg(bounds.bytes);
        let (verdict, waiting): (String, u64) = self.invoke_replicated(partition, &invocation).await?;
        Ok(match verdict.as_str() {
            "ok" => Enqueued::Waiting(waiting),
            "full" => Enqueued::Full,
            _ => Enqueued::Unbegun,
        })
    }

    async fn do_pending(&self, queue: &str, key: &Key) -> Result<Pending, StoreError> {
        let fill = |invocation: &mut ScriptInvocation<'_>| {
            invocation.arg(&**key.name());
        };
        let (there, payload, add): (u8, Bytes, i64) =
            self.invoke_queue(queue, |scripts| &scripts.pending, fill).await?;
        let put = match there {
            0 => None,
            _ => Some(self.opened(queue, key.name(), &payload).map_err(|why| {
                StoreError::Failed(format!("what waits under {} cannot be read: {why:?}", key.name()))
            })?),
        };
        Ok(Pending { put, add })
    }

    async fn do_next_batch(&self, queue: &str, flusher: Flusher) -> Result<NextBatch, StoreError> {
        let fill = |invocation: &mut ScriptInvocation<'_>| {
            invocation.arg(flusher.token).arg(flusher.claim.as_millis()).arg(flusher.most).arg(flusher.bytes);
            invocation.arg(flusher.interval.as_micros());
        };
        let (verdict, first, second): (String, i64, u64) =
            self.invoke_patiently(queue, |scripts| &scripts.next_batch, fill).await?;
        let number = u64::try_from(first).ok();
        let millis = || number.map(Duration::from_millis);
        match (verdict.as_str(), number) {
            ("claimed", _) => Ok(NextBatch::Claimed(millis().unwrap_or_default())),
            ("nothing", _) => Ok(NextBatch::Nothing(millis())),
            ("sealed" | "aside", Some(upto)) => Ok(NextBatch::Sealed { upto, done: second, aside: verdict == "aside" }),
            _ => Err(StoreError::Failed("the script of a queue answered what it does not say".to_owned())),
        }
    }

    async fn do_page(&self, queue: &str, after: u64, upto: u64, bytes: u64) -> Result<Vec<Queued>, StoreError> {
        let fill = |invocation: &mut ScriptInvocation<'_>| {
            invocation.arg(after).arg(upto).arg(bytes);
        };
        let rows: Vec<Bytes> = self.invoke_patiently(queue, |scripts| &scripts.page, fill).await?;
        let read = |row: &[Bytes]| self.queued(queue, &row[0], &row[1], &row[2], &row[3]);
        let changes: Option<Vec<Queued>> = rows.chunks_exact(4).map(read).collect();
        changes.ok_or_else(|| StoreError::Failed("a change of a queue has no number".to_owned()))
    }

    async fn do_set_aside(
        &self,
        queue: &str,
        token: u64,
        number: u64,
        reason: &str,
        most: u64,
    ) -> Result<bool, StoreError> {
        let reason = self.sealed(queue, REASON, reason.as_bytes())?;
        let fill = |invocation: &mut ScriptInvocation<'_>| {
            invocation.arg(token).arg(number).arg(reason).arg(most);
        };
        match self.invoke_patiently::<i8>(queue, |scripts| &scripts.set_aside, fill).await? {
            -1 => Err(StoreError::Failed(format!("{most} changes are set aside, and that is as many as may be"))),
            set => Ok(set == 1),
        }
    }

    async fn do_list_aside(&self, queue: &str, limit: usize) -> Result<Vec<SetAside>, StoreError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(self.aside_stream(queue)).arg("-").arg("+").arg("COUNT").arg(limit);
        let rows: Vec<(String, Vec<Bytes>)> = self.query(self.queue_partition(queue), &command).await?;
        let read = |(id, fields): (String, Vec<Bytes>)| {
            let [_, key, kind, payload, _, reason] = fields.as_slice() else { return None };
            let number = id.split('-').next().unwrap_or_default();
            let queued = self.queued(queue, number.as_bytes(), key, kind, payload)?;
            let reason = self.opened(queue, REASON, reason);
            let reason = reason.map(|reason| String::from_utf8_lossy(&reason).into_owned());
            Some(SetAside { queued, reason: reason.unwrap_or_default() })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    async fn do_queue_size(&self, queue: &str) -> Result<QueueSize, StoreError> {
        let (waiting, bytes, oldest_us, set_aside): (u64, u64, u64, u64) =
            self.invoke_patiently(queue, |scripts| &scripts.queue_size, |_| {}).await?;
        Ok(QueueSize { waiting, bytes, oldest: Duration::from_micros(oldest_us), set_aside })
    }

    /// What the Redis that has the queue says of how it keeps what it holds; nothing if it does not tell.
    async fn do_risk(&self, queue: &str) -> Option<String> {
        let partition = self.queue_partition(queue);
        let section =
            async |name: &str| self.query::<String>(partition, redis::cmd("INFO").arg(name)).await.unwrap_or_default();
        let says = |info: &str, line: &str| info.lines().any(|said| said.trim_end().starts_with(line));
        if says(&section("persistence").await, "aof_enabled:0") {
            return Some(
                "Redis keeps no append-only file, and what waits is lost with it. Set `appendonly yes`, and `appendfsync always` if \
                 not even the last second may be lost with its machine"
                    .to_owned(),
            );
        }
        says(&section("memory").await, "maxmemory_policy:allkeys").then(|| "Redis may evict it".to_owned())
    }
}

impl Queues for RedisStore {
    fn begin<'a>(&'a self, queue: &'a str, after: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let fill = |invocation: &mut ScriptInvocation<'_>| {
                invocation.arg(after);
            };
            self.invoke_queue::<u8>(queue, |scripts| &scripts.begin, fill).await.map(|_| ())
        })
    }

    fn enqueue<'a>(
        &'a self,
        queue: &'a str,
        key: &'a Key,
        change: &'a Change,
        bounds: QueueBounds,
    ) -> BoxFuture<'a, Result<Enqueued, StoreError>> {
        Box::pin(self.do_enqueue(queue, key, change, bounds))
    }

    fn pending<'a>(&'a self, queue: &'a str, key: &'a Key) -> BoxFuture<'a, Result<Pending, StoreError>> {
        Box::pin(self.do_pending(queue, key))
    }

    fn next_batch<'a>(&'a self, queue: &'a str, flusher: Flusher) -> BoxFuture<'a, Result<NextBatch, StoreError>> {
        Box::pin(self.do_next_batch(queue, flusher))
    }

    fn page<'a>(
        &'a self,
        queue: &'a str,
        after: u64,
        upto: u64,
        bytes: u64,
    ) -> BoxFuture<'a, Result<Vec<Queued>, StoreError>> {
        Box::pin(self.do_page(queue, after, upto, bytes))
    }

    fn keep_claim<'a>(&'a self, queue: &'a str, flusher: Flusher) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.invoke_queue(
            queue,
            |scripts| &scripts.keep_claim,
            move |invocation| {
                invocation.arg(flusher.token).arg(flusher.claim.as_millis());
            },
        ))
    }

    fn give_up_claim<'a>(&'a self, queue: &'a str, token: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let fill = |invocation: &mut ScriptInvocation<'_>| {
                invocation.arg(token);
            };
            self.invoke_queue::<u8>(queue, |scripts| &scripts.give_up_claim, fill).await.map(|_| ())
        })
    }

    fn settle<'a>(&'a self, queue: &'a str, upto: u64, written: bool) -> BoxFuture<'a, Result<Settled, StoreError>> {
        Box::pin(async move {
            let fill = |invocation: &mut ScriptInvocation<'_>| {
                invocation.arg(upto).arg(LEAVING_AT_ONCE).arg(u8::from(written));
            };
            Ok(match self.invoke_patiently::<u8>(queue, |scripts| &scripts.settle, fill).await? {
                1 => Settled::All,
                2 => Settled::Some,
                _ => Settled::Other,
            })
        })
    }

    fn narrow<'a>(
        &'a self,
        queue: &'a str,
        token: u64,
        from: u64,
        upto: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.invoke_queue(
            queue,
            |scripts| &scripts.narrow,
            move |invocation| {
                invocation.arg(token).arg(from).arg(upto);
            },
        ))
    }

    fn set_aside<'a>(
        &'a self,
        queue: &'a str,
        token: u64,
        number: u64,
        reason: &'a str,
        most: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.do_set_aside(queue, token, number, reason, most))
    }

    fn close_aside<'a>(&'a self, queue: &'a str, token: u64, number: u64) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.invoke_patiently(
            queue,
            |scripts| &scripts.close_aside,
            move |invocation| {
                invocation.arg(token).arg(number);
            },
        ))
    }

    fn list_aside<'a>(&'a self, queue: &'a str, limit: usize) -> BoxFuture<'a, Result<Vec<SetAside>, StoreError>> {
        Box::pin(self.do_list_aside(queue, limit))
    }

    fn take_aside<'a>(
        &'a self,
        queue: &'a str,
        number: u64,
        back: bool,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(async move {
            let fill = |invocation: &mut ScriptInvocation<'_>| {
                invocation.arg(number).arg(u8::from(back));
            };
            let taken: Vec<String> = self.invoke_queue(queue, |scripts| &scripts.take_aside, fill).await?;
            Ok(taken.into_iter().next())
        })
    }

    fn size<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<QueueSize, StoreError>> {
        Box::pin(self.do_queue_size(queue))
    }

    fn risk<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(self.do_risk(queue))
    }
}
