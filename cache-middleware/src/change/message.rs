//! What a change message says.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::chance;
use crate::error::CacheError;

/// The most bytes that a message may have for who reads it.
const LONGEST: usize = 64 << 10;

/// The most bytes of an event's id.
const LONGEST_ID: usize = 128;

/// What a message says of each change, beside its fields.
const RESERVED: [&str; 4] = ["changedFields", "newValue", "oldValue", "version"];

/// That a record has changed, and how: in JSON, as any program can write it.
///
/// ```
/// use cache_middleware::ChangeMessage;
///
/// let message = ChangeMessage::new("credit-config-changed")
///     .field("operationCode", "crm.leads.create")
///     .changed(&["credit_cost"])
///     .from_to(2.5, 3.0)
///     .version(7);
/// let json = serde_json::to_value(&message).unwrap();
/// assert_eq!(json["eventType"], "credit-config-changed");
/// assert_eq!(json["data"]["operationCode"], "crm.leads.create");
/// assert_eq!(json["data"]["newValue"], 3.0);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeMessage {
    /// Tells it from every other: who hears it twice does so once.
    pub event_id: String,
    /// What has happened, such as `credit-config-changed`.
    pub event_type: String,
    /// Whose data it is; empty for nobody's.
    pub tenant_id: String,
    /// What has changed.
    pub data: ChangeData,
}

/// What has changed: which record, which of its fields, and the value that is kept of it. Not the record.
///
/// At work: [`crate::ChangeMessage`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeData {
    /// What names the record, such as `operationCode`, and whatever else is told.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
    /// The names of the fields that have changed.
    #[serde(default)]
    pub changed_fields: Vec<String>,
    /// What a critical cache is to hold; `null`: the record is gone. Without it, the source is asked.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub new_value: Option<Value>,
    /// What it held before.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub old_value: Option<Value>,
    /// Which of the record's values it is: larger than every one before it, also across a removal. Without it, the source is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Tells `null` from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl ChangeMessage {
    /// A message with an id of its own. Its tenant is that of the publisher's handle.
    pub fn new(event_type: impl Into<String>) -> Self {
        Self {
            event_id: format!("{:016x}{:016x}", chance::random(), chance::random()),
            event_type: event_type.into(),
            tenant_id: String::new(),
            data: ChangeData::default(),
        }
    }

    /// Gives it the id that the source knows it by, as that of a row of an outbox.
    #[must_use]
    pub fn id(mut self, event_id: impl Into<String>) -> Self {
        self.event_id = event_id.into();
        self
    }

    /// Says something of the change: what names the record at least.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.data.fields.insert(name.into(), value.into());
        self
    }

    /// Names fields that have changed.
    #[must_use]
    pub fn changed(mut self, fields: &[&str]) -> Self {
        self.data.changed_fields.extend(fields.iter().map(|field| (*field).to_owned()));
        self
    }

    /// Says what the value was, and what it is now; [`Value::Null`]: there was none, or there is none any more.
    #[must_use]
    pub fn from_to(mut self, old: impl Into<Value>, new: impl Into<Value>) -> Self {
        self.data.old_value = Some(old.into());
        self.data.new_value = Some(new.into());
        self
    }

    /// Says which of the record's values it is.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.data.version = Some(version);
        self
    }

    /// The bytes of it, at most so many: without its values, if those are too large.
    pub(super) fn encode(&self, most: usize) -> Result<Vec<u8>, CacheError> {
        if self.event_id.is_empty() || self.event_id.len() > LONGEST_ID {
            return Err(CacheError::Invalid(format!("the id of a change message has 1 to {LONGEST_ID} bytes")));
        }
        if self.event_type.is_empty() || self.data.fields.contains_key("") {
            return Err(CacheError::Invalid(
                "a change message has an event type, and its fields have names".to_owned(),
            ));
        }
        if let Some(taken) = RESERVED.iter().find(|name| self.data.fields.contains_key(**name)) {
            return Err(CacheError::Invalid(format!(
                "a field cannot be called {taken:?}: messages say that themselves"
            )));
        }
        let json = |message: &Self| serde_json::to_vec(message).map_err(|error| CacheError::Encode(error.to_string()));
        let mut bytes = json(self)?;
        if bytes.len() > most && self.data.new_value.is_some() {
            // That it has changed is told all the same, and the source is asked how.
            let mut short = self.clone();
            (short.data.new_value, short.data.old_value) = (None, None);
            bytes = json(&short)?;
        }
        if bytes.len() > most {
            let (event, length) = (&self.event_type, bytes.len());
            return Err(CacheError::Invalid(format!(
                "the message of {event:?} has {length} bytes, and {most} at most are published: say what has changed, and leave the \
                 record where it is"
            )));
        }
        Ok(bytes)
    }

    /// Reads one, or says why it is none, without what it holds.
    pub(super) fn decode(bytes: &[u8], tenant: &str) -> Result<Self, String> {
        if bytes.len() > LONGEST {
            return Err(format!("it has {} bytes, and {LONGEST} at most are read", bytes.len()));
        }
        let mut message: Self = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("it is no change message, from line {line}, column {column} on")
        })?;
        if message.tenant_id != tenant {
            return Err("it names another tenant than its channel does".to_owned());
        }
        if message.event_id.is_empty() || message.event_id.len() > LONGEST_ID {
            return Err(format!("its id does not have 1 to {LONGEST_ID} bytes"));
        }
        if message.event_type.is_empty() {
            return Err("it has no event type".to_owned());
        }
        // Without a name it names nothing; what else the message says still counts.
        message.data.fields.remove("");
        Ok(message)
    }
}

