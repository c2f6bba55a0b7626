//! Who is told what a channel says.

use std::fmt;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ChangeMessage;
use crate::time::Moment;

/// A cache that follows a channel. It is told in the order of the channel.
pub(crate) trait Route: fmt::Debug + Send + Sync {
    /// A record has changed. `counted`: the message has its place in the channel, and nobody but a publisher of ours gives it that.
    fn changed<'a>(&'a self, message: &'a ChangeMessage, counted: bool) -> BoxFuture<'a, ()>;

    /// Messages were missed; those from now on will be told.
    fn missed(&self) -> BoxFuture<'_, ()>;

    /// At this moment or later everything that had been published was told.
    fn proven(&self, at: Moment);
}

/// The key of the record that a message is about: a field of its data. A number that is written as a text is one, and the other way round.
pub(crate) fn record_key<K: DeserializeOwned>(message: &ChangeMessage, field: &str) -> Option<K> {
    let value = message.data.fields.get(field)?;
    let other = match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Number(number) => Some(Value::String(number.to_string())),
        _ => None,
    };
    serde_json::from_value(value.clone()).ok().or_else(|| serde_json::from_value(other?).ok())
}
