//! `#[cached]` on a handler.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

use super::place::Place;
use super::shared::{self, Templates, Wrapped};
use crate::function::{self, Argument};
use crate::options::Cached;
use crate::template::{Kind, Placeholder, Template};

const DEFAULT_MAX_BODY: usize = 1 << 20;

pub(super) fn expand(options: &Cached, function: &ItemFn) -> Result<TokenStream> {
    let arguments = function::handler_arguments("cached", function)?;
    let place = Place::of(function);
    let path = &place.path;
    let (owner, quietly) = (shared::owner(), shared::quietly());
    let views: Vec<_> = arguments.iter().map(Argument::view).collect();

    let mut before = Templates::new();
    let tags = before.parse(&options.tags, Kind::Tag, &arguments, true)?;
    let key = key(options, &arguments, &views)?;
    let unless = match &options.unless {
        Some(unless) => {
            shared::only_out(unless, &arguments)?;
            quote! { #unless }
        }
        None => quote! { false },
    };
    let when = match &options.when {
        Some(when) if shared::mentions(quote! { #when }, "out") => {
            return Err(Error::new_spanned(
                when,
                "`when` is asked before the handler runs, so there is no `out` yet: use `unless`",
            ));
        }
        Some(when) => quote! { { #(#views)* #when } },
        None => quote! { true },
    };

    let Some(ttl) = &options.ttl else { return Err(Error::new(proc_macro2::Span::call_site(), "a `ttl` is missing")) };
    let (ttl, holding) = (shared::ttl(ttl), shared::holding(options));
    let (compress, feature) = (&options.compress, shared::compress_feature(options));
    let (downstream, bounds) = (shared::downstream(options), shared::bounds(options));
    let (windows, limits) = (shared::windows(options), shared::limits(options));
    let texts = shared::literals(&tags);
    let strict = options.strict;
    let adaptive = shared::adaptive(options);
    let key_text = shared::optional(options.key.as_ref());
    let register = place.register(
        &quote! { Cached { ttl: #ttl, key: #key_text, tags: &[#(#texts),*], strict: #strict, adaptive: #adaptive } },
    );
    let statuses = if options.statuses.is_empty() { vec![200] } else { options.statuses.clone() };
    let max_body = options.max_body.unwrap_or(DEFAULT_MAX_BODY);
    let tenant_bound = options.has("tenant_bound");
    let bound = tenant_bound.then(|| place.register(&quote! { TenantBound }));
    let (public, vary) = (options.public, options.vary.iter().map(|header| header.value().to_ascii_lowercase()));
    let render = tags.iter().map(|(_, code)| code);
    // An error that is stored has no `out`: it is cleared by what the arguments name.
    let without_out = tags.iter().filter(|(template, _)| !shared::speaks_of_out(template)).map(|(_, code)| code);
    let before = before.before(&views);
    let out = shared::out_binding(&tags, options.unless.as_ref());
    let sees_request = arguments.iter().any(Argument::is_request);
    let Wrapped { head, inner, unpack, call } = shared::wrap_handler(function, &arguments);

    Ok(quote! {
        #head {
            #inner
            #quietly
            let __cache_response = {
                #register
                #bound
                #feature
                use ::cache_middleware::__private::{NoIdentity as _, Success as _};
                static __CACHE_SPEC: ::cache_middleware::__private::CachedSpec = ::cache_middleware::__private::CachedSpec {
                    handler: #path,
                    ttl: #ttl,
                    statuses: &[#(#statuses),*],
                    max_body: #max_body,
                    tenant_bound: #tenant_bound,
                    public: #public,
                    sees_request: #sees_request,
                    vary: &[#(#vary),*],
                    compress: &[#(::cache_middleware::__private::Coding::#compress),*],
                    policy: ::cache_middleware::__private::RoutePolicy {
                        bounds: #bounds,
                        downstream: #downstream,
                        holding: #holding,
                        windows: #windows,
                        limits: #limits,
                    },
                };
                #unpack
                let __cache_key = #key;
                let __cache_when: bool = #when;
                let __cache_responding = ::core::clone::Clone::clone(&__cache_request);
                let __cache_owner = #owner;
                let __cache_run = async move {
                    #before
                    let __cache_returned = #call;
                    let mut __cache_tags = ::std::vec::Vec::<::std::string::String>::new();
                    let mut __cache_unless = false;
                    if let ::core::option::Option::Some(#out) =
                        (&::cache_middleware::__private::Returned(&__cache_returned)).success()
                    {
                        #(__cache_tags.push(#render);)*
                        __cache_unless = #unless;
                    } else {
                        #(__cache_tags.push(#without_out);)*
                    }
                    ::cache_middleware::__private::Ran {
                        response: ::cache_middleware::__private::respond(__cache_returned, &__cache_responding),
                        tags: __cache_tags,
                        unless: __cache_unless,
                    }
                };
                ::cache_middleware::__private::run_cached(
                    __cache_request, &__CACHE_SPEC, __cache_owner, __cache_key, __cache_when, __cache_run,
                )
                .await
            };
            __cache_response
        }
    })
}

fn key(options: &Cached, arguments: &[Argument], views: &[TokenStream]) -> Result<TokenStream> {
    let Some(literal) = &options.key else {
        let keyed = shared::keyed(arguments, &options.skip)?;
        let (write, identity) = (keyed.iter().map(|a| a.write_key()), keyed.iter().map(|a| a.identity()));
        return Ok(quote! {
            {
                let mut __cache_key = ::cache_middleware::__private::KeyWriter::new();
                #(#write)*
                ::cache_middleware::__private::HandlerKey::Default {
                    arguments: __cache_key.finish(),
                    identity: false #(|| #identity)*,
                }
            }
        });
    };
    shared::refuse_skip_beside_key(options)?;
    let template = Template::parse(literal, Kind::Key, &function::names(arguments), false)?;
    let text = template.render(Placeholder::rendered);
    let named = arguments
        .iter()
        .filter(|argument| template.placeholders().any(|placeholder| argument.names.contains(&placeholder.root)));
    // An argument that names who asks counts only if its type says so; types that cannot be keyed do not say.
    let identity = named.map(|argument| {
        let variable = &argument.variable;
        quote! { || (&::cache_middleware::__private::Identity(&#variable)).identity() }
    });
    Ok(quote! {
        {
            #(#views)*
            ::cache_middleware::__private::HandlerKey::Named { text: #text, identity: false #(#identity)* }
        }
    })
}
