//! What callers send, checked field by field.

use chrono::{DateTime, FixedOffset};
use serde_json::Value;

use crate::answer::ApiError;

const MAX_TEXT: usize = 200;

/// A JSON object of a request.
#[derive(Debug)]
pub(crate) struct Input(serde_json::Map<String, Value>);

fn invalid(field: &str, message: &str) -> ApiError {
    ApiError::Invalid { field: field.to_owned(), message: message.to_owned() }
}

impl Input {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(invalid("body", "is a JSON object")),
            Err(error) => Err(invalid("body", &format!("is not JSON: {error}"))),
        }
    }

    pub(crate) fn text(&self, field: &str) -> Result<String, ApiError> {
        match self.0.get(field) {
            Some(Value::String(text)) if !text.trim().is_empty() && text.len() <= MAX_TEXT => Ok(text.clone()),
            Some(Value::String(_)) => Err(invalid(field, "is 1 to 200 bytes and not blank")),
            Some(_) => Err(invalid(field, "is a string")),
            None => Err(invalid(field, "is missing")),
        }
    }

    pub(crate) fn optional_text(&self, field: &str) -> Result<Option<String>, ApiError> {
        if self.0.contains_key(field) { self.text(field).map(Some) } else { Ok(None) }
    }

    pub(crate) fn optional_number(&self, field: &str) -> Result<Option<i64>, ApiError> {
        match self.0.get(field) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .filter(|number| (0..1_000_000_000).contains(number))
                .map(Some)
                .ok_or_else(|| invalid(field, "is a whole number from 0 on")),
        }
    }

    /// The object as it came.
    pub(crate) fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    pub(crate) fn time(&self, field: &str) -> Result<DateTime<FixedOffset>, ApiError> {
        let text = self.text(field)?;
        DateTime::parse_from_rfc3339(&text)
            .map_err(|_| invalid(field, "is a time with its offset, such as 2026-09-01T08:00:00Z"))
    }
}
