//! Pieces of code that several expansions have.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, Error, ItemFn, LitStr, Result};

use super::spoken::Spoken;
use crate::function::{self, Argument};
use crate::options::{Cached, EarlyRefresh, Ttl};
use crate::template::{Kind, Placeholder, Template};
use crate::words;

/// Other attributes of this crate on the same function.
pub(super) fn stacked<'a>(function: &'a ItemFn, name: &'a str) -> impl Iterator<Item = &'a Attribute> {
    function.attrs.iter().filter(move |attribute| is_ours(attribute, name))
}

pub(super) fn is_ours(attribute: &Attribute, name: &str) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == name)
}

/// Silences lints about code that the macro wrote; never about code of the user, which stays outside of what it covers.
pub(super) fn quietly() -> TokenStream {
    quote! { #[allow(clippy::all, clippy::pedantic, unused_variables, unused_imports, unused_mut)] }
}

/// Attributes that an inner function needs as much as the outer one: lints.
pub(super) fn lints(function: &ItemFn) -> Vec<&Attribute> {
    let lint =
        |attribute: &&Attribute| ["allow", "expect", "warn", "deny"].iter().any(|name| attribute.path().is_ident(name));
    function.attrs.iter().filter(lint).collect()
}

pub(super) fn ttl(ttl: &Ttl) -> TokenStream {
    match ttl {
        Ttl::Named(name) => quote! { ::cache_middleware::__private::Ttl::Named(#name) },
        Ttl::For(given) => {
            let given = duration(*given);
            quote! { ::cache_middleware::__private::Ttl::For(#given) }
        }
    }
}

/// A value of which only what the options say is written: the rest is its default. `None` if they say nothing.
pub(super) fn said<const N: usize>(kind: &str, fields: [(&str, Option<TokenStream>); N]) -> Option<TokenStream> {
    let kind = format_ident!("{kind}");
    let kind = quote! { ::cache_middleware::__private::#kind };
    let fields = fields.into_iter().filter_map(|(name, value)| {
        let name = format_ident!("{name}");
        value.map(|value| quote! { #name: #value })
    });
    let fields: Vec<_> = fields.collect();
    (!fields.is_empty()).then(|| quote! { #kind { #(#fields,)* ..#kind::DEFAULT } })
}

/// Bounds, lifetimes, windows and limits.
pub(super) fn policy(options: &Cached) -> Option<TokenStream> {
    let private = quote! { ::cache_middleware::__private };
    let flag = |name| options.has(name).then(|| quote! { true });
    let early = options.early_refresh.as_ref().map(|early| match early {
        EarlyRefresh::After(part) => quote! { ::core::option::Option::Some(#private::EarlyRefresh::After(#part)) },
        EarlyRefresh::XFetch => quote! { ::core::option::Option::Some(#private::EarlyRefresh::XFETCH) },
    });
    let number = |given: Option<u64>| given.map(|given| quote! { #given });
    let bounds = [("variants", number(options.max_variants)), ("entries", number(options.max_entries))];
    let tag_fields = ["surrogate_key", "cache_tag", "edge_cache_tag", "cache_groups"].map(|name| (name, flag(name)));
    let downstream = [
        ("client_ttl", some(options.client_ttl.map(duration))),
        ("cdn_ttl", some(options.cdn_ttl.map(duration))),
        ("tag_fields", said("TagFields", tag_fields)),
    ];
    let holding = [("l1_ttl", some(options.l1_ttl.map(duration))), ("strict", options.strict.then(|| quote! { true }))];
    let windows = [
        ("stale", options.stale.map(duration)),
        ("stale_if_error", options.stale_if_error.map(duration)),
        ("negative_ttl", some(options.negative_ttl.map(duration))),
        ("jitter", options.jitter.map(|jitter| quote! { #jitter })),
        ("early_refresh", early),
        ("adaptive_ttl", options.adaptive_ttl.is_some().then(|| adaptive(options))),
    ];
    let limits =
        [("soft", some(options.soft_timeout.map(duration))), ("hard", some(options.hard_timeout.map(duration)))];
    said(
        "RoutePolicy",
        [
            ("bounds", said("Bounds", bounds)),
            ("downstream", said("Downstream", downstream)),
            ("holding", said("Holding", holding)),
            ("windows", said("Windows", windows)),
            ("limits", said("TimeLimits", limits)),
        ],
    )
}

fn some(value: Option<TokenStream>) -> Option<TokenStream> {
    value.map(|value| quote! { ::core::option::Option::Some(#value) })
}

/// The bounds of a TTL that adapts.
pub(super) fn adaptive(options: &Cached) -> TokenStream {
    match options.adaptive_ttl {
        Some((shortest, longest)) => {
            let (shortest, longest) = (duration(shortest), duration(longest));
            quote! {
                ::core::option::Option::Some(::cache_middleware::__private::AdaptiveTtl {
                    shortest: #shortest,
                    longest: #longest,
                })
            }
        }
        None => quote! { ::core::option::Option::None },
    }
}

/// Refuses `compress` where the library was built without it.
pub(super) fn compress_feature(options: &Cached) -> TokenStream {
    match options.place_of("compress") {
        Some(place) => quote_spanned! { place =>
            const _: () = ::core::assert!(
                ::cache_middleware::__private::can_compress(),
                "`compress` needs the feature `compress` of cache-middleware",
            );
        },
        None => TokenStream::new(),
    }
}

pub(super) fn duration(duration: std::time::Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote! { ::core::time::Duration::new(#seconds, #nanos) }
}

/// Code that names the running function: no two functions, methods of different types, or instances of a generic one have
/// the same.
pub(super) fn owner(path: &TokenStream) -> TokenStream {
    quote! {
        {
            static __CACHE_OWNER: ::cache_middleware::__private::Owner = ::cache_middleware::__private::Owner::new(
                #path, (::core::file!(), ::core::line!(), ::core::column!()),
            );
            ::cache_middleware::__private::Owner::name(&__CACHE_OWNER, &|| ())
        }
    }
}

/// The templates of one attribute. Placeholders on arguments are rendered before the handler takes the arguments away;
/// those on `out` after it.
pub(super) struct Templates {
    before: Vec<TokenStream>,
}

impl Templates {
    pub(super) fn new() -> Self {
        Self { before: Vec::new() }
    }

    /// Parses literals and gives the code that renders each.
    pub(super) fn parse(
        &mut self,
        literals: &[LitStr],
        kind: Kind,
        arguments: &[Argument],
        out: bool,
    ) -> Result<Vec<(Template, TokenStream)>> {
        let names = function::names(arguments);
        let mut problems: Option<Error> = None;
        let mut rendered = Vec::new();
        for literal in literals {
            match Template::parse(literal, kind, &names, out) {
                Ok(template) => {
                    let code = template.render(|placeholder| self.early(placeholder));
                    rendered.push((template, code));
                }
                Err(error) => match &mut problems {
                    Some(first) => first.combine(error),
                    none => *none = Some(error),
                },
            }
        }
        problems.map_or(Ok(rendered), Err)
    }

    fn early(&mut self, placeholder: &Placeholder) -> TokenStream {
        self.add(placeholder.rendered())
    }

    /// Code to be run before the handler; gives the code that names its result.
    pub(super) fn add(&mut self, code: TokenStream) -> TokenStream {
        let index = self.before.len();
        self.before.push(code);
        quote! { __cache_before[#index] }
    }

    /// `__cache_before,`, if there is anything to be run.
    pub(super) fn result(&self) -> Option<TokenStream> {
        (!self.before.is_empty()).then(|| quote! { __cache_before, })
    }

    /// `let __cache_before = ..;`, if there is anything to be run.
    pub(super) fn before(&self, views: &[TokenStream]) -> TokenStream {
        let (before, count) = (&self.before, self.before.len());
        if before.is_empty() {
            return TokenStream::new();
        }
        quote! {
            let __cache_before: [::std::string::String; #count] = {
                #(#views)*
                [#(#before),*]
            };
        }
    }
}

pub(super) fn refuse_skip_beside_key(options: &Cached) -> Result<()> {
    options.place_of("skip").map_or(Ok(()), |place| {
        Err(Error::new(
            place,
            "`skip` and `key` contradict each other: an explicit key holds what it names, and nothing else",
        ))
    })
}

/// The arguments that enter the key, and a refusal of a `skip` that names none.
pub(super) fn keyed<'a>(arguments: &'a [Argument], skip: &[Ident]) -> Result<Vec<&'a Argument>> {
    let names = function::names(arguments);
    for name in skip {
        let name_text = name.to_string();
        if !names.contains(&name_text) {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(Error::new(
                name.span(),
                format!(
                    "`skip({name})` names no argument{} There is {}",
                    words::hint(&name_text, &known),
                    if known.is_empty() { "none".to_owned() } else { words::list(&known) }
                ),
            ));
        }
    }
    Ok(arguments.iter().filter(|argument| !argument.names().any(|name| skip.iter().any(|s| *s == name))).collect())
}

/// The texts of templates, for the registration.
pub(super) fn literals(templates: &[(Template, TokenStream)]) -> Vec<&LitStr> {
    templates.iter().map(|(template, _)| &template.literal).collect()
}

/// Code of a text that there may be.
pub(super) fn optional(text: Option<&LitStr>) -> TokenStream {
    match text {
        Some(text) => quote! { ::core::option::Option::Some(#text) },
        None => quote! { ::core::option::Option::None },
    }
}

/// The outer and inner halves of a wrapped handler: the signature that actix sees, and the function as it was written.
pub(super) struct Wrapped {
    pub(super) head: TokenStream,
    pub(super) inner: TokenStream,
    pub(super) unpack: TokenStream,
    pub(super) call: TokenStream,
}

/// `options` is what the attribute says: an argument that it speaks of is used, whether the body speaks of it or not.
pub(super) fn wrap_handler(function: &ItemFn, arguments: &[Argument], options: &Spoken) -> Wrapped {
    let ItemFn { attrs, vis, sig, block } = function;
    let (name, mut generics) = (&sig.ident, sig.generics.clone());
    // What a handler reads outlives its request, because a refresh may run it; actix asks for the same where it is mounted.
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!('static));
    }
    let where_clause = &generics.where_clause;
    // What no argument names has to be said. Lifetimes that arguments name cannot be.
    let is_said = generics.lifetimes().next().is_none() && !generics.params.is_empty();
    let turbofish = is_said.then(|| sig.generics.split_for_impl().1.as_turbofish().to_token_stream());
    let lints = lints(function);
    let kinds: Vec<_> = arguments.iter().map(|argument| &argument.kind).collect();
    let variables: Vec<_> = arguments.iter().map(|argument| &argument.variable).collect();
    let extractors = arguments.iter().map(Argument::must_be_extractor);
    let bound = arguments.iter().flat_map(|argument| &argument.bound);
    let used: Vec<_> = bound.filter(|name| options.of(&name.unraw().to_string())).collect();
    let inner_name = name.clone();
    let mut inner_sig = sig.clone();
    inner_sig.ident = inner_name.clone();
    Wrapped {
        head: quote! {
            #(#attrs)*
            #vis async fn #name #generics (
                __cache_request: ::cache_middleware::__private::HttpRequest,
                __cache_arguments: (#(#kinds,)*),
            ) -> ::cache_middleware::__private::HttpResponse #where_clause
        },
        inner: if used.is_empty() {
            quote! { #(#lints)* #inner_sig #block }
        } else {
            quote! { #(#lints)* #[allow(unused_braces)] #inner_sig { #(let _ = &#used;)* #block } }
        },
        unpack: quote! {
            #(#extractors)*
            let (#(#variables,)*) = __cache_arguments;
        },
        call: quote! { #inner_name #turbofish(#(#variables),*).await },
    }
}
