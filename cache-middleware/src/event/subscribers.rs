//! Who wants to hear of events.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;

use super::Event;

type Subscriber = Arc<dyn Fn(Event) -> BoxFuture<'static, ()> + Send + Sync>;

/// Who wants to hear of an event.
#[derive(Default)]
pub(crate) struct Subscribers {
    of: RwLock<HashMap<String, Vec<Subscriber>>>,
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.of.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_map().entries(of.iter().map(|(event, all)| (event, all.len()))).finish()
    }
}

impl Subscribers {
    pub(crate) fn add<F, Fut>(&self, event: &str, subscriber: F)
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let boxed: Subscriber = Arc::new(move |event| Box::pin(subscriber(event)));
        let mut of = self.of.write().unwrap_or_else(PoisonError::into_inner);
        of.entry(event.to_owned()).or_default().push(boxed);
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.of.read().unwrap_or_else(PoisonError::into_inner).contains_key(event)
    }

    /// Tells each in a task of its own, so that a slow one holds up nobody and one that panics takes nobody along.
    pub(crate) fn tell(&self, event: &Event) {
        let of = self.of.read().unwrap_or_else(PoisonError::into_inner);
        for subscriber in of.get(event.name()).into_iter().flatten() {
            tokio::spawn(subscriber(event.clone()));
        }
    }
}
