//! Tells those who keep a source's data that it has changed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::ChangeMessage;
use super::channel;
use super::outbox::Outbox;
use crate::error::{CacheError, StoreError};
use crate::manager::{CacheManager, in_a_runtime};
use crate::store::Target;

/// How many of the fields of a message may name a record.
const MOST_NAMES: usize = 16;

/// The most messages that a channel keeps.
const MOST_KEPT: u64 = 100_000;

/// Publishes change messages of an application, and clears what was made of the records that they are about. Clones share everything.
///
/// Publish after the change is committed: who asks the source because of a message must find it there.
///
/// ```
/// use cache_middleware::{CacheManager, ChangeMessage, ChangePublisher};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let publisher = ChangePublisher::builder("crm").start(&cache).await?.tenant("123")?;
/// let message = ChangeMessage::new("credit-config-changed")
///     .field("operationCode", "crm.leads.create")
///     .changed(&["credit_cost"])
///     .from_to(2.5, 3.0)
///     .version(7);
/// // On the channel crm:123:credit-configs.
/// let receipt = publisher.publish("credit-configs", message).await?;
/// assert!(!receipt.waiting);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone)]
pub struct ChangePublisher {
    app: Arc<str>,
    max_bytes: usize,
    outbox: Arc<Outbox>,
    cache: CacheManager,
}

impl fmt::Debug for ChangePublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangePublisher").field("app", &self.app).field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// What became of a message.
///
/// At work: [`crate::ChangePublisher`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishReceipt {
    /// The id of the message.
    pub event_id: String,
    /// Whether the store has not acknowledged the message: it waits in the memory of this process and is retried.
    pub waiting: bool,
    /// Whether the store has not acknowledged the clear of what was made of the record: it is journaled and retried.
    pub journaled: bool,
}

/// Settings of a [`ChangePublisher`].
///
/// At work: [`crate::ChangePublisher`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ChangePublisherBuilder {
    app: String,
    keep: u64,
    max_bytes: usize,
    most_waiting: usize,
}

impl ChangePublisherBuilder {
    /// How many messages of each channel are kept, about: who has missed fewer reads them, and who has missed more loads everything
    /// from the source. Default 256; 0: none. For a day at most.
    pub fn keep(mut self, messages: u64) -> Self {
        self.keep = messages;
        self
    }

    /// The most bytes of a message. Default 4 KiB, at most 64 KiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The most messages that wait in memory while the store is away. Default 10,000; beyond that they are refused.
    pub fn most_waiting(mut self, messages: usize) -> Self {
        self.most_waiting = messages;
        self
    }

    /// Starts it, within the Tokio runtime that lives as long as the service.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if a setting is not one, or if the store of the manager has no channels.
    pub async fn start(self, cache: &CacheManager) -> Result<ChangePublisher, CacheError> {
        in_a_runtime()?;
        channel::check("an application", &self.app)?;
        let store = cache.store();
        if store.channels().is_none() {
            return Err(CacheError::Invalid(format!("{} has no channels", store.describe())));
        }
        if !(256..=64 << 10).contains(&self.max_bytes) {
            return Err(CacheError::Invalid("max_bytes of a change message is 256 to 65536".to_owned()));
        }
        if self.keep > MOST_KEPT || self.most_waiting == 0 {
            return Err(CacheError::Invalid(format!(
                "a channel keeps 0 to {MOST_KEPT} messages, and 1 at least may wait"
            )));
        }
        let outbox = Arc::new(Outbox::start(cache, self.keep, self.most_waiting));
        Ok(ChangePublisher { app: self.app.into(), max_bytes: self.max_bytes, outbox, cache: cache.clone() })
    }
}

impl ChangePublisher {
    /// The settings of a publisher on an application's channels, `app:tenant:data-type`. An application is 1 to 64 of
    /// `A-Z a-z 0-9 . _ -`. It shares the namespace of its store with those who hear it.
    pub fn builder(app: impl Into<String>) -> ChangePublisherBuilder {
        ChangePublisherBuilder { app: app.into(), keep: 256, max_bytes: 4 << 10, most_waiting: 10_000 }
    }

