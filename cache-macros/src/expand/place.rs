//! Where an annotation stands, and how the manager learns of it.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::parse::ParseStream;
use syn::{Attribute, ItemFn, LitStr};

use super::shared;

/// Where an annotation stands: the code of its function's path, and the route, if its attribute is still to come.
pub(super) struct Place {
    pub(super) path: TokenStream,
    route: Option<LitStr>,
}

impl Place {
    pub(super) fn of(function: &ItemFn) -> Self {
        let name = &function.sig.ident;
        let path = quote! { ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)) };
        Self { path, route: function.attrs.iter().find_map(route_of) }
    }

    /// Code that tells the manager of this annotation at link time.
    pub(super) fn register(&self, kind: &TokenStream) -> TokenStream {
        let Self { path, route } = self;
        let route = shared::optional(route.as_ref());
        quote! {
            ::cache_middleware::__private::inventory::submit! {
                ::cache_middleware::__private::Annotation {
                    item: #path,
                    route: #route,
                    file: ::core::file!(),
                    line: ::core::line!(),
                    column: ::core::column!(),
                    kind: ::cache_middleware::__private::AnnotationKind::#kind,
                }
            }
        }
    }
}

/// The methods and path of one of actix's route attributes: `#[get("/rooms/{id}")]` is `GET /rooms/{id}`.
fn route_of(attribute: &Attribute) -> Option<LitStr> {
    const METHODS: [&str; 7] = ["get", "post", "put", "delete", "patch", "head", "options"];
    let name = attribute.path().segments.last()?.ident.to_string();
    let (path, rest) = attribute
        .parse_args_with(|input: ParseStream<'_>| Ok((input.parse::<LitStr>()?, input.parse::<TokenStream>()?)))
        .ok()?;
    let methods = match &*name {
        "route" => methods_in(rest),
        name if METHODS.contains(&name) => vec![name.to_ascii_uppercase()],
        _ => return None,
    };
    Some(LitStr::new(&format!("{} {}", methods.join(","), path.value()), path.span()))
}

/// The methods of `method = "GET", method = "HEAD", guard = "..."`.
fn methods_in(rest: TokenStream) -> Vec<String> {
    let mut methods = Vec::new();
    let mut names_method = false;
    for token in rest {
        match token {
            TokenTree::Ident(name) => names_method = name == "method",
            TokenTree::Literal(literal) if names_method => {
                methods.push(literal.to_string().trim_matches('"').to_owned());
            }
            _ => {}
        }
    }
    methods
}
