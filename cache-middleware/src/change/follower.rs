//! Follows one channel: knows its position, applies what comes next, and finds out what it has missed.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use lru::LruCache;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::channel::tags_of;
use super::counts::{Counts, count, is_told};
use super::message::ChangeMessage;
use super::route::Route;
use crate::digest;
use crate::manager::CacheManager;
use crate::store::{MessageText, Position, Pushed};
use crate::tenant::Tenant;
use crate::time::Moment;

/// How many ids are remembered.
const REMEMBERED: usize = 4_096;

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
    /// Another cache follows: it is told everything from then on, or that it has missed something as soon as the position is known.
    Joins(Weak<dyn Route>, oneshot::Sender<()>),
}

/// What who tells a follower has in common with it.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Whether messages that nobody counted were too many at once: what they said is not known.
    pub(super) overflowed: AtomicBool,
    /// Whether it is there although no cache follows: for what such messages clear.
    pub(super) clears: AtomicBool,
}

pub(super) struct Follower {
    /// As the tenant's whose channel it is.
    cache: CacheManager,
    data_type: String,
    channel: String,
    beat: Duration,
    counts: Arc<Counts>,
    /// What it has in common with who tells it.
    followed: Arc<Followed>,
    routes: Vec<Weak<dyn Route>>,
    /// Up to where everything was told; `None` until that is known.
    seen: Option<Position>,
    /// Ids that were heard, and whether in a message that was counted; and a digest of what it said.
    heard: LruCache<(bool, String), u64>,
}

impl Follower {
    pub(super) fn new(
        cache: CacheManager,
        (data_type, channel): (String, String),
        beat: Duration,
        counts: Arc<Counts>,
        followed: Arc<Followed>,
    ) -> Self {
        let heard = LruCache::unbounded();
        Self { cache, data_type, channel, beat, counts, followed, routes: Vec::new(), seen: None, heard }
    }

    /// Follows until nobody tells it anything any more, or `ends` says that it may end: nobody follows.
    pub(super) async fn run(mut self, mut told: mpsc::Receiver<Told>, ends: impl Fn() -> bool) {
        let mut beat = interval(self.beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                told = told.recv() => told,
                _ = beat.tick() => Some(Told::Look),
            };
            // At most once in a beat: a flood goes on.
            if matches!(next, Some(Told::Look)) && self.followed.overflowed.swap(false, Ordering::SeqCst) {
                self.forget_all().await;
            }
            match next {
                None => return,
                Some(Told::Pushed(pushed)) => self.pushed(pushed).await,
                Some(Told::Look) => {
                    self.routes.retain(|route| route.strong_count() > 0);
                    if !self.routes.is_empty() {
                        self.look().await;
                    } else if told.is_empty() && !self.followed.clears.load(Ordering::SeqCst) && ends() {
                        return;
                    } else {
                        // Who joins later begins at the position of then.
                        self.seen = None;
                    }
                }
                Some(Told::Joins(route, joined)) => {
                    if self.seen.is_none() {
                        self.look().await;
                    }
                    self.routes.push(route);
                    let _ = joined.send(());
                }
            }
        }
    }

    async fn pushed(&mut self, pushed: Pushed) {
        let Some((position, before)) = pushed.position else { return self.apply(pushed.payload, false).await };
        let Some(seen) = self.seen else { return };
        let same_life = position.incarnation == seen.incarnation;
        if same_life && (position.number < seen.number || position == seen) {
            count(&self.counts.duplicates);
        } else if same_life && position.number == seen.number + 1 && before == seen.check {
            self.seen = Some(position);
            self.apply(pushed.payload, true).await;
        } else {
            // What is between is on its way, or was lost; or one of the two was never published. The store knows.
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
            let mut kept = since.kept.into_iter().peekable();
            // What is at the position is what was applied; before the first message there is nothing.
            let is_ours = after.number == 0 || kept.next_if(|(at, _)| *at == after).is_some();
            let goes_on = known && is_ours && since.head.incarnation == after.incarnation;
            if !goes_on || kept.peek().is_none_or(|(at, _)| at.number != after.number + 1) {
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
            for (position, payload) in kept {
                if self.seen.is_none_or(|seen| position.number != seen.number + 1) {
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

    async fn apply(&mut self, payload: MessageText, counted: bool) {
        let decoded = match &payload {
            MessageText::Text(text) => {
                ChangeMessage::decode(text, self.cache.current_tenant().map_or("", Tenant::as_str))
                    .map(|message| (message, u64::from_be_bytes(digest::checksum([&text[..]]))))
            }
            MessageText::Unreadable => Err("it is sealed by another key, or was tampered with".to_owned()),
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
        let before = self.heard.put((counted, message.event_id.clone()), digest);
        if self.heard.len() > REMEMBERED {
            self.heard.pop_lru();
        }
        match before {
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
        for route in self.routes.iter().filter_map(Weak::upgrade) {
            // One cache that cannot take it must not keep it from the others.
            let changed = AssertUnwindSafe(async { route.changed(&message, counted).await });
            if changed.catch_unwind().await.is_err() {
                log::error!("a cache of {} panicked over a message: it begins anew", self.channel);
                route.missed().await;
            }
        }
        if !counted {
            count(&self.counts.hints);
            self.clear(message, digest).await;
        }
    }

    /// Clears what is made of a record, as a publisher of ours does when it publishes. Every node hears the message; one clears. Critical
    /// caches do not wait for that, unless as many things go on in the background as may.
    async fn clear(&self, message: ChangeMessage, digest: u64) {
        let (cache, channel, tags) = (self.cache.clone(), self.channel.clone(), tags_of(&self.data_type, &message));
        let clearing = async move {
            // Somebody who takes it on and dies loses it, as whoever published it had to expect.
            let of_all = format!("change {channel} {digest:016x} {}", message.event_id);
            let taken = cache.count(&of_all, 1, TAKEN_ON).await;
            if taken.is_ok_and(|taken| taken.value > 1) {
                return;
            }
            let targets = cache.targets(tags, Vec::new());
            if let Err(error) = cache.clear(targets).await {
                log::error!("after a message on {channel}: {error}");
            }
        };
        match self.cache.background() {
            Some(right) => drop(tokio::spawn(right.run(clearing))),
            None => clearing.await,
        }
    }

    /// What messages have said is not known: whatever is made of the data may be wrong, under whatever tags, which the records that are
    /// not known would have told. So everything of the tenant is cleared, or of none.
    async fn forget_all(&self) {
        self.missed().await;
        if let Err(error) = self.cache.clear(vec![self.cache.all_of_owner()]).await {
            log::error!("after more messages on {} than could be heard: {error}", self.channel);
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
