//! `#[invalidates]`, all that stand on one handler together.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Error, Expr, ItemFn, Meta, Result};

use super::place::Place;
use super::shared::{self, Templates, Wrapped};
use super::spoken::{self, Spoken};
use crate::function::{self, Argument};
use crate::options::{Event, Invalidates, OnClearFailure};
use crate::template::{Kind, Template};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mut function = function::parse("invalidates", item)?;
    if let Some(other) = shared::stacked(&function, "cached").next() {
        return Err(Error::new_spanned(
            other,
            "a cached handler cannot invalidate: on a hit it does not run, and its clears would be lost",
        ));
    }
    let all = gather(options, &mut function)?;
    let arguments = function::handler_arguments("invalidates", &function)?;
    if let Some(manager) = arguments.iter().find(|argument| argument.is_manager()) {
        return Err(Error::new_spanned(
            &manager.kind,
            "`#[invalidates]` is for handlers, and finds the manager by itself; in another function call \
             `cache.events().publish(..)` or `cache.clear_tag(..)`",
        ));
    }
    write(&all, &function, &arguments)
}

/// The options of this attribute and of those below it, which must not be expanded a second time.
fn gather(options: TokenStream, function: &mut ItemFn) -> Result<Vec<Invalidates>> {
    let mut all = vec![syn::parse2::<Invalidates>(options)?];
    for attribute in shared::stacked(function, "invalidates") {
        all.push(match &attribute.meta {
            Meta::List(list) => syn::parse2(list.tokens.clone())?,
            _ => syn::parse2(TokenStream::new())?,
        });
    }
    function.attrs.retain(|attribute: &Attribute| !shared::is_ours(attribute, "invalidates"));
    Ok(all)
}

/// A template, and the code that renders it.
type Rendered = (Template, TokenStream);

/// The code of one attribute.
struct Written {
    register: Vec<TokenStream>,
    /// An `Invalidation`, where `out` is there.
    with_out: TokenStream,
    /// One without what `out` would say, for an error that redirects.
    without_out: TokenStream,
    /// Whether it applies to `response`.
    applies: TokenStream,
    /// Whether `out` is spoken of: an item of the user may have this name.
    uses_out: bool,
    templates: Vec<Template>,
}

fn write(all: &[Invalidates], function: &ItemFn, arguments: &[Argument]) -> Result<TokenStream> {
    let place = Place::of(function);
    let path = &place.path;
    let mut before = Templates::new();
    let written =
        all.iter().map(|options| one(options, &place, arguments, &mut before)).collect::<Result<Vec<Written>>>()?;
    let views: Vec<_> = arguments.iter().map(Argument::view).collect();
    let before = before.before(&views);
    let tenant_bound = all.iter().any(|options| options.tenant_bound);
    let bound = tenant_bound.then(|| place.register(&quote! { TenantBound }));
    let register = written.iter().flat_map(|one| &one.register).chain(&bound);
    let steps = written.iter().zip(all).map(|(one, options)| {
        let (with_out, applies) = (&one.with_out, &one.applies);
        // With a condition of its own there is no `out` to wait for.
        let made = if options.when.is_some() || !one.uses_out {
            with_out.clone()
        } else {
            let without_out = &one.without_out;
            quote! {
                match (&::cache_middleware::__private::Returned(&__cache_returned)).__cache_success() {
                    ::core::option::Option::Some(out) => #with_out,
                    ::core::option::Option::None => #without_out,
                }
            }
        };
        let response = if options.when.is_some() {
            quote! { let response = &__cache_response; }
        } else {
            quote! {}
        };
        (made, quote! { { #response #applies } })
    });
    let (made, applies): (Vec<_>, Vec<_>) = steps.unzip();
    let variables: Vec<_> = (0..made.len()).map(|index| quote::format_ident!("__cache_invalidation_{index}")).collect();
    // Rendered once before the handler runs, to be recorded, and once after it.
    let durable = written.iter().zip(all).filter(|(_, options)| options.durable).map(|(one, _)| &one.with_out);
    let quietly = shared::quietly();
    let spoken =
        Spoken::by(written.iter().flat_map(|one| &one.templates), all.iter().flat_map(Invalidates::expressions));
    spoken::refuse_out_as_argument(arguments, &spoken)?;
    let Wrapped { head, inner, unpack, call } = shared::wrap_handler(function, arguments, &spoken);

    Ok(quote! {
        #head {
            #inner
            #quietly
            let __cache_response = {
                #(#register)*
                use ::cache_middleware::__private::Success as _;
                #unpack
                let __cache_responding = ::core::clone::Clone::clone(&__cache_request);
                #before
                let __cache_durable = ::std::vec![#(#durable),*];
                ::cache_middleware::__private::run_invalidating(__cache_request, #path, #tenant_bound, __cache_durable, move || ::std::boxed::Box::pin(async move {
                    let __cache_returned = #call;
                    #(let #variables = #made;)*
                    let __cache_response = ::cache_middleware::__private::respond(__cache_returned, &__cache_responding);
                    let mut __cache_invalidations = ::std::vec::Vec::new();
                    #(
                        if #applies {
                            ::std::vec::Vec::push(&mut __cache_invalidations, #variables);
                        }
                    )*
                    (__cache_response, __cache_invalidations)
                }))
                .await
            };
            __cache_response
        }
    })
}

