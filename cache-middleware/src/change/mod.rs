//! Change messages: what a source of truth tells those who keep its data, that it has changed.

mod channel;
mod consumer;
mod counts;
mod follower;
mod message;
mod outbox;
mod publisher;
mod route;

pub(crate) use self::channel::record_tag;
pub use self::consumer::{ChangeConsumer, ChangeConsumerBuilder};
pub use self::counts::ConsumerProgress;
pub(crate) use self::counts::{count, is_told};
#[cfg(feature = "test-util")]
pub(crate) use self::message::read_twice;
pub use self::message::{ChangeData, ChangeMessage};
pub use self::publisher::{ChangePublisher, ChangePublisherBuilder, PublishReceipt};
pub(crate) use self::route::{Route, record_key};
