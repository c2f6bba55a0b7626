//! What an attribute speaks of: arguments, and the result of the handler, `out`.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt;
use syn::{Error, Expr, Result};

use crate::function::{self, Argument};
use crate::template::{Placeholder, Template};

/// What an attribute speaks of.
pub(super) struct Spoken {
    /// Arguments, by templates.
    roots: Vec<String>,
    expressions: TokenStream,
}

impl Spoken {
    pub(super) fn by<'a>(
        templates: impl IntoIterator<Item = &'a Template>,
        expressions: impl IntoIterator<Item = &'a Expr>,
    ) -> Self {
        let placeholders = templates.into_iter().flat_map(Template::placeholders);
        let expressions = expressions.into_iter();
        Self {
            roots: placeholders.map(|placeholder| placeholder.root.clone()).collect(),
            expressions: quote! { #(#expressions;)* },
        }
    }

    pub(super) fn of(&self, name: &str) -> bool {
        self.roots.iter().any(|root| root == name) || mentions(self.expressions.clone(), name)
    }
}

/// Refuses an argument called `out` where the attribute speaks of `out`: it could be either.
pub(super) fn refuse_out_as_argument(arguments: &[Argument], spoken: &Spoken) -> Result<()> {
    match arguments.iter().flat_map(|argument| &argument.bound).find(|name| *name == "out") {
        Some(name) if spoken.of("out") => Err(Error::new(
            name.span(),
            "`out` is what the function returns, in its attribute: give the argument another name",
        )),
        _ => Ok(()),
    }
}

/// Whether an expression speaks of a variable. A name after a dot is a field or a method, and a name before a single
/// colon is a field that gets a value; neither is the variable.
pub(super) fn mentions(tokens: TokenStream, name: &str) -> bool {
    let is = |token: Option<&TokenTree>, sign: char| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Ident(ident) if ident.unraw() == name => {
            let before = at.checked_sub(1).and_then(|before| tokens.get(before));
            let before_that = at.checked_sub(2).and_then(|before| tokens.get(before));
            let is_member = is(before, '.') && !is(before_that, '.');
            let is_field = is(tokens.get(at + 1), ':') && !is(tokens.get(at + 2), ':');
            !is_member && !is_field
        }
        TokenTree::Group(group) => mentions(group.stream(), name),
        // `format!("{name}")` takes it as well.
        TokenTree::Literal(literal) => {
            let text = literal.to_string();
            text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:"))
        }
        TokenTree::Ident(_) | TokenTree::Punct(_) => false,
    })
}

/// Refuses `out` in a condition that is asked before there is one.
pub(super) fn refuse_out_in_when(when: Option<&Expr>) -> Result<()> {
    match when {
        Some(when) if mentions(quote! { #when }, "out") => Err(Error::new_spanned(
            when,
            "`when` is asked before the handler runs, so there is no `out` yet: use `unless`",
        )),
        _ => Ok(()),
    }
}

/// Refuses an expression that needs arguments when the handler has taken them.
pub(super) fn only_out(expr: &Expr, arguments: &[Argument]) -> Result<()> {
    for name in function::names(arguments) {
        if mentions(quote! { #expr }, &name) {
            let problem = if mentions(quote! { #expr }, "out") {
                format!(
                    "this needs the argument `{name}` and `out` at once, but the handler has taken `{name}` when `out` is there: write \
                     two, or return what is needed"
                )
            } else {
                format!(
                    "this is asked when the function has run, and has taken `{name}`: use `when`, or speak of `out`"
                )
            };
            return Err(Error::new_spanned(expr, problem));
        }
    }
    Ok(())
}

/// Whether a template names the result.
pub(super) fn speaks_of_out(template: &Template) -> bool {
    template.placeholders().any(Placeholder::is_out)
}

/// The pattern that binds the success value: only where it is used, because an item of the user may have this name.
pub(super) fn out_binding(tags: &[(Template, TokenStream)], unless: Option<&Expr>) -> TokenStream {
    let in_tags = tags.iter().any(|(template, _)| speaks_of_out(template));
    let in_unless = unless.is_some_and(|unless| mentions(quote! { #unless }, "out"));
    if in_tags || in_unless {
        quote! { out }
    } else {
        quote! { _ }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_variable_is_spoken_of() {
        for (code, expected) in [
            (quote! { id }, true),
            (quote! { format!("{}", id) }, true),
            (quote! { a..id }, true),
            (quote! { Thing { x: id } }, true),
            (quote! { id::CONSTANT }, true),
            (quote! { out.id }, false),
            (quote! { out.id(1) }, false),
            (quote! { Thing { id: out.x } }, false),
            (quote! { identity }, false),
        ] {
            assert_eq!(mentions(code.clone(), "id"), expected, "{code}");
        }
    }
}
