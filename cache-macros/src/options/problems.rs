//! Errors are gathered, so that one run of the compiler shows all of them.

use syn::{Error, Ident, Result};

#[derive(Default)]
pub(super) struct Problems(Option<Error>);

impl Problems {
    pub(super) fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    pub(super) fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub(super) fn note_twice(&mut self, name: &Ident, given: &[Ident]) {
        if given.contains(name) {
            self.add(Error::new(name.span(), format!("`{name}` is given twice")));
        }
    }

    pub(super) fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