    /// A handle for this tenant's channels.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the name is not a tenant name.
    pub fn tenant(&self, name: &str) -> Result<Self, CacheError> {
        Ok(Self { cache: self.cache.tenant(name)?, ..self.clone() })
    }

    /// Clears what is cached under the tags of the record, `data-type:value` for each text and number that the message says, and
    /// publishes it, after those of its channel that wait. What the store does not acknowledge is retried: the clear from the
    /// journal, the message from the memory of this process; both also if the caller goes away.
    ///
    /// # Errors
    /// [`CacheError::Invalid`], [`CacheError::Encode`] or [`CacheError::QueueFull`]: nothing was done. [`CacheError::Journal`]: it will be
    /// published, and the clear waits in memory only.
    pub async fn publish(&self, data_type: &str, message: ChangeMessage) -> Result<PublishReceipt, CacheError> {
        let event_id = message.event_id.clone();
        let Prepared { channel, text, targets } = self.prepare(data_type, message)?;
        let published = self.outbox.add(&channel, text)?;
        // Nothing is waited for in between: a caller that goes away leaves the clear to the journal.
        let cleared = self.cache.clear(targets).await?;
        Ok(PublishReceipt { event_id, waiting: published.await.is_err(), journaled: cleared.journaled })
    }

    /// As [`Self::publish`], now or not at all: for who keeps the message until it is acknowledged, as a row of an outbox that is
    /// written in the transaction of the change. A message that is published again under the id of the first is heard once.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] or [`CacheError::Encode`]: nothing was done. [`CacheError::Store`]: it was published, or it was not.
    pub async fn try_publish(&self, data_type: &str, message: ChangeMessage) -> Result<(), CacheError> {
        let Prepared { channel, text, targets } = self.prepare(data_type, message)?;
        if self.cache.clear(targets).await?.journaled {
            let why = format!("what was made of a record of {data_type} is not cleared yet");
            return Err(StoreError::Unavailable(why).into());
        }
        self.outbox.publish(&channel, &text).await?;
        Ok(())
    }

    /// Waits until no message waits; `false` if it takes longer than `within`. A clear that is journaled may still.
    pub async fn flush(&self, within: Duration) -> bool {
        let mut left = self.outbox.left();
        tokio::time::timeout(within, left.wait_for(|left| *left == 0)).await.is_ok_and(|ended| ended.is_ok())
    }

    fn prepare(&self, data_type: &str, message: ChangeMessage) -> Result<Prepared, CacheError> {
        channel::check("a data type", data_type)?;
        let tenant = self.cache.current_tenant();
        let tenant_id = tenant.map_or_else(String::new, |tenant| tenant.as_str().to_owned());
        let message = ChangeMessage { tenant_id, ..message };
        let tags = channel::tags_of(data_type, &message);
        if tags.is_empty() || tags.len() > MOST_NAMES {
            let (event, names) = (&message.event_type, tags.len());
            return Err(CacheError::Invalid(format!(
                "the message of {event:?} names {names} records by its fields: name one, with `.field(\"id\", id)`, and say {} things \
                 of it at most",
                MOST_NAMES - 1
            )));
        }
        let text = message.encode(self.max_bytes)?.into();
        let targets = self.cache.targets(tags, Vec::new());
        Ok(Prepared { channel: channel::name(&self.app, tenant, data_type).into(), text, targets })
    }
}

/// A message that is one.
struct Prepared {
    channel: Arc<str>,
    text: Bytes,
    /// What is made of the record that it is about.
    targets: Vec<Target>,
}

impl CacheManager {
    /// Tells whoever subscribes to a channel of the store, outside of what is cached: for other programs, such as those that hold
    /// the WebSockets of a service. Nobody keeps it; gives how many have heard it. The channel is named as it is, for all tenants.
    ///
    /// # Errors
    /// [`CacheError::Encode`], or [`CacheError::Store`] if the store did not do it, or has no channels.
    pub async fn announce<T: Serialize>(&self, channel: &str, message: &T) -> Result<u64, CacheError> {
        let text = serde_json::to_vec(message).map_err(|error| CacheError::Encode(error.to_string()))?;
        let Some(channels) = self.store().channels() else {
            return Err(StoreError::Failed(format!("{} has no channels", self.store().describe())).into());
        };
        Ok(channels.announce(channel, &text.into()).await?)
    }
}
