//! `#[cached]` on a function that is no handler.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result, ReturnType, Type};

use super::place::Place;
use super::shared::{self, Templates};
use super::spoken::{self, Spoken};
use crate::function::{self, Argument};
use crate::options::Cached;
use crate::template::{Kind, Placeholder, Template};

/// Options that speak of responses.
const ONLY_FOR_HANDLERS: [&str; 16] = [
    "vary",
    "statuses",
    "max_body",
    "public",
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
    "soft_timeout",
    "hard_timeout",
];

pub(super) fn expand(options: &Cached, function: &ItemFn) -> Result<TokenStream> {
    for option in ONLY_FOR_HANDLERS {
        if let Some(place) = options.place_of(option) {
            return Err(Error::new(
                place,
                format!("`{option}` is for handlers: a function with a manager caches a value, not a response"),
            ));
        }
    }
    let ReturnType::Type(_, returned) = &function.sig.output else {
        return Err(Error::new(function.sig.ident.span(), "a cached function returns a value"));
    };
    if let Type::ImplTrait(opaque) = &**returned {
        return Err(Error::new(opaque.span(), "a cached function returns a type with a name, which can be read back"));
    }
    let all = function::function_arguments(function)?;
    let (managers, arguments): (Vec<Argument>, Vec<Argument>) = all.into_iter().partition(Argument::is_manager);
    let manager = match (&options.manager, managers.first()) {
        (Some(expr), _) => quote! { #expr },
        (None, Some(argument)) => {
            let variable = &argument.variable;
            quote! { #variable }
        }
        (None, None) => return Err(Error::new(function.sig.ident.span(), "the manager is missing")),
    };

    if options.key.is_none() {
        refuse_extractors(options, &arguments)?;
    }
    let place = Place::of(function);
    let (owner, quietly) = (shared::owner(&place.path), shared::quietly());
    let key = key(options, &arguments, &owner)?;
    let mut before = Templates::new();
    let tags = before.parse(&options.tags, Kind::Tag, &arguments, true)?;
    let spoken = Spoken::by(tags.iter().map(|(template, _)| template), options.when.iter().chain(&options.unless));
    spoken::refuse_out_as_argument(&arguments, &spoken)?;
    spoken::refuse_out_in_when(options.when.as_ref())?;
    let texts = shared::literals(&tags);
    let render = tags.iter().map(|(_, code)| code);
    let (before, rendered) = (before.before(&[]), before.result());
    let out = spoken::out_binding(&tags, options.unless.as_ref());
    let unless = match &options.unless {
        Some(unless) => {
            spoken::only_out(unless, &arguments)?;
            quote! { #unless }
        }
        None => quote! { false },
    };
    let Some(ttl) = &options.ttl else { return Err(Error::new(proc_macro2::Span::call_site(), "a `ttl` is missing")) };
    let ttl = shared::ttl(ttl);
    let policy = shared::policy(options);
    let policy = policy.unwrap_or_else(|| quote! { ::cache_middleware::__private::RoutePolicy::DEFAULT });
    let strict = options.strict;
    let adaptive = shared::adaptive(options);
    let key_text = shared::optional(options.key.as_ref());
    let register = place.register(
        &quote! { Cached { ttl: #ttl, key: #key_text, tags: &[#(#texts),*], strict: #strict, adaptive: #adaptive } },
    );
    let ItemFn { attrs, vis, sig, block } = function;
    // The type is written once more inside the block, so that `?` and `return` in it know what they are for. One place for all of it, the
    // brace: with the place of the whole block, editors would take every word of the block for it.
    let body = quote_spanned! { block.brace_token.span.open() =>
        async move {
            #[allow(unreachable_code, clippy::all, clippy::pedantic)]
            if false {
                let __cache_never: #returned = loop {};
                return __cache_never;
            }
            #block
        }
    };
    let when = options.when.as_ref().map_or_else(|| quote! { true }, |when| quote! { #when });

    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #quietly
            let (__cache_key, #rendered __cache_manager, __cache_when) = {
                #register
                let __cache_key = #key;
                #before
                let __cache_manager = ::core::clone::Clone::clone(
                    ::cache_middleware::__private::AsManager::as_manager(&#manager),
                );
                let __cache_when: bool = #when;
                (__cache_key, #rendered __cache_manager, __cache_when)
            };
            #[allow(unused_braces)]
            let __cache_body = #body;
            #quietly
            let __cache_returned: #returned = if __cache_when {
                use ::cache_middleware::__private::Whole as _;
                let __cache_typed = ::cache_middleware::__private::Typed::<#returned>::new();
                let __cache_run = async {
                    let __cache_returned: #returned = __cache_body.await;
                    let __cache_value = (&__cache_typed).__cache_split(__cache_returned)?;
                    let (__cache_tags, __cache_unless) = {
                        let #out = &__cache_value;
                        let __cache_tags: ::std::vec::Vec<::std::string::String> = ::std::vec![#(#render),*];
                        (__cache_tags, #unless)
                    };
                    ::core::result::Result::Ok((__cache_value, __cache_tags, __cache_unless))
                };
                let __cache_policy = (#ttl, #policy);
                match ::cache_middleware::__private::run_function(&__cache_manager, __cache_policy, __cache_key, __cache_run).await {
                    ::core::result::Result::Ok(__cache_value) => (&__cache_typed).__cache_join(__cache_value),
                    ::core::result::Result::Err(__cache_returned) => __cache_returned,
                }
            } else {
                __cache_body.await
            };
            __cache_returned
        }
    })
}

/// A handler's key holds the URI, and with it what these extractors hold; a function's key does not.
fn refuse_extractors(options: &Cached, arguments: &[Argument]) -> Result<()> {
    match shared::keyed(arguments, &options.skip)?.into_iter().find(|argument| argument.is_held_by_uri()) {
        None => Ok(()),
        Some(argument) => Err(Error::new_spanned(
            &argument.kind,
            "this is held by the URI of a request, which is not part of a function's key: take the value out of it. A \
             handler finds the manager by itself; if it needs it too, it takes `cache: CacheManager` by value",
        )),
    }
}

fn key(options: &Cached, arguments: &[Argument], owner: &TokenStream) -> Result<TokenStream> {
    if let Some(literal) = &options.key {
        shared::refuse_skip_beside_key(options)?;
        let template = Template::parse(literal, Kind::Key, &function::names(arguments), false)?;
        let text = template.render(Placeholder::rendered);
        return Ok(quote! { ::cache_middleware::__private::FunctionKey::Named(#owner, #text) });
    }
    let keyed = shared::keyed(arguments, &options.skip)?;
    let write = keyed.iter().map(|argument| argument.write_key());
    let refuse = keyed.iter().map(|argument| argument.refuse_held_by_uri());
    Ok(quote! {
        {
            let mut __cache_key = ::cache_middleware::__private::KeyWriter::new();
            #(#refuse)*
            #(#write)*
            ::cache_middleware::__private::FunctionKey::Default(#owner, ::cache_middleware::__private::KeyWriter::finish(__cache_key))
        }
    })
}
