//! The event bus: publish, and what the rules name is cleared and the subscribers are told.

use std::time::Duration;

use super::{CacheManager, ClearReceipt};
use crate::error::CacheError;
use crate::event::{CacheEvent, Event};
use crate::store::Target;
use crate::tag::Tag;

/// Publishes events; from [`CacheManager::events`].
///
/// ```
/// use cache_middleware::{CacheManager, Event};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().on("session.created", ["teacher:{teacher_id}"]).build().await?;
/// let sessions = cache.policy("5m")?.tag("teacher:7")?;
/// cache.set("sessions:7", &sessions, &["Biology"]).await?;
/// let receipt = cache.events().publish(Event::new("session.created").with("teacher_id", 7)).await?;
/// assert_eq!(receipt.covered, 1);
/// // An event that nobody knows is an error, and clears nothing.
/// assert!(cache.events().publish(Event::new("session.craeted")).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CacheEventBus<'a> {
    manager: &'a CacheManager,
}

impl CacheManager {
    /// The event bus, speaking for this handle's tenant.
    #[must_use]
    pub fn events(&self) -> CacheEventBus<'_> {
        CacheEventBus { manager: self }
    }

    /// Calls a function after each event of a name from now on, as `CacheManagerBuilder::subscribe` does from the start.
    pub fn subscribe<F, Fut>(&self, event: &str, subscriber: F)
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.inner.subscribers.add(event, subscriber);
    }

    pub(crate) fn check_event(&self, name: &str) -> Result<(), String> {
        if self.inner.rules.has(name) || self.inner.subscribers.has(name) {
            Ok(())
        } else {
            Err(self.inner.rules.unknown(name))
        }
    }

    /// Clears what an event's rules name, and what is named beside it, in one step; then tells the subscribers. Gives what came of that,
    /// and what is wrong with the event: it is cleared for all the same.
    pub(crate) async fn clear_for(
        &self,
        event: Option<&Event>,
        tags: Vec<Tag>,
        keys: Vec<String>,
    ) -> (Result<ClearReceipt, CacheError>, Option<CacheError>) {
        let (targets, wrong) = self.targets_for(event, tags, keys);
        let cleared = self.settling(self.settle_of(event)).clear(targets).await;
        if let Some(event) = event {
            self.inner.subscribers.tell(event);
        }
        (cleared, wrong)
    }

    /// As [`Self::clear_for`], for a write that has not said what the event is about: what is known of it is cleared, and nobody is told.
    pub(crate) async fn clear_known_of(
        &self,
        event: Option<&Event>,
        mut tags: Vec<Tag>,
        keys: Vec<String>,
    ) -> Result<ClearReceipt, CacheError> {
        log::warn!(
            "a write redirects by an error, and so there is no `out`: what it would have named was not cleared. Return such a response as \
             `Ok`, or say by `when` which responses clear"
        );
        tags.extend(event.into_iter().flat_map(|event| self.inner.rules.tags(event).0));
        self.settling(self.settle_of(event)).clear(self.targets(tags, keys)).await
    }

    /// For how long the clears of an event settle.
    pub(crate) fn settle_of(&self, event: Option<&Event>) -> Duration {
        event.and_then(|event| self.inner.settles.get(event.name())).copied().unwrap_or_default()
    }

    /// What an event's rules name, and what is named beside it; and what is wrong with it.
    pub(crate) fn targets_for(
        &self,
        event: Option<&Event>,
        mut tags: Vec<Tag>,
        keys: Vec<String>,
    ) -> (Vec<Target>, Option<CacheError>) {
        let Some(event) = event else { return (self.targets(tags, keys), None) };
        let (by_rule, missing) = self.inner.rules.tags(event);
        // What the missing field would have named cannot be told from the rest: everything is cleared.
        if missing.is_some() {
            return (vec![self.whole()], missing);
        }
        tags.extend(by_rule);
        (self.targets(tags, keys), self.check_event(event.name()).map_err(CacheError::Event).err())
    }
}

impl CacheEventBus<'_> {
    /// Publishes an event by name: clears what its rules name, and then tells its subscribers.
    ///
    /// # Errors
    /// [`CacheError::Event`] if nothing is known of the event, or if a field is missing that a rule needs, and then
    /// everything (of the tenant) was cleared; [`CacheError::Journal`] if the clear was not
    /// acknowledged and cannot be journaled.
    pub async fn publish(&self, event: Event) -> Result<ClearReceipt, CacheError> {
        match self.manager.clear_for(Some(&event), Vec::new(), Vec::new()).await {
            // Both are to be known: the log has the one, the receipt the other.
            (Ok(receipt), Some(wrong)) if receipt.journaled => {
                log::error!("{wrong}");
                Ok(receipt)
            }
            (Ok(_), Some(wrong)) => Err(wrong),
            (cleared, _) => cleared,
        }
    }

    /// Publishes a typed event.
    ///
    /// # Errors
    /// As [`CacheEventBus::publish`].
    pub async fn emit(&self, event: impl CacheEvent) -> Result<ClearReceipt, CacheError> {
        self.publish(event.into_event()).await
    }
}
