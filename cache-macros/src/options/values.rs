//! The values of options.

use std::time::Duration;

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Result, Token, bracketed};

use super::{EarlyRefresh, Event, OnClearFailure, Problems, Ttl};

/// The largest `max_body`, as the library has it.
const LARGEST_MAX_BODY: u64 = 64 << 20;

pub(super) fn option_name(input: ParseStream<'_>, example: &str) -> Result<Ident> {
    let place = input.span();
    input.call(Ident::parse_any).map_err(|_| Error::new(place, format!("an option has a name: {example}")))
}

pub(super) fn comma(input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() { Ok(()) } else { input.parse::<Token![,]>().map(|_| ()) }
}

pub(super) fn equals(name: &Ident, input: ParseStream<'_>, example: &str) -> Result<()> {
    if input.peek(Token![=]) {
        return input.parse::<Token![=]>().map(|_| ());
    }
    Err(Error::new(name.span(), format!("`{name}` takes a value: `{name} = {example}`")))
}

/// What a `macro_rules!` has put in by a parameter, without the group around it.
fn bare(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => bare(*group.expr),
        other => other,
    }
}

pub(super) fn text(name: &Ident, input: ParseStream<'_>) -> Result<LitStr> {
    equals(name, input, "\"..\"")?;
    match bare(input.parse()?) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
        other => {
            let unit = if name == "max_body" { "B" } else { "s" };
            let example = match &other {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => format!("{number}{unit}"),
                _ => "..".to_owned(),
            };
            Err(Error::new(other.span(), format!("`{name}` takes a text in quotes: `{name} = \"{example}\"`")))
        }
    }
}

pub(super) fn array<T: Parse>(name: &Ident, input: ParseStream<'_>) -> Result<Vec<T>> {
    equals(name, input, "[..]")?;
    if !input.peek(syn::token::Bracket) {
        return Err(Error::new(input.span(), format!("`{name}` takes a list: `{name} = [..]`")));
    }
    let inner;
    bracketed!(inner in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&inner)?.into_iter().collect())
}

pub(super) fn texts(name: &Ident, input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    array::<Expr>(name, input)?
        .into_iter()
        .map(|value| match bare(value) {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
            other => Err(Error::new(other.span(), format!("`{name}` takes texts in quotes: `{name} = [\"..\"]`"))),
        })
        .collect()
}

pub(super) fn expression(name: &Ident, input: ParseStream<'_>) -> Result<Expr> {
    equals(name, input, "<expression>")?;
    input.parse()
}

pub(super) fn event(name: &Ident, input: ParseStream<'_>) -> Result<Event> {
    equals(name, input, "\"thing.happened\"")?;
    match bare(input.parse()?) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if !text.value().is_empty() => Ok(Event::Named(text)),
        Expr::Struct(typed) => Ok(Event::Typed(typed)),
        other => Err(Error::new(
            other.span(),
            "`event` takes a name (`event = \"session.created\"`) or a value of a type that derives `CacheEvent` \
             (`event = SessionCreated { id: out.id }`)",
        )),
    }
}

pub(super) fn ttl(text: &LitStr) -> Result<Ttl> {
    let value = text.value();
    if value.is_empty() {
        return Err(Error::new(text.span(), "a `ttl` is a registered name or a duration, not empty"));
    }
    if !value.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(Ttl::Named(text.clone()));
    }
    duration(text).map(Ttl::For)
}

/// An option that says all by standing there. A value is read to its end, so that what follows is judged as well.
pub(super) fn flag(name: &Ident, input: ParseStream<'_>) -> Result<Result<()>> {
    if !input.peek(Token![=]) {
        return Ok(Ok(()));
    }
    input.parse::<Token![=]>()?;
    let value: Expr = input.parse()?;
    Ok(Err(Error::new(value.span(), format!("`{name}` takes no value: write `{name}`, or leave it out"))))
}

/// The codings that responses are stored in.
pub(super) fn codings(name: &Ident, input: ParseStream<'_>, problems: &mut Problems) -> Result<Vec<Ident>> {
    let texts = texts(name, input)?;
    if texts.is_empty() {
        problems.add(Error::new(name.span(), "`compress` names at least one coding: `compress = [\"br\", \"gzip\"]`"));
    }
    for (index, text) in texts.iter().enumerate() {
        if texts[..index].iter().any(|earlier| earlier.value() == text.value()) {
            problems.add(Error::new(text.span(), format!("`{}` is named twice", text.value())));
        }
    }
    Ok(texts.iter().filter_map(|text| problems.keep(coding(text))).collect())
}

fn coding(name: &LitStr) -> Result<Ident> {
    let variant = match name.value().as_str() {
        "br" => "Brotli",
        "zstd" => "Zstd",
        "gzip" => "Gzip",
        other => {
            return Err(Error::new(
                name.span(),
                format!("`{other}` is no coding that responses are stored in: `br`, `zstd`, `gzip` are"),
            ));
        }
    };
    Ok(Ident::new(variant, name.span()))
}

