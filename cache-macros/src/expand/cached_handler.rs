//! `#[cached]` on a handler.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

use super::place::Place;
use super::shared::{self, Templates, Wrapped};
use super::spoken::{self, Spoken};
use crate::function::{self, Argument};
use crate::options::Cached;
use crate::template::{Kind, Placeholder, Template};

pub(super) fn expand(options: &Cached, function: &ItemFn) -> Result<TokenStream> {
    let arguments = function::handler_arguments("cached", function)?;
    let place = Place::of(function);
    let path = &place.path;
    let (owner, quietly) = (shared::owner(path), shared::quietly());
    let views: Vec<_> = arguments.iter().map(Argument::view).collect();

    let mut before = Templates::new();
    let tags = before.parse(&options.tags, Kind::Tag, &arguments, true)?;
    let (key, named) = key(options, &arguments, &views)?;
    let spoken =
        Spoken::by(tags.iter().map(|(template, _)| template).chain(&named), options.when.iter().chain(&options.unless));
    spoken::refuse_out_as_argument(&arguments, &spoken)?;
    if let Some(unless) = &options.unless {
        spoken::only_out(unless, &arguments)?;
    }
    spoken::refuse_out_in_when(options.when.as_ref())?;
    let when = match &options.when {
        Some(when) => quote! { { #(#views)* #when } },
        None => quote! { true },
    };

    let Some(ttl) = &options.ttl else { return Err(Error::new(proc_macro2::Span::call_site(), "a `ttl` is missing")) };
    let (ttl, feature) = (shared::ttl(ttl), shared::compress_feature(options));
    let texts = shared::literals(&tags);
    let strict = options.strict;
    let adaptive = shared::adaptive(options);
    let key_text = shared::optional(options.key.as_ref());
    let register = place.register(
        &quote! { Cached { ttl: #ttl, key: #key_text, tags: &[#(#texts),*], strict: #strict, adaptive: #adaptive } },
    );
    let bound = options.has("tenant_bound").then(|| place.register(&quote! { TenantBound }));
    let spec = spec(options, &arguments, &quote! { ::cache_middleware::__private::CachedSpec::new(#path, #ttl) });
    let tags = after(options, &tags);
    let before = before.before(&views);
    let Wrapped { head, inner, unpack, call } = shared::wrap_handler(function, &arguments, &spoken);

    Ok(quote! {
        #head {
            #inner
            #quietly
            let __cache_response = {
                #register
                #bound
                #feature
                use ::cache_middleware::__private::{NoIdentity as _, Success as _};
                static __CACHE_SPEC: ::cache_middleware::__private::CachedSpec = #spec;
                #unpack
                let __cache_key = #key;
                let __cache_when: bool = #when;
                let __cache_responding = ::core::clone::Clone::clone(&__cache_request);
                let __cache_owner = #owner;
                ::cache_middleware::__private::run_cached(
                    __cache_request, &__CACHE_SPEC, __cache_owner, __cache_key, __cache_when,
                    move || ::std::boxed::Box::pin(async move {
                        #before
                        let __cache_returned = #call;
                        let (__cache_tags, __cache_unless) = #tags;
                        ::cache_middleware::__private::Ran {
                            response: ::cache_middleware::__private::respond(__cache_returned, &__cache_responding),
                            tags: __cache_tags,
                            unless: __cache_unless,
                        }
                    }),
                )
                .await
            };
            __cache_response
        }
    })
}

/// The `CachedSpec`: that by default, but for what the options say.
fn spec(options: &Cached, arguments: &[Argument], default: &TokenStream) -> TokenStream {
    let (statuses, compress) = (&options.statuses, &options.compress);
    let vary = options.vary.iter().map(|header| header.value().to_ascii_lowercase());
    let sees_request = arguments.iter().any(Argument::is_request);
    let fields = [
        (!statuses.is_empty()).then(|| quote! { statuses: &[#(#statuses),*] }),
        options.max_body.map(|bytes| quote! { max_body: #bytes }),
        options.has("tenant_bound").then(|| quote! { tenant_bound: true }),
        options.public.then(|| quote! { public: true }),
        sees_request.then(|| quote! { sees_request: true }),
        (!options.vary.is_empty()).then(|| quote! { vary: &[#(#vary),*] }),
        (!compress.is_empty()).then(|| quote! { compress: &[#(::cache_middleware::__private::Coding::#compress),*] }),
        shared::policy(options).map(|policy| quote! { policy: #policy }),
    ];
    let fields: Vec<_> = fields.into_iter().flatten().collect();
    if fields.is_empty() {
        return default.clone();
    }
    quote! { ::cache_middleware::__private::CachedSpec { #(#fields,)* ..#default } }
}

/// The tags, and whether the response is not to be stored, once `__cache_returned` is there.
fn after(options: &Cached, tags: &[(Template, TokenStream)]) -> TokenStream {
    let render = tags.iter().map(|(_, code)| code);
    let in_tags = tags.iter().any(|(template, _)| spoken::speaks_of_out(template));
    if !in_tags && options.unless.is_none() {
        return quote! { (::std::vec![#(#render),*], false) };
    }
    // An error that is stored has no `out`: it is cleared by what the arguments name.
    let without_out = tags.iter().filter(|(template, _)| !spoken::speaks_of_out(template)).map(|(_, code)| code);
    let out = spoken::out_binding(tags, options.unless.as_ref());
    let unless = options.unless.as_ref().map_or_else(|| quote! { false }, |unless| quote! { #unless });
    quote! {
        match (&::cache_middleware::__private::Returned(&__cache_returned)).__cache_success() {
            ::core::option::Option::Some(#out) => (::std::vec![#(#render),*], #unless),
            ::core::option::Option::None => (::std::vec![#(#without_out),*], false),
        }
    }
}

/// Code of the key, and the template that names it if there is one.
fn key(options: &Cached, arguments: &[Argument], views: &[TokenStream]) -> Result<(TokenStream, Option<Template>)> {
    let Some(literal) = &options.key else {
        let keyed = shared::keyed(arguments, &options.skip)?;
        let (write, identity) = (keyed.iter().map(|a| a.write_key()), keyed.iter().map(|a| a.identity()));
        let code = quote! {
            {
                let mut __cache_key = ::cache_middleware::__private::KeyWriter::new();
                #(#write)*
                ::cache_middleware::__private::HandlerKey::Default {
                    arguments: ::cache_middleware::__private::KeyWriter::finish(__cache_key),
                    identity: false #(|| #identity)*,
                }
            }
        };
        return Ok((code, None));
    };
    shared::refuse_skip_beside_key(options)?;
    let template = Template::parse(literal, Kind::Key, &function::names(arguments), false)?;
    let text = template.render(Placeholder::rendered);
    let named = arguments.iter().filter(|argument| {
        template.placeholders().any(|placeholder| argument.names().any(|name| name == placeholder.root))
    });
    // An argument that names who asks counts only if its type says so; types that cannot be keyed do not say.
    let identity = named.map(|argument| {
        let variable = &argument.variable;
        quote! { || (&::cache_middleware::__private::Identity(&#variable)).__cache_identity() }
    });
    let code = quote! {
        {
            #(#views)*
            ::cache_middleware::__private::HandlerKey::Named { text: #text, identity: false #(#identity)* }
        }
    };
    Ok((code, Some(template)))
}
