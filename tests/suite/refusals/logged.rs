//! What a thread has logged as an error: where middlewares say why they do not start.

use std::cell::RefCell;
use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Ear;

impl Log for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        SAID.with_borrow_mut(|said| said.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// What this thread logs from now on is heard.
pub(super) fn hear() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Ear).expect("the only logger of this program");
        log::set_max_level(LevelFilter::Error);
    });
    SAID.take();
}

/// The last error that this thread has logged since [`hear`].
pub(super) fn last() -> Option<String> {
    SAID.take().pop()
}
