//! The page of refusals says what is said: by the compiler, as the tests of the macros expect it, and at the start, of each setting here.

mod compiler;
mod logged;
mod manager;
mod middlewares;
mod parts;
mod redis;

use std::fmt::{Display, Write};

use cache_suite::{read, workspace};

/// What is said of something that was written.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refusal {
    said: String,
    written: String,
}

impl Refusal {
    /// Of what must be refused. An address of this test is shown as that of a server at home.
    fn of<T>(written: impl Into<String>, started: Result<T, impl Display>) -> Self {
        let written = written.into();
        let said = match started {
            Ok(_) => panic!("{written} is not refused"),
            Err(error) => error.to_string(),
        };
        let said = said.strip_prefix("the cache cannot start: ").unwrap_or(&said).to_owned();
        Self { said, written }
    }
}

/// What is said of each of these settings: `refusals!(builder = Builder::new(), builder.build(); [.first(1)] [.second(2)])`.
macro_rules! refusals {
    ($builder:ident = $new:expr, $start:expr; $([$($setting:tt)+])+) => {
        vec![$({
            let $builder = $new $($setting)+;
            $crate::refusals::Refusal::of(stringify!($new $($setting)+), $start)
        }),+]
    };
}
use refusals;

const BEFORE: &str = "# Refusals

**TL;DR** What is said of an annotation or a setting that cannot be right: what was written, and the way out. Annotations are refused by the
compiler, settings when the service starts. `./tests/run` compares this page with what is said; `UPDATE_DOCS=1 cargo test -p cache-suite --test
suite refusals` writes it.

- The compiler marks the place in your source that the first column shows.
- `build()` tells all that it finds at once, one of each setting; what is wrong with an annotation begins with its place, such as `src/rooms.rs:12 (app::room): ..`.
- What a middleware has wrong keeps the app from starting: `HttpServer::run` returns an error, and the log says `the CacheResponse made at
  src/main.rs:31:15 cannot start: ..`. It tells the first that it finds. Without a logger that is written to
  stderr.
- Other parts return a `CacheError` or a `ConfigError` from their `start` or `build`.
";

/// A cell of a table: nothing in it ends the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn page(sections: &[(&str, Vec<Refusal>)]) -> String {
    let mut page = BEFORE.to_owned();
    for (title, refusals) in sections {
        let _ = write!(page, "\n## {title}\n\n| written | said of it |\n| --- | --- |\n");
        for Refusal { said, written } in refusals {
            let written = if written.is_empty() { String::new() } else { format!("`` {} ``", cell(written)) };
            let _ = writeln!(page, "| {written} | {} |", cell(said));
        }
    }
    page
}

#[actix_web::test]
async fn the_page_of_refusals_is_what_is_said() {
    let mut sections = compiler::sections();
    sections.extend([
        ("The manager: `build()`", manager::settings().await),
        ("Annotations that the manager does not fit: `build()`", manager::annotations().await),
        ("The environment: `from_env()`, told by `build()`", manager::variables().await),
        ("Redis: `connect()`, or `build()` of a manager from the environment", redis::settings().await),
        ("Middlewares", middlewares::settings().await),
        ("Policies of values", parts::policies().await),
        ("Warmer, write-behind, health, dashboard", parts::services().await),
        ("Hybrid data", parts::hybrid().await),
    ]);
    let page = page(&sections);
    if std::env::var("UPDATE_DOCS").is_ok() {
        std::fs::write(workspace().join("docs/refusals.md"), &page).expect("a page");
    }
    assert!(
        read("docs/refusals.md") == page,
        "docs/refusals.md is out of date: UPDATE_DOCS=1 cargo test -p cache-suite --test suite refusals"
    );
}