/// The id of a message, and that of the same message written and read again; `None` for anything else.
#[cfg(feature = "test-util")]
pub(crate) fn read_twice(bytes: &[u8]) -> Option<(String, Result<String, String>)> {
    let message = ChangeMessage::decode(bytes, "123").ok()?;
    let written = message.encode(usize::MAX).map_err(|error| error.to_string());
    let again =
        written.and_then(|written| serde_json::from_slice::<ChangeMessage>(&written).map_err(|e| e.to_string()));
    Some((message.event_id, again.map(|again| again.event_id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_THE_SEEDS: &str = r#"{"eventId":"change-123","eventType":"credit-config-changed","tenantId":"123","data":
        {"configId":"cfg-789","operationCode":"crm.leads.create","changedFields":["credit_cost"],"newValue":3.0,"oldValue":2.5}}"#;

    #[test]
    fn what_has_no_name_is_left_out_and_without_a_type_it_is_none() {
        let nameless = OF_THE_SEEDS.replace("configId", "");
        let message = ChangeMessage::decode(nameless.as_bytes(), "123").unwrap();
        assert!(!message.data.fields.contains_key("") && message.data.fields.contains_key("operationCode"));
        assert!(message.encode(usize::MAX).is_ok());
        let typeless = OF_THE_SEEDS.replace("credit-config-changed", "");
        assert!(ChangeMessage::decode(typeless.as_bytes(), "123").is_err());
    }

    #[test]
    fn a_message_of_another_program_is_read() {
        let message = ChangeMessage::decode(OF_THE_SEEDS.as_bytes(), "123").unwrap();
        assert_eq!(message.data.fields["operationCode"], "crm.leads.create");
        assert_eq!(message.data.new_value, Some(Value::from(3.0)));
        assert_eq!(message.data.version, None);
        let again = ChangeMessage::decode(&message.encode(4_096).unwrap(), "123").unwrap();
        assert_eq!(again, message);
    }

    #[test]
    fn null_is_not_nothing() {
        let gone = ChangeMessage::new("x").field("id", 1).from_to(1, Value::Null).id("e");
        let read = ChangeMessage::decode(&gone.encode(4_096).unwrap(), "").unwrap();
        assert_eq!(read.data.new_value, Some(Value::Null));
        let silent = ChangeMessage::new("x").field("id", 1);
        assert_eq!(ChangeMessage::decode(&silent.encode(4_096).unwrap(), "").unwrap().data.new_value, None);
    }

    #[test]
    fn what_is_no_message_is_refused_without_its_words() {
        let secret = OF_THE_SEEDS.replace("\"tenantId\"", "\"hunter2\"");
        for (bytes, tenant) in
            [(OF_THE_SEEDS, "124"), (secret.as_str(), "123"), ("", "123"), ("[]", "123"), ("{", "123")]
        {
            let refused = ChangeMessage::decode(bytes.as_bytes(), tenant).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        assert!(ChangeMessage::decode(&vec![b' '; LONGEST + 1], "").unwrap_err().contains("at most"));
    }

    #[test]
    fn p9_whole_records_are_not_published() {
        let whole = ChangeMessage::new("user-changed").field("user", "x".repeat(4_096));
        let refused = whole.encode(4_096).unwrap_err().to_string();
        assert!(refused.contains("leave the record"), "{refused}");
        let large =
            ChangeMessage::new("role-changed").field("roleId", "admin").from_to(1, "x".repeat(4_096)).version(2);
        let told = ChangeMessage::decode(&large.encode(4_096).unwrap(), "").unwrap();
        assert_eq!((told.data.new_value, told.data.version), (None, Some(2)));
    }
}