fn one(options: &Invalidates, place: &Place, arguments: &[Argument], before: &mut Templates) -> Result<Written> {
    let out = options.when.is_none();
    let tags = before.parse(&options.tags, Kind::Tag, arguments, out)?;
    let keys = before.parse(&options.keys, Kind::Key, arguments, out)?;
    if options.durable {
        refuse_out(options, tags.iter().chain(&keys))?;
    }
    let mut register = Vec::new();
    if !tags.is_empty() || !keys.is_empty() {
        let (texts, key_texts) = (shared::literals(&tags), shared::literals(&keys));
        register.push(place.register(&quote! { Tags { tags: &[#(#texts),*], keys: &[#(#key_texts),*] } }));
    }
    let event = match &options.event {
        None => None,
        Some(Event::Named(name)) => {
            let fields: Vec<String> = options.fields.iter().map(|(field, _)| field.to_string()).collect();
            register.push(place.register(&quote! { Event { name: #name, fields: &[#(#fields),*] } }));
            let values = options
                .fields
                .iter()
                .map(|(_, value)| field(value, arguments, before, out))
                .collect::<Result<Vec<_>>>()?;
            Some(published(&quote! { #name }, fields.into_iter().zip(values)))
        }
        Some(Event::Typed(typed)) => {
            let kind = &typed.path;
            register.push(place.register(&quote! {
                Event {
                    name: <#kind as ::cache_middleware::__private::CacheEvent>::NAME,
                    fields: <#kind as ::cache_middleware::__private::CacheEvent>::FIELDS,
                }
            }));
            Some(typed_event(typed, arguments, before, out)?)
        }
    };
    let some = |value: TokenStream| quote! { ::core::option::Option::Some(#value) };
    let list = |rendered: &[Rendered]| {
        let code = rendered.iter().map(|(_, code)| code);
        (!rendered.is_empty()).then(|| quote! { ::std::vec![#(#code),*] })
    };
    let on_clear_failure = options.on_clear_failure.as_ref().map(|what| match what {
        OnClearFailure::Respond => quote! { ::cache_middleware::__private::OnClearFailure::Respond },
        OnClearFailure::Error => quote! { ::cache_middleware::__private::OnClearFailure::Error },
    });
    let (strict, settle) = (options.strict.then(|| quote! { true }), options.settle.map(shared::duration));
    let on_clear_failure = on_clear_failure.map(some);
    let made = |event: Option<TokenStream>, tags: &[Rendered], keys: &[Rendered], complete: bool| {
        let fields = [
            ("event", event.map(some)),
            ("tags", list(tags)),
            ("keys", list(keys)),
            ("strict", strict.clone()),
            ("on_clear_failure", on_clear_failure.clone()),
            ("settle", settle.clone()),
            ("incomplete", (!complete).then(|| quote! { true })),
        ];
        shared::said("Invalidation", fields).unwrap_or_default()
    };
    let known = |all: &[Rendered]| -> Vec<Rendered> {
        all.iter().filter(|(template, _)| !spoken::speaks_of_out(template)).cloned().collect()
    };
    let (event, known_event) = event.unzip();
    let with_out = made(event, &tags, &keys, true);
    let without_out = made(known_event, &known(&tags), &known(&keys), false);
    let applies = match &options.when {
        Some(when) => quote! { #when },
        None => quote! { ::cache_middleware::__private::is_success(&__cache_response) },
    };
    let uses_out = spoken::mentions(with_out.clone(), "out");
    let templates = tags.into_iter().chain(keys).map(|(template, _)| template).collect();
    Ok(Written { register, with_out, without_out, applies, uses_out, templates })
}

/// What is recorded before the handler runs cannot be told by what it returns.
fn refuse_out<'a>(options: &Invalidates, templates: impl Iterator<Item = &'a (Template, TokenStream)>) -> Result<()> {
    let refused = |span| {
        Error::new(
            span,
            "`durable` records what is to be cleared before the handler runs, so there is no `out` yet: name it by an argument, or \
             put what needs `out` into an `#[invalidates]` of its own",
        )
    };
    let templates = templates.filter(|(template, _)| spoken::speaks_of_out(template));
    if let Some((template, _)) = templates.into_iter().next() {
        return Err(refused(template.literal.span()));
    }
    match options.values().find(|value| spoken::mentions(quote! { #value }, "out")) {
        Some(value) => Err(refused(syn::spanned::Spanned::span(value))),
        None => Ok(()),
    }
}

/// Code of an event with its fields, and of one with those alone that do not speak of `out`.
fn published(name: &TokenStream, fields: impl Iterator<Item = (String, FieldValue)>) -> (TokenStream, TokenStream) {
    let (mut all, mut known) = (Vec::new(), Vec::new());
    for (field, FieldValue { code, of_out }) in fields {
        let with = quote! { .with(#field, &#code) };
        known.extend((!of_out).then(|| with.clone()));
        all.push(with);
    }
    let event = |fields: &[TokenStream]| quote! { ::cache_middleware::__private::Event::new(#name)#(#fields)* };
    (event(&all), event(&known))
}

struct FieldValue {
    code: TokenStream,
    /// Whether it speaks of `out`.
    of_out: bool,
}

/// Code of a payload field: rendered before the handler runs, unless it speaks of `out`.
fn field(value: &Expr, arguments: &[Argument], before: &mut Templates, out: bool) -> Result<FieldValue> {
    let span = syn::spanned::Spanned::span(value);
    let text = quote::quote_spanned! { span => ::cache_middleware::__private::payload(&(#value)) };
    if !spoken::mentions(quote! { #value }, "out") {
        return Ok(FieldValue { code: before.add(text), of_out: false });
    }
    check_out(value, out)?;
    spoken::only_out(value, arguments)?;
    Ok(FieldValue { code: text, of_out: true })
}

fn check_out(value: &Expr, out: bool) -> Result<()> {
    if out {
        return Ok(());
    }
    Err(Error::new_spanned(
        value,
        "with `when` there may be no success, and then no `out`: take the value from an argument",
    ))
}

/// A typed event: its fields are evaluated like those of a named one, each where it can be.
fn typed_event(
    typed: &syn::ExprStruct,
    arguments: &[Argument],
    before: &mut Templates,
    out: bool,
) -> Result<(TokenStream, TokenStream)> {
    let kind = &typed.path;
    let mut checks = Vec::new();
    let mut values = Vec::new();
    if let Some(rest) = &typed.rest {
        return Err(Error::new_spanned(rest, "name every field of the event"));
    }
    for entry in &typed.fields {
        let syn::Member::Named(name) = &entry.member else {
            return Err(Error::new_spanned(&entry.member, "an event has named fields"));
        };
        let text = name.unraw().to_string();
        values.push((text, field(&entry.expr, arguments, before, out)?));
        checks.push(quote! { #name: _ });
    }
    let count = values.len();
    let name = quote! { <#kind as ::cache_middleware::__private::CacheEvent>::NAME };
    let (all, known) = published(&name, values.into_iter());
    // The pattern has rustc check the names of the fields, at the place where they are written; the count, that none
    // is left out.
    let checked = quote! {
        {
            fn __cache_fields(#kind { #(#checks,)* .. }: #kind) {}
            const {
                ::core::assert!(
                    <#kind as ::cache_middleware::__private::CacheEvent>::FIELDS.len() == #count,
                    "name every field of the event"
                );
            }
            #all
        }
    };
    Ok((checked, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacked_attributes_are_taken_together_and_only_once() {
        let item = quote! {
            #[invalidates(tags = ["b"])]
            #[post("/x")]
            #[cache_middleware::invalidates(tags = ["c"])]
            async fn handler() -> HttpResponse { todo!() }
        };
        let code = expand(quote! { tags = ["a"] }, item).unwrap().to_string();
        assert!(!code.contains("# [invalidates"), "{code}");
        assert!(code.contains("# [post"), "{code}");
        for tag in ["\"a\"", "\"b\"", "\"c\""] {
            assert!(code.contains(tag), "{tag}");
        }
    }
}
