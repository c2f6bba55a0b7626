//! Channels: a counter of messages and the last of them, in one partition; told to whoever subscribes to the channel's own name.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::RedisStore;
use super::call::Call;
use super::hearing::RedisHearing;
use super::layout::Layout;
use super::operations::new_incarnation;
use super::scripts::on;
use super::settings::Settings;
use crate::chance::random;
use crate::digest;
use crate::error::StoreError;
use crate::store::{Channels, Hearer, Hearing, MessageText, Position, Since};

/// How many messages are given at once.
const AT_ONCE: usize = 200;

/// How a message begins that was counted, as `scripts/channel/publish.lua` writes it.
const POSITION: &[u8] = b"{\"position\":\"";

/// A message that only those read who have the key: an object with this member.
const SEALED: &str = "{\"sealed\":\"";

impl Settings {
    fn channel_place(channel: &str) -> Vec<u8> {
        format!("channel {channel}").into_bytes()
    }

    fn sealed_message(&self, channel: &str, text: &Bytes) -> Result<Bytes, StoreError> {
        if self.keys.is_empty() {
            return Ok(text.clone());
        }
        let sealed = self.keys.seal(&Self::channel_place(channel), text);
        let sealed = sealed.ok_or_else(|| StoreError::Failed("the message cannot be encrypted".to_owned()))?;
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{SEALED}{hex}\"}}").into())
    }

    /// What a message says, and whether it is of somebody who has our keys.
    fn opened_message(&self, channel: &str, text: Bytes) -> (MessageText, bool) {
        let sealed = text.strip_prefix(SEALED.as_bytes()).and_then(|rest| rest.strip_suffix(b"\"}"));
        match sealed {
            None => (MessageText::Text(text), self.keys.is_empty()),
            Some(hex) => {
                let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                let sealed: Option<Vec<u8>> = hex.chunks(2).map(byte).collect();
                let opened = sealed.and_then(|sealed| self.keys.open(&Self::channel_place(channel), &sealed));
                (opened.map_or(MessageText::Unreadable, |opened| MessageText::Text(opened.into())), true)
            }
        }
    }

    /// A message as it came: its position is believed only of somebody who has our keys.
    pub(super) fn pushed(&self, channel: &str, raw: &[u8]) -> (Option<(Position, u64)>, MessageText) {
        let counted = raw.strip_prefix(POSITION).and_then(|rest| {
            let end = rest.iter().position(|byte| *byte == b'"')?;
            let position = position_of(std::str::from_utf8(&rest[..end]).ok()?)?;
            Some((position, [b"{", rest[end + 1..].strip_prefix(b",")?].concat()))
        });
        match counted {
            None => (None, self.opened_message(channel, Bytes::copy_from_slice(raw)).0),
            Some((position, text)) => {
                let (payload, ours) = self.opened_message(channel, text.into());
                (ours.then_some(position), payload)
            }
        }
    }
}

/// Reads `<incarnation> <number> <check> <check of the message before>`.
fn position_of(text: &str) -> Option<(Position, u64)> {
    let mut fields = text.split(' ');
    let hex = |field: &str| u64::from_str_radix(field, 16).ok();
    let incarnation = hex(fields.next()?)?;
    let number = fields.next()?.parse().ok()?;
    let (check, before) = (hex(fields.next()?)?, hex(fields.next()?)?);
    fields.next().is_none().then_some((Position { incarnation, number, check }, before))
}

impl RedisStore {
    fn channel_partition(&self, channel: &str) -> u16 {
        digest::partition([channel], self.settings.layout.partition_count())
    }

    async fn do_publish(&self, channel: &str, text: &Bytes, keep: u64) -> Result<Position, StoreError> {
        let text = self.settings.sealed_message(channel, text)?;
        let partition = self.channel_partition(channel);
        let check = random();
        let mut invocation = on(&self.settings.scripts.publish, &self.settings.layout, partition);
        invocation.arg(channel).arg(&*Layout::member(channel)).arg(&*text).arg(keep).arg(format!("{check:016x}"));
        invocation.arg(new_incarnation());
        let (incarnation, number): (String, u64) = self.invoke_replicated(partition, &invocation).await?;
        Ok(Position { incarnation: number_of(&incarnation)?, number, check })
    }

    async fn do_since(&self, channel: &str, after: Position) -> Result<Since, StoreError> {
        let partition = self.channel_partition(channel);
        // A master that was replaced answers on for a while: who is found by sentinels is asked about as well.
        let (mut connection, call) = self.router.call(partition)?;
        let mut invocation = on(&self.settings.scripts.since, &self.settings.layout, partition);
        invocation.arg(&*Layout::member(channel)).arg(format!("{:016x}", after.incarnation)).arg(after.number);
        invocation.arg(AT_ONCE).arg(new_incarnation());
        let answer = Call::patient(call).ended(invocation.invoke_async(&mut connection));
        let (answer, is_master) = futures_util::future::join(answer, self.router.is_at_master(partition)).await;
        let (incarnation, number, check, kept): (String, u64, String, Vec<Bytes>) = answer?;
        if !is_master {
            return Err(StoreError::Unavailable("the sentinels name another master".to_owned()));
        }
        let head = Position { incarnation: number_of(&incarnation)?, number, check: number_of(&check)? };
        let read = |row: &[Bytes]| {
            let number = std::str::from_utf8(&row[0]).ok()?.parse().ok()?;
            let check = u64::from_str_radix(std::str::from_utf8(&row[1]).ok()?, 16).ok()?;
            let (payload, ours) = self.settings.opened_message(channel, row[2].clone());
            Some((Position { number, check, ..head }, if ours { payload } else { MessageText::Unreadable }))
        };
        let kept: Option<Vec<(Position, MessageText)>> = kept.chunks_exact(3).map(read).collect();
        let wrong = || StoreError::Failed("the script of a channel answered what it does not say".to_owned());
        Ok(Since { head, kept: kept.ok_or_else(wrong)? })
    }

    async fn do_announce(&self, channel: &str, text: &Bytes) -> Result<u64, StoreError> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(&**text);
        self.query(self.channel_partition(channel), &command).await
    }
}

fn number_of(text: &str) -> Result<u64, StoreError> {
    u64::from_str_radix(text, 16).map_err(|_| StoreError::Failed("the fence cannot be read".to_owned()))
}

impl Channels for RedisStore {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        text: &'a Bytes,
        keep: u64,
    ) -> BoxFuture<'a, Result<Position, StoreError>> {
        Box::pin(self.do_publish(channel, text, keep))
    }

    fn since<'a>(&'a self, channel: &'a str, after: Position) -> BoxFuture<'a, Result<Since, StoreError>> {
        Box::pin(self.do_since(channel, after))
    }

    fn announce<'a>(&'a self, channel: &'a str, text: &'a Bytes) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(self.do_announce(channel, text))
    }

    fn listen(&self, prefix: &str, hearer: Arc<dyn Hearer>) -> Box<dyn Hearing> {
        Box::new(RedisHearing::start(self.router.clone(), self.settings.clone(), prefix, hearer))
    }
}
