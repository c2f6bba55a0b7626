//! Whose turn it is to run a handler, among the nodes.

use std::sync::Arc;

use tokio::time::Instant;

use super::CacheManager;
use super::fill::Stored;
use super::look::{Asking, Hit, Look, Missed};
use crate::entry::{Entry, Stamp};
use crate::outcome::RefusalReason;
use crate::store::{FlightRight, TakeOff, Woken};
use crate::telemetry::FlightRole;
use crate::time::Moment;

/// Who runs the handler, as far as the other nodes are concerned.
pub(super) enum Turn<'a, A> {
    /// This node.
    Run { missed: Missed, right: Option<Box<dyn FlightRight + 'a>>, stored: Stored },
    /// Nobody any more.
    Hit(Hit<A>, Arc<Entry>, Stamp),
    /// Everybody for themselves.
    GaveUp,
}

impl<'a, A> Turn<'a, A> {
    fn run(missed: Missed, right: Option<Box<dyn FlightRight + 'a>>) -> Self {
        let landing = right.as_ref().and_then(|right| right.landing());
        Self::Run { missed, right, stored: Stored::Yes(landing) }
    }
}

impl CacheManager {
    /// Waits for another's flight.
    pub(super) async fn follows<T>(&self, role: FlightRole, landing: impl Future<Output = T>) -> T {
        let began = Moment::now();
        let landed = landing.await;
        self.inner.telemetry.flights.count(role);
        self.inner.telemetry.flights.waited(Moment::now().since(began));
        landed
    }

    /// Waits until no other node runs the handler, at most until the deadline.
    pub(super) async fn take_turn<'a, A>(
        &'a self,
        asking: &'a Asking<'_>,
        accept: impl Fn(&Entry) -> Option<A>,
        mut missed: Missed,
        deadline: Option<Instant>,
    ) -> Turn<'a, A> {
        let blind = missed.stamp.incarnation == 0;
        let Some(member) = self.inner.member.as_ref().filter(|_| !blind) else {
            return Turn::run(missed, None);
        };
        loop {
            let (waiting, right) = match member.take_off(asking.key).await {
                Ok(TakeOff::Wait(waiting)) => (Some(waiting), None),
                Ok(TakeOff::Lead { right, look_again: true }) => (None, Some(right)),
                Ok(TakeOff::Lead { right, look_again: false }) => {
                    return Turn::run(missed, Some(right));
                }
                // One command that failed is enough delay: the store is not asked again for this request.
                Err(_) => {
                    return Turn::Run { missed, right: None, stored: Stored::No(RefusalReason::StoreUnavailable) };
                }
            };
            if let Some(waiting) = waiting {
                let Some(deadline) = deadline else {
                    let stale = missed.stale.as_ref();
                    return match stale.and_then(|stale| Some((stale.plain_hit(&accept)?, stale.entry.clone()))) {
                        Some((hit, entry)) => Turn::Hit(hit, entry, missed.stamp),
                        None => Turn::GaveUp,
                    };
                };
                let waiting = tokio::time::timeout_at(deadline, waiting.0);
                match self.follows(FlightRole::FollowerElsewhere, waiting).await {
                    Ok(Woken::LookAgain) => {}
                    Ok(Woken::GaveUp) => return Turn::GaveUp,
                    Err(_) => {
                        let stored = Stored::No(RefusalReason::WaitedTooLong);
                        return Turn::Run { missed, right: None, stored };
                    }
                }
            }
            match self.look(asking, &accept).await {
                Look::Hit(hit, entry, valid_at) => return Turn::Hit(hit, entry, valid_at),
                Look::Miss(newer) => missed = newer,
            }
            if right.is_some() || missed.stamp.incarnation == 0 {
                return Turn::run(missed, right);
            }
        }
    }
}
