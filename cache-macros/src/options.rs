//! What may stand in the attributes. Each value keeps its place in the source, so that a later error can point at it.

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Result, Token, bracketed, parenthesized};

use crate::words;

const CACHED: [&str; 21] = [
    "ttl",
    "tags",
    "key",
    "skip",
    "vary",
    "when",
    "unless",
    "statuses",
    "max_body",
    "public",
    "manager",
    "l1_ttl",
    "coherence",
    "max_variants",
    "max_entries",
    "client_ttl",
    "cdn_ttl",
    "surrogate_key",
    "cache_tag",
    "edge_cache_tag",
    "cache_groups",
];
const INVALIDATES: [&str; 5] = ["event", "tags", "keys", "when", "coherence"];

/// The largest `max_body`, as the library has it.
const LARGEST_MAX_BODY: u64 = 64 << 20;

/// `#[cached(..)]`
#[derive(Default)]
pub(crate) struct Cached {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) key: Option<LitStr>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) vary: Vec<LitStr>,
    pub(crate) when: Option<Expr>,
    pub(crate) unless: Option<Expr>,
    pub(crate) statuses: Vec<u16>,
    pub(crate) max_body: Option<usize>,
    pub(crate) public: bool,
    pub(crate) manager: Option<Expr>,
    /// Zero: not at all.
    pub(crate) l1_ttl: Option<Duration>,
    pub(crate) strict: bool,
    pub(crate) max_variants: Option<u64>,
    pub(crate) max_entries: Option<u64>,
    pub(crate) client_ttl: Option<Duration>,
    pub(crate) cdn_ttl: Option<Duration>,
    /// The options that were given, to point at one that does not fit.
    pub(crate) given: Vec<Ident>,
}

pub(crate) enum Ttl {
    Named(LitStr),
    For(Duration),
}

/// `#[invalidates(..)]`
pub(crate) struct Invalidates {
    pub(crate) event: Option<Event>,
    pub(crate) fields: Vec<(Ident, Expr)>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) keys: Vec<LitStr>,
    pub(crate) when: Option<Expr>,
    pub(crate) strict: bool,
}

pub(crate) enum Event {
    Named(LitStr),
    Typed(syn::ExprStruct),
}

impl Parse for Cached {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        let mut problems = Problems::default();
        while !input.is_empty() {
            let name = option_name(input, "write `ttl = \"5m\"`")?;
            problems.note_twice(&name, &options.given);
            options.given.push(name.clone());
            options.option(&name, input, &mut problems)?;
            comma(input)?;
        }
        if !options.given.iter().any(|name| name == "ttl") {
            problems.add(Error::new(
                Span::call_site(),
                "`#[cached]` needs a `ttl`: a name that is registered with the manager (`ttl = \"session-list\"`) or a \
                 duration (`ttl = \"5m\"`)",
            ));
        }
        problems.into_result().map(|()| options)
    }
}

