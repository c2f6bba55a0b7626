//! Channels in the memory of the process: they end with it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};

use crate::chance;
use crate::error::StoreError;
use crate::store::{Channels, Hearer, Hearing, MessageText, Position, Pushed, Since};

/// How many messages are given at once.
const AT_ONCE: usize = 500;

#[derive(Debug)]
pub(super) struct MemoryChannels {
    incarnation: u64,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<String, Channel>,
    hearers: BTreeMap<u64, (String, Arc<dyn Hearer>)>,
    last_hearer: u64,
}

#[derive(Debug, Default)]
struct Channel {
    head: Position,
    kept: VecDeque<(Position, Bytes)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self, channel: &str, position: Option<(Position, u64)>, text: &Bytes) -> u64 {
        let mut told = 0;
        for (_, hearer) in self.hearers.values().filter(|(prefix, _)| channel.starts_with(prefix.as_str())) {
            let payload = MessageText::Text(text.clone());
            hearer.heard(Pushed { channel: channel.to_owned(), position, payload });
            told += 1;
        }
        told
    }
}

/// One that hears, until it is dropped.
#[derive(Debug)]
struct MemoryHearing {
    shared: Arc<Shared>,
    number: u64,
}

impl Hearing for MemoryHearing {}

impl Drop for MemoryHearing {
    fn drop(&mut self) {
        self.shared.lock().hearers.remove(&self.number);
    }
}

impl Default for MemoryChannels {
    fn default() -> Self {
        Self { incarnation: chance::random(), shared: Arc::default() }
    }
}

impl Channels for MemoryChannels {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        text: &'a Bytes,
        keep: u64,
    ) -> BoxFuture<'a, Result<Position, StoreError>> {
        let mut state = self.shared.lock();
        let entry = state.channels.entry(channel.to_owned()).or_default();
        let before = entry.head.check;
        let number = entry.head.number + 1;
        let position = Position { incarnation: self.incarnation, number, check: chance::random() };
        entry.head = position;
        entry.kept.push_back((position, text.clone()));
        while entry.kept.len() as u64 > keep {
            entry.kept.pop_front();
        }
        state.tell(channel, Some((position, before)), text);
        Box::pin(ready(Ok(position)))
    }

    fn since<'a>(&'a self, channel: &'a str, after: Position) -> BoxFuture<'a, Result<Since, StoreError>> {
        let state = self.shared.lock();
        let found = state.channels.get(channel);
        let head = found.map_or_else(Position::default, |channel| channel.head);
        let head = Position { incarnation: self.incarnation, ..head };
        let from = if after.incarnation == self.incarnation { after.number } else { 0 };
        let newer = found.into_iter().flat_map(|channel| &channel.kept).filter(|(at, _)| at.number >= from);
        let kept = newer.take(AT_ONCE).map(|(at, text)| (*at, MessageText::Text(text.clone()))).collect();
        Box::pin(ready(Ok(Since { head, kept })))
    }

    fn announce<'a>(&'a self, channel: &'a str, text: &'a Bytes) -> BoxFuture<'a, Result<u64, StoreError>> {
        let told = self.shared.lock().tell(channel, None, text);
        Box::pin(ready(Ok(told)))
    }

    fn listen(&self, prefix: &str, hearer: Arc<dyn Hearer>) -> Box<dyn Hearing> {
        let mut state = self.shared.lock();
        state.last_hearer += 1;
        let number = state.last_hearer;
        state.hearers.insert(number, (prefix.to_owned(), hearer.clone()));
        drop(state);
        hearer.hears();
        Box::new(MemoryHearing { shared: self.shared.clone(), number })
    }
}
