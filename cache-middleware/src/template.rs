//! Templates such as `teacher:{teacher_id}`: literal text and placeholders.
//!
//! The same grammar is read by the macros at compile time (`cache-macros`, `template.rs`); both are checked against
//! `tests/fixtures/templates.txt`. A brace that stands for itself is doubled.

use std::fmt;

use crate::tag::escape;

/// A parsed template.
///
/// At work: [`Template::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(String),
}

/// Why a template is not one.
///
/// At work: [`crate::Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte offset of the mistake.
    pub offset: usize,
    /// What is wrong there.
    pub message: &'static str,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.message, self.offset)
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`TemplateError`] with the offset of an unbalanced brace or of an empty or malformed placeholder.
    ///
    /// ```
    /// use cache_middleware::Template;
    ///
    /// let template = Template::parse("teacher:{id}").unwrap();
    /// assert_eq!(template.render(|name| (name == "id").then(|| "7:x".to_owned())).unwrap(), "teacher:7%3Ax");
    /// assert_eq!(Template::parse("teacher:{id").unwrap_err().offset, 8);
    /// ```
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.char_indices().peekable();
        while let Some((offset, c)) = rest.next() {
            match c {
                '{' if rest.next_if(|(_, next)| *next == '{').is_some() => literal.push('{'),
                '}' if rest.next_if(|(_, next)| *next == '}').is_some() => literal.push('}'),
                '{' => {
                    let name = placeholder(text, offset)?;
                    // Skip the name and its closing brace.
                    while rest.next().is_some_and(|(_, next)| next != '}') {}
                    if matches!(parts.last(), Some(Part::Placeholder(_))) && !literal.contains(separates) {
                        return Err(TemplateError { offset, message: UNSEPARATED });
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Placeholder(name.to_owned()));
                }
                '}' => return Err(TemplateError { offset, message: "a `}` without its `{` (write `}}` for a brace)" }),
                other => literal.push(other),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of its placeholders, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The literal parts, in order.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(text.as_str()),
            Part::Placeholder(_) => None,
        })
    }

    /// Fills the placeholders, each value escaped (see [`crate::escape`]).
    ///
    /// # Errors
    /// The name of the first placeholder for which `value` has none.
    pub fn render(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
        let mut out = String::with_capacity(self.text.len() + 16);
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Placeholder(name) => out.push_str(&escape(&value(name).ok_or(name.as_str())?)),
            }
        }
        Ok(out)
    }
}

const UNSEPARATED: &str = "two placeholders stand between characters that their values may hold, so that `a-b` and `c` \
                           would be the same as `a` and `b-c`: put a `:` or a `/` between them";

/// Whether a character cannot be part of an escaped value.
pub(crate) fn separates(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || "._~@+=-%".contains(c))
}

/// The name of the placeholder that opens at `offset`: identifiers and tuple indexes joined by dots.
fn placeholder(text: &str, offset: usize) -> Result<&str, TemplateError> {
    let after = &text[offset + 1..];
    let Some(end) = after.find(['{', '}']).filter(|end| after[*end..].starts_with('}')) else {
        return Err(TemplateError { offset, message: "a `{` without its `}` (write `{{` for a brace)" });
    };
    let name = &after[..end];
    let well_formed = !name.is_empty()
        && name.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if well_formed {
        Ok(name)
    } else {
        Err(TemplateError {
            offset,
            message: "a placeholder is a name, or names joined by dots, such as `{teacher.id}`",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The macros are held to the same lines.
    #[test]
    fn templates_are_read_as_the_macros_read_them() {
        for line in include_str!("../../tests/fixtures/templates.txt").lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ') {
                Some(("accept", rest)) => {
                    let (text, names) = rest.split_once(" =>").expect("placeholders");
                    let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
                    assert_eq!(template.placeholders().collect::<Vec<_>>().join(","), names.trim(), "{text}");
                }
                Some(("refuse", text)) => assert!(Template::parse(text).is_err(), "{text}"),
                _ => panic!("{line}"),
            }
        }
    }
}