impl Cached {
    fn option(&mut self, name: &Ident, input: ParseStream<'_>, problems: &mut Problems) -> Result<()> {
        match name.to_string().as_str() {
            "ttl" => self.ttl = problems.keep(text(name, input).and_then(|text| ttl(&text))),
            "tags" => self.tags = texts(name, input)?,
            "key" => self.key = Some(text(name, input)?),
            "skip" => {
                let inner;
                parenthesized!(inner in input);
                let names = Punctuated::<Ident, Token![,]>::parse_terminated_with(&inner, Ident::parse_any)?;
                self.skip.extend(names);
            }
            "vary" => {
                self.vary = texts(name, input)?;
                for header in &self.vary {
                    problems.keep(vary(header));
                }
            }
            "when" => self.when = Some(expression(name, input)?),
            "unless" => self.unless = Some(expression(name, input)?),
            "statuses" => {
                for status in array::<LitInt>(name, input)? {
                    self.statuses.extend(problems.keep(storable_status(&status)));
                }
            }
            "max_body" => self.max_body = problems.keep(text(name, input).and_then(|text| size(&text))),
            "public" => self.public = true,
            "manager" => self.manager = Some(expression(name, input)?),
            "l1_ttl" => self.l1_ttl = problems.keep(text(name, input).and_then(|text| l1_ttl(&text))),
            "max_variants" => self.max_variants = problems.keep(count(name, input)),
            "max_entries" => self.max_entries = problems.keep(count(name, input)),
            "client_ttl" => self.client_ttl = problems.keep(text(name, input).and_then(|text| duration(&text))),
            "cdn_ttl" => self.cdn_ttl = problems.keep(text(name, input).and_then(|text| duration(&text))),
            // That it was given is all there is to it.
            "surrogate_key" | "cache_tag" | "edge_cache_tag" | "cache_groups" => {}
            "coherence" => self.strict = problems.keep(strict(name, input)).is_some(),
            other => {
                return Err(Error::new(
                    name.span(),
                    format!(
                        "`#[cached]` has no option `{other}`{} It takes {}",
                        words::hint(other, &CACHED),
                        words::list(&CACHED)
                    ),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.place_of(name).is_some()
    }

    /// The place where an option was given.
    pub(crate) fn place_of(&self, name: &str) -> Option<Span> {
        self.given.iter().find(|given| *given == name).map(Ident::span)
    }
}

impl Parse for Invalidates {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options =
            Self { event: None, fields: Vec::new(), tags: Vec::new(), keys: Vec::new(), when: None, strict: false };
        let mut given = Vec::new();
        let mut problems = Problems::default();
        while !input.is_empty() {
            let name = option_name(input, "write `event = \"thing.happened\"`")?;
            problems.note_twice(&name, &given);
            given.push(name.clone());
            match name.to_string().as_str() {
                "event" => options.event = Some(event(&name, input)?),
                "tags" => options.tags = texts(&name, input)?,
                "keys" => options.keys = texts(&name, input)?,
                "when" => options.when = Some(expression(&name, input)?),
                "coherence" => options.strict = problems.keep(strict(&name, input)).is_some(),
                field => {
                    let value = expression(&name, input)?;
                    if matches!(value, Expr::Array(_)) {
                        problems.add(Error::new(
                            name.span(),
                            format!(
                                "`#[invalidates]` has no option `{field}`{} It takes {} and the fields of the event, \
                                 and a list is no field",
                                words::hint(field, &INVALIDATES),
                                words::list(&INVALIDATES)
                            ),
                        ));
                    }
                    options.fields.push((name, value));
                }
            }
            comma(input)?;
        }
        options.check(&mut problems);
        problems.into_result().map(|()| options)
    }
}

impl Invalidates {
    fn check(&self, problems: &mut Problems) {
        match (&self.event, self.fields.first()) {
            (Some(Event::Typed(_)), Some((field, _))) => problems.add(Error::new(
                field.span(),
                format!("`{field}` belongs into the braces of the event: a typed event holds its fields itself"),
            )),
            (None, Some((field, _))) => {
                let word = field.to_string();
                problems.add(Error::new(
                    field.span(),
                    format!(
                        "`{word}` is a field of an event, but there is no `event = \"..\"`{} Options are {}",
                        words::hint(&word, &INVALIDATES),
                        words::list(&INVALIDATES)
                    ),
                ));
            }
            (None, None) if self.tags.is_empty() && self.keys.is_empty() => problems.add(Error::new(
                Span::call_site(),
                "`#[invalidates]` clears nothing: give it an `event = \"..\"`, `tags = [..]` or `keys = [..]`",
            )),
            _ => {}
        }
    }
}

/// Errors are gathered, so that one run of the compiler shows all of them.
#[derive(Default)]
struct Problems(Option<Error>);

impl Problems {
    fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    fn note_twice(&mut self, name: &Ident, given: &[Ident]) {
        if given.contains(name) {
            self.add(Error::new(name.span(), format!("`{name}` is given twice")));
        }
    }

    fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

fn option_name(input: ParseStream<'_>, example: &str) -> Result<Ident> {
    let place = input.span();
    input.call(Ident::parse_any).map_err(|_| Error::new(place, format!("an option has a name: {example}")))
}

fn comma(input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() { Ok(()) } else { input.parse::<Token![,]>().map(|_| ()) }
}

fn equals(name: &Ident, input: ParseStream<'_>, example: &str) -> Result<()> {
    if input.peek(Token![=]) {
        return input.parse::<Token![=]>().map(|_| ());
    }
    Err(Error::new(name.span(), format!("`{name}` takes a value: `{name} = {example}`")))
}

fn text(name: &Ident, input: ParseStream<'_>) -> Result<LitStr> {
    equals(name, input, "\"..\"")?;
    let value: Expr = input.parse()?;
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
        other => Err(Error::new(other.span(), format!("`{name}` takes a text in quotes: `{name} = \"..\"`"))),
    }
}

fn array<T: Parse>(name: &Ident, input: ParseStream<'_>) -> Result<Vec<T>> {
    equals(name, input, "[..]")?;
    if !input.peek(syn::token::Bracket) {
        return Err(Error::new(input.span(), format!("`{name}` takes a list: `{name} = [..]`")));
    }
    let inner;
    bracketed!(inner in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&inner)?.into_iter().collect())
}

fn texts(name: &Ident, input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    array::<Expr>(name, input)?
        .into_iter()
        .map(|value| match value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
            other => Err(Error::new(other.span(), format!("`{name}` takes texts in quotes: `{name} = [\"..\"]`"))),
        })
        .collect()
}

fn expression(name: &Ident, input: ParseStream<'_>) -> Result<Expr> {
    equals(name, input, "<expression>")?;
    input.parse()
}

fn event(name: &Ident, input: ParseStream<'_>) -> Result<Event> {
    equals(name, input, "\"thing.happened\"")?;
    match input.parse::<Expr>()? {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if !text.value().is_empty() => Ok(Event::Named(text)),
        Expr::Struct(typed) => Ok(Event::Typed(typed)),
        other => Err(Error::new(
            other.span(),
            "`event` takes a name (`event = \"session.created\"`) or a value of a type that derives `CacheEvent` \
             (`event = SessionCreated { id: out.id }`)",
        )),
    }
}

fn ttl(text: &LitStr) -> Result<Ttl> {
    let value = text.value();
    if value.is_empty() {
        return Err(Error::new(text.span(), "a `ttl` is a registered name or a duration, not empty"));
    }
    if !value.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(Ttl::Named(text.clone()));
    }
    duration(text).map(Ttl::For)
}

