//! Data by type: what is kept how long, written how, and cleared by what, said in a few lines.

mod set;
mod strategy;

pub use self::set::DataSet;
pub use self::strategy::DataStrategy;
