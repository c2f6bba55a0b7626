//! Why a middleware keeps its app from starting.

use std::panic::Location;

use log::LevelFilter;

/// Tells it in the log; in a program without one on stderr, because what actix-web says of it has no cause.
pub(super) fn refused(middleware: &str, place: &Location<'_>, problem: &str) {
    let said = format!("the {middleware} made at {place} cannot start: {problem}");
    if log::max_level() == LevelFilter::Off {
        eprintln!("{said}");
    } else {
        log::error!("{said}");
    }
}
