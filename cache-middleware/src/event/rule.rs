//! Rules: event → templates of the tags it clears.

use std::collections::BTreeMap;

use super::Event;
use crate::error::CacheError;
use crate::policy::hint;
use crate::tag::{Tag, is_tag_byte};
use crate::template::Template;

/// The rules of a manager.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    tags_of: BTreeMap<String, Vec<Template>>,
    /// What calls of the program clear.
    by_call: Vec<Template>,
}

impl Rules {
    /// Adds a rule; several rules of one event add up. Gives what is wrong with it.
    pub(crate) fn add(&mut self, event: &str, tags: impl IntoIterator<Item = String>) -> Vec<String> {
        if event.is_empty() {
            return vec!["an event has a name: `.on(\"session.created\", [..])`".to_owned()];
        }
        let (templates, mut problems) = parsed(&format!("the rule of {event:?}"), tags);
        if templates.is_empty() && problems.is_empty() {
            problems.push(format!("the rule of {event:?} clears nothing: name at least one tag"));
        }
        // Also when something is wrong with it: the event is known, and saying otherwise would only confuse.
        self.tags_of.entry(event.to_owned()).or_default().extend(templates);
        problems
    }

    /// Takes note of tags that the program clears by calls. Gives what is wrong with them.
    pub(crate) fn add_calls(&mut self, tags: impl IntoIterator<Item = String>) -> Vec<String> {
        let (templates, problems) = parsed("cleared_by_call", tags);
        self.by_call.extend(templates);
        problems
    }

    /// The tags that calls clear.
    pub(crate) fn by_call(&self) -> impl Iterator<Item = &str> {
        self.by_call.iter().map(Template::text)
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.tags_of.contains_key(event)
    }

    /// Every event with a tag that it clears.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.tags_of.iter();
        all.flat_map(|(event, templates)| templates.iter().map(move |template| (event.as_str(), template.text())))
    }

    /// The placeholders of an event's rules, each with the tag it stands in.
    pub(crate) fn placeholders(&self, event: &str) -> impl Iterator<Item = (&str, &str)> {
        let templates = self.tags_of.get(event).into_iter().flatten();
        templates.flat_map(|template| template.placeholders().map(|name| (name, template.text())))
    }

    /// Why an event has no rule, with the one that was probably meant.
    pub(crate) fn unknown(&self, event: &str) -> String {
        let known: Vec<&str> = self.tags_of.keys().map(String::as_str).collect();
        let hint = hint(event, &known);
        format!(
            "no rule says what the event {event:?} clears{hint} \
             Add `.on({event:?}, [..])` to the builder, or `.subscribe({event:?}, ..)` if it clears nothing"
        )
    }

    /// The tags that an event clears, and what is wrong with those that it should clear and cannot name.
    ///
    /// A text that is no tag (an empty or very long value) is left out: no entry can have it, because one that names it
    /// is not stored. A field that is missing is a mistake of the program: what it would have named is not known.
    pub(crate) fn tags(&self, event: &Event) -> (Vec<Tag>, Option<CacheError>) {
        let mut tags = Vec::new();
        let mut wrong = None;
        for template in self.tags_of.get(event.name()).into_iter().flatten() {
            match template.render(|name| event.field(name).map(str::to_owned)) {
                Ok(text) => match Tag::new(&text) {
                    Ok(tag) => tags.push(tag),
                    Err(error) => {
                        log::warn!("the event {:?} clears nothing by a tag that is none: {error}", event.name());
                    }
                },
                Err(missing) => {
                    wrong = Some(CacheError::Event(format!(
                        "the event {:?} has no field {missing:?}, which its rule needs for the tag {:?}: everything was cleared",
                        event.name(),
                        template.text()
                    )));
                }
            }
        }
        (tags, wrong)
    }
}

/// Templates of tags, and what is wrong with the others; `whose` they are, for that.
fn parsed(whose: &str, tags: impl IntoIterator<Item = String>) -> (Vec<Template>, Vec<String>) {
    let (mut templates, mut problems) = (Vec::new(), Vec::new());
    for text in tags {
        let refuse = |why: String| format!("{whose} has the tag {text:?}: {why}");
        match Template::parse(&text) {
            Ok(template)
                if template.text().is_empty() || !template.literals().all(|part| part.bytes().all(is_tag_byte)) =>
            {
                problems.push(refuse("a tag is visible ASCII without space, comma and double quote".to_owned()));
            }
            Ok(template) => templates.push(template),
            Err(error) => problems.push(refuse(error.to_string())),
        }
    }
    (templates, problems)
}
