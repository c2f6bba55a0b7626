//! `#[derive(CacheKey)]` and `#[derive(CacheEvent)]`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, LitStr, Result, Type, parse_quote};

use crate::words;

pub(crate) fn cache_key(item: TokenStream) -> Result<TokenStream> {
    let mut input: DeriveInput = syn::parse2(item)?;
    let identity = has_word(&input.attrs, "identity")?;
    let (write, kinds) = match &input.data {
        Data::Struct(data) => {
            let (pattern, write, kinds) = fields(&data.fields)?;
            let name = &input.ident;
            (quote! { let #name #pattern = self; #write }, kinds)
        }
        Data::Enum(data) => {
            let mut arms = Vec::new();
            let mut all_kinds = Vec::new();
            for variant in &data.variants {
                if let Some(attribute) = variant.attrs.iter().find(|attribute| attribute.path().is_ident("cache_key")) {
                    return Err(Error::new_spanned(
                        attribute,
                        "`#[cache_key]` stands on the type or on a field, not on a variant",
                    ));
                }
                let (pattern, write, kinds) = fields(&variant.fields)?;
                let (name, text) = (&variant.ident, variant.ident.to_string());
                arms.push(quote! { Self::#name #pattern => { key.field(#text); #write } });
                all_kinds.extend(kinds);
            }
            (quote! { match self { #(#arms)* } }, all_kinds)
        }
        Data::Union(data) => {
            return Err(Error::new(data.union_token.span, "a union does not say which of its fields distinguishes it"));
        }
    };
    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::cache_middleware::__private::CacheKey));
    }
    let (name, (impl_generics, type_generics, where_clause)) = (&input.ident, input.generics.split_for_impl());
    let held = kinds.iter().map(|kind| {
        quote_spanned! { kind.span() => || <#kind as ::cache_middleware::__private::CacheKey>::HELD_BY_URI }
    });
    let inherited = kinds.iter().map(|kind| {
        quote_spanned! { kind.span() => || <#kind as ::cache_middleware::__private::CacheKey>::IDENTITY }
    });
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::cache_middleware::__private::CacheKey for #name #type_generics #where_clause {
            const IDENTITY: bool = #identity #(#inherited)*;
            const HELD_BY_URI: bool = false #(#held)*;

            fn write_key(&self, key: &mut ::cache_middleware::__private::KeyWriter) {
                #write
            }
        }
    })
}

/// A pattern that binds the fields, the code that writes them, and their types; skipped ones left out.
fn fields(fields: &Fields) -> Result<(TokenStream, TokenStream, Vec<Type>)> {
    let mut bindings = Vec::new();
    let mut write = Vec::new();
    let mut kinds = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let skipped = has_word(&field.attrs, "skip")?;
        // Placed at the type, so that the error about one that cannot be keyed points there.
        let span = Span::call_site().located_at(field.ty.span());
        let binding = format_ident!("__field_{index}", span = span);
        let bound = if skipped {
            quote! { _ }
        } else {
            quote! { #binding }
        };
        bindings.push(match &field.ident {
            Some(name) => quote! { #name: #bound },
            None => bound,
        });
        if !skipped {
            write.push(quote_spanned! { span =>
                key.nested(|key| ::cache_middleware::__private::CacheKey::write_key(#binding, key));
            });
            kinds.push(field.ty.clone());
        }
    }
    let pattern = match fields {
        Fields::Named(_) => quote! { { #(#bindings),* } },
        Fields::Unnamed(_) => quote! { ( #(#bindings),* ) },
        Fields::Unit => TokenStream::new(),
    };
    Ok((pattern, quote! { #(#write)* }, kinds))
}

/// Whether `#[cache_key(word)]` is there; any other word is refused.
fn has_word(attributes: &[Attribute], word: &str) -> Result<bool> {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("cache_key")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident(word) {
                found = true;
                return Ok(());
            }
            let given = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            Err(meta.error(format!(
                "`#[cache_key]` does not take `{given}` here{} It takes {}",
                words::hint(&given, &[word]),
                words::list(&[word])
            )))
        })?;
    }
    Ok(found)
}

pub(crate) fn cache_event(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "`CacheEvent` is derived on a struct with named fields"));
    };
    let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident("cache_event")) else {
        return Err(Error::new(
            input.ident.span(),
            "name the event: `#[cache_event(\"thing.happened\")]` below the derive",
        ));
    };
    let event: LitStr = attribute.parse_args().map_err(|_| {
        Error::new(attribute.span(), "`#[cache_event]` takes a name: `#[cache_event(\"thing.happened\")]`")
    })?;
    if event.value().is_empty() {
        return Err(Error::new(event.span(), "an event has a name"));
    }
    let mut members = Vec::new();
    for field in &data.fields {
        let Some(name) = &field.ident else {
            return Err(Error::new(field.span(), "the fields of an event have names, which rules use"));
        };
        members.push(name);
    }
    let texts: Vec<String> = members.iter().map(|member| member.unraw().to_string()).collect();
    let (name, (impl_generics, type_generics, where_clause)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::cache_middleware::__private::CacheEvent for #name #type_generics #where_clause {
            const NAME: &'static str = #event;
            const FIELDS: &'static [&'static str] = &[#(#texts),*];

            fn into_event(self) -> ::cache_middleware::__private::Event {
                ::cache_middleware::__private::Event::new(#event)
                    #(.with(#texts, ::cache_middleware::__private::payload(&self.#members)))*
            }
        }
    })
}