/// A number of entries.
pub(super) fn count(name: &Ident, input: ParseStream<'_>) -> Result<u64> {
    equals(name, input, "1000")?;
    let value: Expr = input.parse()?;
    let number = match &value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<u64>().ok(),
        _ => None,
    };
    let refused = || Error::new(value.span(), format!("`{name}` takes a number from 1 on: `{name} = 1000`"));
    number.filter(|number| *number > 0).ok_or_else(refused)
}

fn number(value: &Expr) -> Option<f64> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => number.base10_parse().ok(),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
        _ => None,
    }
}

/// The longest duration, as of the builders.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// How long a clear settles.
pub(super) fn settle(text: &LitStr) -> Result<Duration> {
    let refused = || Error::new(text.span(), "a clear settles for 60s at most: what is not stored is not cached");
    duration(text).and_then(|duration| if duration > Duration::from_secs(60) { Err(refused()) } else { Ok(duration) })
}

/// What the client of a write gets whose clear is journaled.
pub(super) fn on_clear_failure(name: &Ident, input: ParseStream<'_>) -> Result<OnClearFailure> {
    let value = text(name, input)?;
    match value.value().as_str() {
        "respond" => Ok(OnClearFailure::Respond),
        "error" => Ok(OnClearFailure::Error),
        _ => Err(Error::new(
            value.span(),
            "`on_clear_failure` takes `\"respond\"` (the response of the write) or `\"error\"` (a 503)",
        )),
    }
}

/// A part of the TTL, from 0 to 1.
pub(super) fn jitter(name: &Ident, input: ParseStream<'_>) -> Result<f64> {
    equals(name, input, "0.1")?;
    let value: Expr = input.parse()?;
    let refused =
        || Error::new(value.span(), "`jitter` takes a part of the TTL, above 0 and at most 1: `jitter = 0.1`");
    number(&value).filter(|part| *part > 0.0 && *part <= 1.0).ok_or_else(refused)
}

/// The bounds of a TTL.
pub(super) fn bounds(text: &LitStr) -> Result<(Duration, Duration)> {
    let value = text.value();
    let refused =
        || Error::new(text.span(), "`adaptive_ttl` takes bounds, the shortest first: `adaptive_ttl = \"10s..10m\"`");
    let (shortest, longest) = value.split_once("..").ok_or_else(refused)?;
    let bound = |bound: &str| duration(&LitStr::new(bound, text.span()));
    let bounds = (bound(shortest)?, bound(longest)?);
    if bounds.0 < bounds.1 { Ok(bounds) } else { Err(refused()) }
}

/// A part of the TTL, or a name.
pub(super) fn early_refresh(name: &Ident, input: ParseStream<'_>) -> Result<EarlyRefresh> {
    equals(name, input, "0.8")?;
    let value: Expr = input.parse()?;
    if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &value
        && text.value() == "xfetch"
    {
        return Ok(EarlyRefresh::XFetch);
    }
    let refused = || {
        Error::new(
            value.span(),
            "`early_refresh` takes a part of the TTL, above 0 and below 1 (`early_refresh = 0.8`), or chance: \
             `early_refresh = \"xfetch\"`",
        )
    };
    number(&value).filter(|part| *part > 0.0 && *part < 1.0).map(EarlyRefresh::After).ok_or_else(refused)
}

/// How long to hold in L1: a duration, or `0s`.
pub(super) fn l1_ttl(text: &LitStr) -> Result<Duration> {
    if matches!(text.value().as_str(), "0" | "0s") { Ok(Duration::ZERO) } else { duration(text) }
}

/// The one value that `coherence` takes where it stands beside the manager's own.
pub(super) fn strict(name: &Ident, input: ParseStream<'_>) -> Result<()> {
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

pub(super) fn duration(text: &LitStr) -> Result<Duration> {
    let value = text.value();
    match humantime::parse_duration(&value) {
        Ok(duration) if duration.as_millis() > 0 && duration <= LONGEST => Ok(duration),
        Ok(_) => Err(Error::new(text.span(), format!("`{value}` is out of range: a duration is 1ms to 10 years here"))),
        Err(error) => Err(Error::new(
            text.span(),
            format!("`{value}` is not a duration ({error}); write it as 30s, 5m, 1h 30m or 500ms"),
        )),
    }
}

pub(super) fn vary(header: &LitStr) -> Result<()> {
    let name = header.value().to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    if matches!(name.as_str(), "cookie" | "authorization" | "proxy-authorization" | "x-api-key" | "x-auth-token") {
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

pub(super) fn storable_status(status: &LitInt) -> Result<u16> {
    match status.base10_parse::<u16>() {
        Ok(status @ 200..=599) if status != 206 && status != 304 => Ok(status),
        _ => Err(Error::new(
            status.span(),
            format!("the status `{status}` cannot be stored: 200 to 599 can, except 206 and 304"),
        )),
    }
}

pub(super) fn size(text: &LitStr) -> Result<usize> {
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
