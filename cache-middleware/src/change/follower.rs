//! Follows one channel: knows its position, applies what comes next, and finds out what it has missed.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::channel::tags_of;
use super::counts::{Counts, count, is_told};
use super::message::ChangeMessage;
use super::route::Route;
use crate::digest;
use crate::manager::CacheManager;
use crate::store::{Payload, Position, Pushed};
use crate::tenant::Tenant;
use crate::time::Moment;

/// How many ids are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// For how long nobody else clears because of the same message.
const TAKEN_ON: Duration = Duration::from_secs(60);

/// How many messages wait to be applied: more are read from what is kept.
pub(super) const WAITING: usize = 1_024;

/// What a follower is told.
pub(super) enum Told {
    /// A message, as it is pushed.
    Pushed(Pushed),
    /// Some may have been missed.
    Look,
    /// Another cache follows; the answer says whether the position is known from which on it will be told everything.
    Joins(Weak<dyn Route>, oneshot::Sender<bool>),
}

pub(super) struct Follower {
    /// As the tenant's whose channel it is.
    cache: CacheManager,
    data_type: String,
    channel: String,
    beat: Duration,
    counts: Arc<Counts>,
    routes: Vec<Weak<dyn Route>>,
    /// Up to where everything was told; `None` until that is known.
    seen: Option<Position>,
    /// Ids that were heard, and whether in a message that was counted; and a digest of what it said.
    heard: LruCache<(bool, String), u64>,
}

impl Follower {
    pub(super) fn new(
        cache: CacheManager,
        data_type: String,
        channel: String,
        beat: Duration,
        counts: Arc<Counts>,
    ) -> Self {
        let heard = LruCache::new(REMEMBERED);
        Self { cache, data_type, channel, beat, counts, routes: Vec::new(), seen: None, heard }
    }

    /// Follows until nobody tells it anything any more.
    pub(super) async fn run(mut self, mut told: mpsc::Receiver<Told>) {
        let mut beat = interval(self.beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                told = told.recv() => told,
                _ = beat.tick() => Some(Told::Look),
            };
            match told {
                None => return,
                Some(Told::Pushed(pushed)) => self.pushed(pushed).await,
                Some(Told::Look) => {
                    self.routes.retain(|route| route.strong_count() > 0);
                    if self.routes.is_empty() {
                        // Who joins later begins at the position of then.
                        self.seen = None;
                    } else {
                        self.look().await;
                    }
                }
                Some(Told::Joins(route, knows)) => {
                    if self.seen.is_none() {
                        self.look().await;
                    }
                    self.routes.push(route);
                    let _ = knows.send(self.seen.is_some());
                }
            }
        }
    }

    async fn pushed(&mut self, pushed: Pushed) {
        let Some(position) = pushed.position else { return self.apply(pushed.payload, false).await };
        let Some(seen) = self.seen else { return };
        if position.incarnation == seen.incarnation && position.number <= seen.number {
            count(&self.counts.duplicates);
        } else if position == next(seen) {
            self.seen = Some(position);
            self.apply(pushed.payload, true).await;
        } else {
            // What is between is on its way, or was lost: the store knows.
            self.look().await;
        }
    }

    /// Asks for what comes after the position. When that is applied, there is a proof.
    async fn look(&mut self) {
        loop {
            let at = Moment::now();
            let after = self.seen.unwrap_or_default();
            let Some(channels) = self.cache.store().channels() else { return };
            let since = match channels.since(&self.channel, after).await {
                Ok(since) => since,
                Err(error) => {
                    log::debug!("{} is not followed just now: {error}", self.channel);
                    return;
                }
            };
            let known = self.seen.is_some();
            if known && since.is_nothing(after) {
                return self.proven(at);
            }
            let kept = VecDeque::from(since.kept);
            let goes_on = known && since.head.incarnation == after.incarnation && since.head.number > after.number;
            if !goes_on || kept.front().is_none_or(|(number, _)| *number != next(after).number) {
                if known {
                    count(&self.counts.gaps);
                    log::info!(
                        "messages of {} were missed and are not kept: what follows it begins anew",
                        self.channel
                    );
                }
                self.seen = Some(since.head);
                return self.missed().await;
            }
            for (number, payload) in kept {
                let position = Position { number, ..after };
                if self.seen.is_none_or(|seen| next(seen) != position) {
                    // A hole in what is kept: the next question is about it.
                    break;
                }
                self.seen = Some(position);
                count(&self.counts.caught_up);
                self.apply(payload, true).await;
            }
            if self.seen == Some(since.head) {
                return self.proven(at);
            }
        }
    }

    async fn apply(&mut self, payload: Payload, counted: bool) {
        let decoded = match &payload {
            Payload::Text(text) => ChangeMessage::decode(text, self.cache.current_tenant().map_or("", Tenant::as_str))
                .map(|message| (message, u64::from_be_bytes(digest::checksum([&text[..]])))),
            Payload::Unreadable => Err("it is sealed by another key, or was tampered with".to_owned()),
        };
        let (message, digest) = match decoded {
            Ok(decoded) => decoded,
            Err(why) => {
                let so_many = count(&self.counts.malformed);
                if is_told(so_many) {
                    log::warn!("a message on {} is not read ({why}); {so_many} so far", self.channel);
                }
                // One of ours tells that something has changed, even if it cannot be read.
                if counted {
                    self.missed().await;
                }
                return;
            }
        };
        match self.heard.put((counted, message.event_id.clone()), digest) {
            Some(before) if before == digest => {
                count(&self.counts.duplicates);
                return;
            }
            // What it says may be true: that it is no repetition is.
            Some(_) => {
                log::warn!("{} messages on {} have one id, and say something else", message.event_type, self.channel);
            }
            None => {}
        }
        count(&self.counts.applied);
        if !counted {
            count(&self.counts.hints);
            self.clear(&message, digest).await;
        }
        for route in self.routes.iter().filter_map(Weak::upgrade) {
            route.changed(&message, counted).await;
        }
    }

    /// Clears what is made of a record, as a publisher of ours does before it publishes. Every node hears the message; one clears.
    async fn clear(&self, message: &ChangeMessage, digest: u64) {
        // Somebody who takes it on and dies loses it, as whoever published it had to expect.
        let of_all = format!("change {} {digest:016x} {}", self.channel, message.event_id);
        let taken = self.cache.count(&of_all, 1, TAKEN_ON).await;
        if taken.is_ok_and(|taken| taken.value > 1) {
            return;
        }
        let targets = self.cache.targets(tags_of(&self.data_type, message), Vec::new());
        if let Err(error) = self.cache.clear(targets).await {
            log::error!("after a message on {}: {error}", self.channel);
        }
    }

    async fn missed(&self) {
        for route in self.routes.iter().filter_map(Weak::upgrade) {
            route.missed().await;
        }
    }

    fn proven(&self, at: Moment) {
        for route in self.routes.iter().filter_map(Weak::upgrade) {
            route.proven(at);
        }
    }
}

fn next(position: Position) -> Position {
    Position { number: position.number + 1, ..position }
}
