//! Channels behind faults.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::{ChaosStore, Fault, Faults, Operation};
use crate::error::StoreError;
use crate::store::{Channels, Hearer, Hearing, Position, Pushed, Since};

/// Hears nothing: the store has no channels.
#[derive(Debug)]
struct Deaf;

impl Hearing for Deaf {}

/// Hears as faults have it.
#[derive(Debug)]
struct ChaosHearer {
    inner: Arc<dyn Hearer>,
    faults: Arc<Faults>,
}

impl Hearer for ChaosHearer {
    fn heard(&self, pushed: Pushed) {
        self.faults.count(Operation::Push);
        match self.faults.of(Operation::Push) {
            None => self.inner.heard(pushed),
            // Later than what comes after it.
            Some(Fault::Delay(by)) => {
                let inner = self.inner.clone();
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(async move {
                        tokio::time::sleep(by).await;
                        inner.heard(pushed);
                    });
                }
            }
            Some(Fault::Twice) => {
                self.inner.heard(pushed.clone());
                self.inner.heard(pushed);
            }
            Some(Fault::Error | Fault::Lost | Fault::Hang | Fault::Held) => {}
        }
    }

    fn hears(&self) {
        self.inner.hears();
    }
}

impl ChaosStore {
    fn channel<'a, T: Send + 'a>(
        &'a self,
        step: impl Fn(&'a dyn Channels) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let none = || StoreError::Failed("the store has no channels".to_owned());
        Box::pin(self.faults.befall(Operation::Channel, move || {
            let asked = self.inner.channels().map(&step);
            async move { asked.ok_or_else(none)?.await }
        }))
    }
}

impl Channels for ChaosStore {
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        text: &'a Bytes,
        keep: u64,
    ) -> BoxFuture<'a, Result<Position, StoreError>> {
        self.channel(move |channels| channels.publish(channel, text, keep))
    }

    fn since<'a>(&'a self, channel: &'a str, after: Position) -> BoxFuture<'a, Result<Since, StoreError>> {
        self.channel(move |channels| channels.since(channel, after))
    }

    fn announce<'a>(&'a self, channel: &'a str, text: &'a Bytes) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.channel(move |channels| channels.announce(channel, text))
    }

    fn listen(&self, prefix: &str, hearer: Arc<dyn Hearer>) -> Box<dyn Hearing> {
        let hearer = Arc::new(ChaosHearer { inner: hearer, faults: self.faults.clone() });
        match self.inner.channels() {
            Some(channels) => channels.listen(prefix, hearer),
            None => Box::new(Deaf),
        }
    }
}
