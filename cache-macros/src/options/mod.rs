//! What may stand in the attributes. Each value keeps its place in the source, so that a later error can point at it.

mod problems;
mod values;

use std::time::Duration;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, LitInt, LitStr, Result, Token, parenthesized};

use self::problems::Problems;
use self::values::{
    array, bounds, codings, comma, count, duration, early_refresh, event, expression, flag, jitter, l1_ttl,
    on_clear_failure, option_name, settle, size, storable_status, strict, text, texts, ttl, vary,
};
use crate::words;

const CACHED: [&str; 31] = [
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
    "tenant_bound",
    "compress",
    "max_variants",
    "max_entries",
    "client_ttl",
    "cdn_ttl",
    "surrogate_key",
    "cache_tag",
    "edge_cache_tag",
    "cache_groups",
    "stale",
    "stale_if_error",
    "early_refresh",
    "adaptive_ttl",
    "jitter",
    "negative_ttl",
    "soft_timeout",
    "hard_timeout",
];
const INVALIDATES: [&str; 9] =
    ["event", "tags", "keys", "when", "coherence", "tenant_bound", "on_clear_failure", "durable", "settle"];

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
    /// The names of codings, as the library has them.
    pub(crate) compress: Vec<Ident>,
    pub(crate) max_variants: Option<u64>,
    pub(crate) max_entries: Option<u64>,
    pub(crate) client_ttl: Option<Duration>,
    pub(crate) cdn_ttl: Option<Duration>,
    pub(crate) stale: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) early_refresh: Option<EarlyRefresh>,
    /// Its bounds.
    pub(crate) adaptive_ttl: Option<(Duration, Duration)>,
    pub(crate) jitter: Option<f64>,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) hard_timeout: Option<Duration>,
    /// The options that were given, to point at one that does not fit.
    pub(crate) given: Vec<Ident>,
}

pub(crate) enum EarlyRefresh {
    After(f64),
    XFetch,
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
    pub(crate) tenant_bound: bool,
    pub(crate) on_clear_failure: Option<OnClearFailure>,
    pub(crate) durable: bool,
    pub(crate) settle: Option<Duration>,
}

#[derive(Clone, Copy)]
pub(crate) enum OnClearFailure {
    Respond,
    Error,
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
        options.check_vary(&mut problems);
        options.check_limits(&mut problems);
        options.check_bounds(&mut problems);
        problems.into_result().map(|()| options)
    }
}

impl Cached {
    /// A header that is seen to already.
    fn check_vary(&self, problems: &mut Problems) {
        let by_coding = |header: &&LitStr| header.value().eq_ignore_ascii_case("accept-encoding");
        if let Some(header) = self.vary.iter().find(by_coding).filter(|_| self.has("compress")) {
            problems.add(Error::new(header.span(), "leave it out: `compress` sees to `accept-encoding` by itself"));
        }
    }

    /// Time limits that would never be over.
    fn check_limits(&self, problems: &mut Problems) {
        let Some(place) = self.place_of("soft_timeout") else { return };
        if !self.has("stale") && !self.has("stale_if_error") {
            problems.add(Error::new(
                place,
                "`soft_timeout` serves a stale response, and there is never one: add `stale_if_error = \"10m\"` or `stale`, or \
                 take `hard_timeout`",
            ));
        }
        if let (Some(soft), Some(hard)) = (self.soft_timeout, self.hard_timeout)
            && soft >= hard
        {
            problems.add(Error::new(place, "`soft_timeout` must be shorter than `hard_timeout`"));
        }
    }

