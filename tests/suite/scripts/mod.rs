//! HTTP by script: one file a rule, with what the handler answers, what is sent byte by byte, and what must come back.
//!
//! A file begins with a line on what it shows. After that it is made of sections:
//!
//! ```text
//! == app http                      the layer under test, see `app.rs`; `policy` if there is no such section
//! == handler                       what the handler answers to its next run; bytes as `\xHH`, dates as `{now+60}`
//! == send                          a request, byte by byte; `Connection: close` is added
//! == expect                        the status, header lines that must be there, names after `-` that must not, and the
//!                                  body after an empty line
//! == handler saw                   header lines of the handler's last run, names after `-` that were not there
//! == wait 3s                       time passes for the store
//! == settle                        waits until the handler has answered all it has to answer
//! ```
//!
//! A run of the handler that no section allows answers 599, and one that does not happen fails the script.

mod app;
mod parse;
mod play;

use std::path::{Path, PathBuf};

use cache_suite::{entries, read};

fn files(folder: &str) -> Vec<PathBuf> {
    let files = entries(Path::new("tests/fixtures").join(folder));
    assert!(files.len() > 10, "{folder} is almost empty");
    files
}

async fn play_all(folder: &str) {
    let mut failed = Vec::new();
    let only = std::env::var("SCRIPT").unwrap_or_default();
    for file in files(folder).into_iter().filter(|file| file.to_string_lossy().contains(&only)) {
        let text = read(&file);
        if let Err(problem) = play::script(&parse::script(&text)).await {
            failed.push(format!("{}: {problem}", file.display()));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

/// RFC 9111, 5861, 9213 and 9875, section by section.
#[actix_web::test]
async fn the_rfcs_are_kept() {
    play_all("rfc9111").await;
}

/// What is known to have made caches hand out what they must not.
#[actix_web::test]
async fn p7_attacks_get_what_they_deserve() {
    play_all("attacks").await;
}
