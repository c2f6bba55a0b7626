//! The event bus: publish, and what the rules name is cleared and the subscribers are told.

use super::{CacheManager, ClearReceipt};
use crate::error::CacheError;
use crate::event::{CacheEvent, Event};

/// Publishes events; from [`CacheManager::events`].
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

    pub(crate) fn check_event(&self, name: &str) -> Result<(), String> {
        if self.inner.rules.has(name) || self.inner.subscribers.has(name) {
            Ok(())
        } else {
            Err(self.inner.rules.unknown(name))
        }
    }

    /// The tags that an event clears by its rules.
    pub(crate) fn tags_of(&self, event: &Event) -> Result<Vec<crate::tag::Tag>, CacheError> {
        self.check_event(event.name()).map_err(CacheError::Event)?;
        self.inner.rules.tags(event)
    }

    pub(crate) fn tell_subscribers(&self, event: &Event) {
        self.inner.subscribers.tell(event);
    }
}

impl CacheEventBus<'_> {
    /// Publishes an event by name: clears what its rules name, and then tells its subscribers.
    ///
    /// # Errors
    /// [`CacheError::Event`] if nothing is known of the event or a field is missing, and then nothing was done;
    /// [`CacheError::Store`] if the clear was not acknowledged yet.
    pub async fn publish(&self, event: Event) -> Result<ClearReceipt, CacheError> {
        let tags = self.manager.tags_of(&event)?;
        let receipt = self.manager.clear(self.manager.targets(tags, Vec::new())).await;
        self.manager.tell_subscribers(&event);
        receipt
    }

    /// Publishes a typed event.
    ///
    /// # Errors
    /// As [`CacheEventBus::publish`].
    pub async fn emit(&self, event: impl CacheEvent) -> Result<ClearReceipt, CacheError> {
        self.publish(event.into_event()).await
    }
}