    /// A TTL that adapts from outside of its bounds. That of a name is checked at the start.
    fn check_bounds(&self, problems: &mut Problems) {
        if let (Some((shortest, longest)), Some(Ttl::For(ttl))) = (self.adaptive_ttl, &self.ttl)
            && !(shortest..=longest).contains(ttl)
            && let Some(place) = self.place_of("adaptive_ttl")
        {
            problems.add(Error::new(place, "the `ttl` that it begins with is not within the bounds of `adaptive_ttl`"));
        }
    }

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
                let statuses = array::<LitInt>(name, input)?;
                if statuses.is_empty() {
                    problems.add(Error::new(name.span(), "`statuses` is empty: no response would ever be stored"));
                }
                for status in statuses {
                    self.statuses.extend(problems.keep(storable_status(&status)));
                }
            }
            "max_body" => self.max_body = problems.keep(text(name, input).and_then(|text| size(&text))),
            "public" => self.public = problems.keep(flag(name, input)?).is_some(),
            // That it was given is all there is to it.
            "tenant_bound" | "surrogate_key" | "cache_tag" | "edge_cache_tag" | "cache_groups" => {
                problems.keep(flag(name, input)?);
            }
            "manager" => self.manager = Some(expression(name, input)?),
            "l1_ttl" => self.l1_ttl = problems.keep(text(name, input).and_then(|text| l1_ttl(&text))),
            "compress" => self.compress = codings(name, input, problems)?,
            "max_variants" => self.max_variants = problems.keep(count(name, input)),
            "max_entries" => self.max_entries = problems.keep(count(name, input)),
            "client_ttl" => self.client_ttl = problems.keep(text(name, input).and_then(|text| duration(&text))),
            "cdn_ttl" => self.cdn_ttl = problems.keep(text(name, input).and_then(|text| duration(&text))),
            "stale" => self.stale = problems.keep(text(name, input).and_then(|text| duration(&text))),
            "stale_if_error" => self.stale_if_error = problems.keep(text(name, input).and_then(|text| duration(&text))),
            "negative_ttl" => self.negative_ttl = problems.keep(text(name, input).and_then(|text| duration(&text))),
            "soft_timeout" => self.soft_timeout = problems.keep(text(name, input).and_then(|text| duration(&text))),
            "hard_timeout" => self.hard_timeout = problems.keep(text(name, input).and_then(|text| duration(&text))),
            "jitter" => self.jitter = problems.keep(jitter(name, input)),
            "adaptive_ttl" => self.adaptive_ttl = problems.keep(text(name, input).and_then(|text| bounds(&text))),
            "early_refresh" => self.early_refresh = problems.keep(early_refresh(name, input)),
            "coherence" => self.strict = problems.keep(strict(name, input)).is_some(),
            "strict" => {
                return Err(Error::new(name.span(), "`strict` is a value here: write `coherence = \"strict\"`"));
            }
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
        let mut options = Self {
            event: None,
            fields: Vec::new(),
            tags: Vec::new(),
            keys: Vec::new(),
            when: None,
            strict: false,
            tenant_bound: false,
            on_clear_failure: None,
            durable: false,
            settle: None,
        };
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
                "tenant_bound" => options.tenant_bound = problems.keep(flag(&name, input)?).is_some(),
                "coherence" => options.strict = problems.keep(strict(&name, input)).is_some(),
                "on_clear_failure" => options.on_clear_failure = problems.keep(on_clear_failure(&name, input)),
                "durable" => options.durable = problems.keep(flag(&name, input)?).is_some(),
                "settle" => options.settle = problems.keep(text(&name, input).and_then(|text| settle(&text))),
                field => {
                    // Taken for a field it would be no option, and a write be less safe than it says.
                    if let Some(option) = words::nearest(field, &INVALIDATES).filter(|option| option.len() > 4) {
                        problems.add(Error::new(
                            name.span(),
                            format!(
                                "`{field}` is almost the option `{option}`: did you mean that? A field of this name goes into the \
                                 braces of a typed event"
                            ),
                        ));
                        if input.peek(Token![=]) {
                            expression(&name, input)?;
                        }
                        comma(input)?;
                        continue;
                    }
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
    /// What it says as expressions.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.values().chain(&self.when)
    }

    /// The values of the event's fields.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Expr> {
        let typed = match &self.event {
            Some(Event::Typed(typed)) => Some(typed.fields.iter().map(|field| &field.expr)),
            _ => None,
        };
        self.fields.iter().map(|(_, value)| value).chain(typed.into_iter().flatten())
    }

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

#[cfg(test)]
mod tests {
    use super::{CACHED, INVALIDATES};

    #[test]
    fn every_option_is_in_the_documentation_of_its_attribute() {
        let (cached, invalidates) = include_str!("../lib.rs").split_once("pub fn cached").expect("two attributes");
        for (options, text) in [(&CACHED[..], cached), (&INVALIDATES[..], invalidates)] {
            for option in options {
                let is_there =
                    |end| ["/// | `", ", `"].iter().any(|begin| text.contains(&format!("{begin}{option}{end}")));
                assert!(["`", " ", "("].into_iter().any(is_there), "{option}");
            }
        }
    }
}
