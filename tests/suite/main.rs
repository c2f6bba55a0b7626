//! The tests of the workspace: one binary, one line of purpose a module.

mod attributes; // `#[cached]` and `#[invalidates]` on every shape of handler
mod contract; // both stores do what a store must do
mod flights; // one run per key, and nobody hangs (P6)
mod history; // random histories hold no answer older than an acknowledged clear (P1)
mod races; // the five races between a clear and everything else (P1, P2)
