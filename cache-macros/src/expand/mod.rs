//! The code that the attributes write.

mod cached_function;
mod cached_handler;
mod invalidates;
mod place;
mod shared;

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
            "a cached handler cannot invalidate: on a hit it does not run, and its clears would be lost",
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
