//! Placeholders of a literal: the grammar of the library's `Template`, with the names checked against the arguments.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Error, Expr, LitStr, Result};

use crate::words;

/// A literal, taken apart.
#[derive(Clone)]
pub(crate) struct Template {
    pub(crate) literal: LitStr,
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone)]
pub(crate) enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// `{teacher.id}`
#[derive(Clone)]
pub(crate) struct Placeholder {
    /// The argument, or `out`.
    pub(crate) root: String,
    /// The whole path, placed at the literal.
    pub(crate) path: Expr,
}

/// Where a template stands, which says what it may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Visible ASCII without space, comma and double quote; `out` is there.
    Tag,
    /// Any text; `out` is not there yet.
    Key,
}

impl Template {
    /// Parses a literal; `arguments` are the names a placeholder may begin with, besides `out`.
    pub(crate) fn parse(literal: &LitStr, kind: Kind, arguments: &[String], out: bool) -> Result<Self> {
        let error = |message: String| Error::new(literal.span(), message);
        let text = literal.value();
        if text.is_empty() {
            return Err(error("this is empty: it would name nothing".to_owned()));
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = after;
                continue;
            }
            if from.starts_with('}') {
                return Err(error(format!("`{text}` has a `}}` without its `{{` (write `}}}}` for a brace)")));
            }
            let end = from[1..].find(['{', '}']).filter(|end| from[1 + end..].starts_with('}'));
            let Some(end) = end else {
                return Err(error(format!("`{text}` has a `{{` without its `}}` (write `{{{{` for a brace)")));
            };
            if matches!(parts.last(), Some(Part::Placeholder(_))) && !plain.contains(separates) {
                return Err(error(format!(
                    "in `{text}` two placeholders stand between characters that their values may hold, so that `a-b` and \
                     `c` would be the same as `a` and `b-c`: put a `:` or a `/` between them"
                )));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Placeholder(placeholder(&from[1..=end], literal.span(), arguments, out)?));
            rest = &from[end + 2..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        let template = Self { literal: literal.clone(), parts };
        if kind == Kind::Tag { template.check_tag() } else { Ok(template) }
    }

    fn check_tag(self) -> Result<Self> {
        for part in &self.parts {
            if let Part::Text(text) = part
                && let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || *c == ',' || *c == '"')
            {
                return Err(Error::new(
                    self.literal.span(),
                    format!("a tag cannot hold {bad:?}: it is visible ASCII without space, comma and double quote"),
                ));
            }
        }
        Ok(self)
    }

    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(placeholder),
            Part::Text(_) => None,
        })
    }

    /// Code that renders it; `argument` gives the code of an already rendered placeholder on an argument.
    pub(crate) fn render(&self, mut argument: impl FnMut(&Placeholder) -> TokenStream) -> TokenStream {
        let span = self.literal.span();
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => quote_spanned! { span => #text },
            Part::Placeholder(placeholder) => {
                let value = if placeholder.is_out() { placeholder.rendered() } else { argument(placeholder) };
                quote_spanned! { span => &*#value }
            }
        });
        quote_spanned! { span => ::cache_middleware::__private::text([#(#parts),*]) }
    }
}

impl Placeholder {
    pub(crate) fn is_out(&self) -> bool {
        self.root == "out"
    }

    /// Code that renders it, escaped.
    pub(crate) fn rendered(&self) -> TokenStream {
        let path = &self.path;
        let span = syn::spanned::Spanned::span(path);
        quote_spanned! { span => ::cache_middleware::__private::placeholder(&#path) }
    }
}

/// Whether a character cannot be part of an escaped value.
fn separates(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || "._~@+=-%".contains(c))
}

fn placeholder(name: &str, span: Span, arguments: &[String], out: bool) -> Result<Placeholder> {
    let malformed = || {
        Error::new(
            span,
            format!(
                "`{{{name}}}` is not a placeholder: it is a name, or names joined by dots, such as `{{teacher.id}}`"
            ),
        )
    };
    let well_formed = !name.is_empty()
        && name.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !well_formed {
        return Err(malformed());
    }
    let root = name.split('.').next().unwrap_or_default().to_owned();
    let mut known: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if root == "out" && !out && !known.contains(&"out") {
        return Err(Error::new(
            span,
            format!("`{{{name}}}`: `out` is not there yet, or not in every case, where this is needed"),
        ));
    }
    if out {
        known.push("out");
    }
    if !known.contains(&root.as_str()) {
        let known_list = if known.is_empty() { "none".to_owned() } else { words::list(&known) };
        let of_path = if words::nearest(&root, &known).is_none() && known.contains(&"path") {
            ". A parameter of the route is a part of `path`: `{path}`, or of several `{path.0}`"
        } else {
            ""
        };
        let hint = words::hint(&root, &known);
        return Err(Error::new(
            span,
            format!("`{{{name}}}` begins with no argument{hint} There is {known_list}{of_path}"),
        ));
    }
    // Placed at the literal, so that rustc's own errors (no such field, private field) point there too.
    let words = name.split('.').map(|word| {
        let is_keyword = !word.starts_with(|c: char| c.is_ascii_digit()) && syn::parse_str::<syn::Ident>(word).is_err();
        if is_keyword { format!("r#{word}") } else { word.to_owned() }
    });
    let path: Expr = syn::parse_str(&words.collect::<Vec<_>>().join(".")).map_err(|_| malformed())?;
    let path = respan(path.to_token_stream(), span);
    Ok(Placeholder { root, path: syn::parse2(path).map_err(|_| malformed())? })
}

fn respan(tokens: TokenStream, span: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            token.set_span(span);
            token
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library is held to the same lines.
    #[test]
    fn templates_are_read_as_the_library_reads_them() {
        let arguments = ["a", "b", "id", "teacher", "snake_case"].map(str::to_owned);
        for line in include_str!("../../tests/fixtures/templates.txt").lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ') {
                Some(("accept", rest)) => {
                    let (text, names) = rest.split_once(" =>").expect("placeholders");
                    let literal = LitStr::new(text, Span::call_site());
                    let template = Template::parse(&literal, Kind::Key, &arguments, false);
                    let template = template.unwrap_or_else(|error| panic!("{text}: {error}"));
                    let found: Vec<String> = template
                        .placeholders()
                        .map(|placeholder| placeholder.path.to_token_stream().to_string().replace(' ', ""))
                        .collect();
                    assert_eq!(found.join(","), names.trim(), "{text}");
                }
                Some(("refuse", text)) => {
                    let literal = LitStr::new(text, Span::call_site());
                    assert!(Template::parse(&literal, Kind::Key, &arguments, false).is_err(), "{text}");
                }
                _ => panic!("{line}"),
            }
        }
    }
}
