//! The annotated function and its arguments.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Error, FnArg, ItemFn, Pat, PatIdent, Result, Type};

/// Extractors that stand for what they hold: a placeholder speaks of the value inside.
const WRAPPERS: [&str; 7] = ["Path", "Query", "Json", "Form", "Header", "Data", "ReqData"];

pub(crate) struct Argument {
    /// The variable that holds the whole argument.
    pub(crate) variable: Ident,
    /// What its pattern binds.
    pub(crate) bound: Vec<Ident>,
    pub(crate) pattern: Pat,
    pub(crate) kind: Type,
}

/// Takes the function apart, and refuses what cannot be annotated.
pub(crate) fn parse(attribute: &str, item: TokenStream) -> Result<ItemFn> {
    let place = item.clone().into_iter().next().map_or_else(Span::call_site, |token| token.span());
    let function: ItemFn =
        syn::parse2(item).map_err(|_| Error::new(place, format!("`#[{attribute}]` stands on an `async fn`")))?;
    if function.sig.asyncness.is_none() {
        return Err(Error::new(
            function.sig.fn_token.span,
            format!("`#[{attribute}]` stands on an `async fn`: make `{}` one", function.sig.ident),
        ));
    }
    if let Some(variadic) = &function.sig.variadic {
        return Err(Error::new(variadic.span(), "a variadic function cannot be annotated"));
    }
    Ok(function)
}

/// The arguments of a handler, each to be held in a variable of its own.
pub(crate) fn handler_arguments(attribute: &str, function: &ItemFn) -> Result<Vec<Argument>> {
    function
        .sig
        .inputs
        .iter()
        .enumerate()
        .map(|(index, input)| match input {
            FnArg::Receiver(receiver) => Err(Error::new(
                receiver.span(),
                format!(
                    "`#[{attribute}]` on a method: a handler has no `self`. For a cached method name the manager: \
                 `manager = self.cache`"
                ),
            )),
            FnArg::Typed(typed) => {
                if let Type::ImplTrait(opaque) = &*typed.ty {
                    return Err(Error::new(opaque.span(), "an argument of a handler has a type with a name"));
                }
                let (pattern, bound) = bindings(&typed.pat);
                Ok(Argument {
                    variable: format_ident!("__cache_argument_{index}"),
                    bound,
                    pattern,
                    kind: (*typed.ty).clone(),
                })
            }
        })
        .collect()
}

/// The arguments of another function, which keep their names; `self` is one of them.
pub(crate) fn function_arguments(function: &ItemFn) -> Result<Vec<Argument>> {
    function
        .sig
        .inputs
        .iter()
        .map(|input| match input {
            FnArg::Receiver(receiver) => {
                let variable = Ident::new("self", receiver.self_token.span);
                let pattern = Pat::Verbatim(quote! { _ });
                let bound = vec![variable.clone()];
                Ok(Argument { variable, bound, pattern, kind: (*receiver.ty).clone() })
            }
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(name) => Ok(Argument {
                    variable: name.ident.clone(),
                    bound: vec![name.ident.clone()],
                    pattern: (*typed.pat).clone(),
                    kind: (*typed.ty).clone(),
                }),
                other => Err(Error::new(other.span(), "give this argument a name: its value is part of the key")),
            },
        })
        .collect()
}

/// A pattern for a reference to the argument (no `mut`, no `ref`), and the names it binds.
fn bindings(pattern: &Pat) -> (Pat, Vec<Ident>) {
    struct Names(Vec<Ident>);
    impl VisitMut for Names {
        fn visit_pat_ident_mut(&mut self, name: &mut PatIdent) {
            name.mutability = None;
            name.by_ref = None;
            self.0.push(name.ident.clone());
            syn::visit_mut::visit_pat_ident_mut(self, name);
        }
    }
    let mut pattern = pattern.clone();
    let mut names = Names(Vec::new());
    names.visit_pat_mut(&mut pattern);
    (pattern, names.0)
}

impl Argument {
    /// The names that its pattern binds, as templates have them: `type` for `r#type`.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.bound.iter().map(|name| name.unraw().to_string())
    }

    /// Code that binds the argument's names to references, for the expressions of an attribute.
    pub(crate) fn view(&self) -> TokenStream {
        let Self { variable, pattern, kind, .. } = self;
        if matches!(pattern, Pat::Ident(_)) && last_segment(kind).is_some_and(|name| WRAPPERS.contains(&name.as_str()))
        {
            return quote! { let #pattern = ::core::ops::Deref::deref(&#variable); };
        }
        quote! { let #pattern = &#variable; }
    }

    /// Code that adds the argument to a `KeyWriter` called `__cache_key`.
    pub(crate) fn write_key(&self) -> TokenStream {
        // Placed at the type, so that the error about one that cannot be keyed points there.
        let span = Span::call_site().located_at(self.kind.span());
        let mut variable = self.variable.clone();
        variable.set_span(span);
        quote_spanned! { span =>
            ::cache_middleware::__private::KeyWriter::nested(&mut __cache_key, |__cache_key| {
                ::cache_middleware::__private::CacheKey::write_key(&#variable, __cache_key)
            });
        }
    }

    /// Whether it shows the handler the whole request.
    pub(crate) fn is_request(&self) -> bool {
        last_segment(&self.kind).is_some_and(|name| name == "HttpRequest" || name == "ConnectionInfo")
    }

    /// Whether it is plainly an extractor that the URI holds.
    pub(crate) fn is_held_by_uri(&self) -> bool {
        last_segment(&self.kind).is_some_and(|name| name == "Path" || name == "Query")
    }

    /// Code that does not compile for one that holds such an extractor under another name.
    pub(crate) fn refuse_held_by_uri(&self) -> TokenStream {
        let variable = &self.variable;
        quote! { ::cache_middleware::__private::refuse_held_by_uri(&#variable); }
    }

    /// Code that does not compile for an argument that no request gives.
    pub(crate) fn must_be_extractor(&self) -> TokenStream {
        let span = Span::call_site().located_at(self.kind.span());
        let kind = &self.kind;
        quote_spanned! { span => ::cache_middleware::__private::must_be_extractor::<#kind>(); }
    }

    /// Code that says whether the argument tells who asks.
    pub(crate) fn identity(&self) -> TokenStream {
        let variable = &self.variable;
        quote! { (&::cache_middleware::__private::Identity(&#variable)).__cache_identity() }
    }

    /// Whether it is a reference to the manager. The manager itself, or a `web::Data` of it, is an extractor and makes the
    /// function a handler.
    pub(crate) fn is_manager(&self) -> bool {
        match &self.kind {
            Type::Reference(reference) => last_segment(&reference.elem).is_some_and(|name| name == "CacheManager"),
            _ => false,
        }
    }
}

fn last_segment(kind: &Type) -> Option<String> {
    match kind {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

/// All names of a function's arguments.
pub(crate) fn names(arguments: &[Argument]) -> Vec<String> {
    arguments.iter().flat_map(Argument::names).collect()
}
