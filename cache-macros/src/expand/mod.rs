//! The code that the attributes write.

mod cached_function;
mod cached_handler;
mod invalidates;
mod place;
mod shared;
mod spoken;

use proc_macro2::TokenStream;
use syn::{Error, Result};

use crate::function;
use crate::options::Cached;
pub(crate) use invalidates::expand as invalidates;

pub(crate) fn cached(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function = function::parse("cached", item)?;
    let options: Cached = syn::parse2(options)?;
    if let Some(other) = shared::stacked(&function, "invalidates").next() {
        return Err(Error::new_spanned(
            other,
            "a cached handler cannot invalidate: on a hit it does not run, and its clears would be lost. `#[invalidates]` stands on the \
             write",
        ));
    }
    if let Some(other) = shared::stacked(&function, "cached").next() {
        return Err(Error::new_spanned(other, "`#[cached]` is given twice"));
    }
    let takes_manager = function.sig.inputs.iter().any(|input| match input {
        syn::FnArg::Typed(_) => function::function_arguments(&function)
            .is_ok_and(|arguments| arguments.iter().any(function::Argument::is_manager)),
        syn::FnArg::Receiver(_) => false,
    });
    if options.manager.is_some() || takes_manager {
        cached_function::expand(&options, &function)
    } else {
        cached_handler::expand(&options, &function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    fn tokens(code: TokenStream) -> usize {
        let inside = |token| match token {
            proc_macro2::TokenTree::Group(group) => 1 + tokens(group.stream()),
            _ => 1,
        };
        code.into_iter().map(inside).sum()
    }

    /// What is compiled for each annotation, and what who looks at it has to read. An option that is not given writes nothing.
    #[test]
    fn an_expansion_stays_small() {
        let handler = quote! { async fn list(teacher: Path<u64>) -> Json<Vec<Session>> { read(*teacher) } };
        let function = quote! { async fn list(cache: &CacheManager, teacher: u64) -> Vec<Session> { read(teacher) } };
        let options = quote! { ttl = "session-list", tags = ["teacher:{teacher}"] };
        let event = quote! { event = "session.created", teacher_id = teacher };
        for (what, code, most) in [
            ("a cached handler", cached(options.clone(), handler.clone()), 850),
            ("a cached function", cached(options, function), 900),
            ("a write", invalidates(event, handler), 600),
        ] {
            let count = tokens(code.expect("it expands"));
            assert!(count <= most, "{what} is {count} tokens");
        }
    }
}
