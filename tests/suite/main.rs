//! The tests of the workspace: one binary, one line of purpose a module.

mod contract; // both stores do what a store must do