/// A number of entries.
fn count(name: &Ident, input: ParseStream<'_>) -> Result<u64> {
    equals(name, input, "1000")?;
    let value: Expr = input.parse()?;
    let number = match &value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<u64>().ok(),
        _ => None,
    };
    let refused = || Error::new(value.span(), format!("`{name}` takes a number from 1 on: `{name} = 1000`"));
    number.filter(|number| *number > 0).ok_or_else(refused)
}

/// How long to hold in L1: a duration, or `0s`.
fn l1_ttl(text: &LitStr) -> Result<Duration> {
    if matches!(text.value().as_str(), "0" | "0s") { Ok(Duration::ZERO) } else { duration(text) }
}

/// The one value that `coherence` takes where it stands beside the manager's own.
fn strict(name: &Ident, input: ParseStream<'_>) -> Result<()> {
    let value = text(name, input)?;
    if value.value() == "strict" {
        return Ok(());
    }
    Err(Error::new(
        value.span(),
        "`coherence` takes `\"strict\"`: clears wait until they are in effect on every node. How bounded the others are is \
         said once, to the builder of the manager",
    ))
}

fn duration(text: &LitStr) -> Result<Duration> {
    let value = text.value();
    match humantime::parse_duration(&value) {
        Ok(duration) if duration.as_millis() > 0 && duration.as_secs() <= 10 * 365 * 24 * 3_600 => Ok(duration),
        Ok(_) => Err(Error::new(text.span(), format!("`{value}` is out of range: a duration is 1ms to 10 years here"))),
        Err(error) => Err(Error::new(
            text.span(),
            format!("`{value}` is not a duration ({error}); write it as 30s, 5m, 1h 30m or 500ms"),
        )),
    }
}

fn vary(header: &LitStr) -> Result<()> {
    let name = header.value().to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    if matches!(name.as_str(), "cookie" | "authorization" | "proxy-authorization") {
        return Err(Error::new(
            header.span(),
            format!("`{name}` says who asks: take an argument that does, instead of varying by credentials"),
        ));
    }
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Error::new(header.span(), format!("`{name}` is not the name of a request header")));
    }
    Ok(())
}

fn storable_status(status: &LitInt) -> Result<u16> {
    match status.base10_parse::<u16>() {
        Ok(status @ 200..=599) if status != 206 && status != 304 => Ok(status),
        _ => Err(Error::new(
            status.span(),
            format!("the status `{status}` cannot be stored: 200 to 599 can, except 206 and 304"),
        )),
    }
}

fn size(text: &LitStr) -> Result<usize> {
    let value = text.value();
    let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor: u64 = match value[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => 0,
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|bytes| (1..=LARGEST_MAX_BODY).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| {
            Error::new(text.span(), format!("`{value}` is not a size up to 64MiB: write it as 1MiB, 512KiB or 2000B"))
        })
}
