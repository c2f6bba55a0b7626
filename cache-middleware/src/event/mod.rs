//! Events and the rules that turn them into tags.
//!
//! An event says what happened in the words of the application (`session.created`, with its fields); a rule says which
//! tags that makes wrong. Handlers name events, the start of the service holds the rules, and nobody lists keys.

mod rule;
mod subscribers;

use std::borrow::Cow;
use std::fmt::Display;

pub(crate) use rule::Rules;
pub(crate) use subscribers::Subscribers;

/// Something that happened, with the fields that rules may name.
///
/// ```
/// use cache_middleware::Event;
///
/// let event = Event::new("session.created").with("teacher_id", 7);
/// assert_eq!(event.field("teacher_id"), Some("7"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    name: Cow<'static, str>,
    fields: Vec<(Cow<'static, str>, String)>,
}

impl Event {
    /// An event without fields.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), fields: Vec::new() }
    }

    /// Adds a field. A field that is added again replaces the first.
    #[must_use]
    pub fn with(mut self, field: impl Into<Cow<'static, str>>, value: impl Display) -> Self {
        let field = field.into();
        self.fields.retain(|(name, _)| *name != field);
        self.fields.push((field, value.to_string()));
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// A type that stands for an event: derive it on a struct with named fields that implement `Display`.
///
/// ```
/// use cache_middleware::{CacheEvent, Event};
///
/// #[derive(CacheEvent)]
/// #[cache_event("session.created")]
/// struct SessionCreated { session_id: u64, teacher_id: u64 }
///
/// let event: Event = SessionCreated { session_id: 1, teacher_id: 7 }.into_event();
/// assert_eq!(event.name(), SessionCreated::NAME);
/// assert_eq!(event.field("teacher_id"), Some("7"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "derive it: `#[derive(CacheEvent)] #[cache_event(\"thing.happened\")]`, or name the event with a string"
)]
pub trait CacheEvent {
    /// The name of the event.
    const NAME: &'static str;

    /// The names of its fields.
    const FIELDS: &'static [&'static str];

    /// The event with its fields.
    fn into_event(self) -> Event;
}
