//! The page of refusals says what the compiler says: it is made of the files that the tests of the macros expect.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What is marked in the source, and what is said of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refusal {
    message: String,
    marked: String,
}

/// The errors of an expectation file.
fn refusals_in(text: &str) -> Vec<Refusal> {
    let blocks = text.split("\n\n").filter(|block| block.starts_with("error"));
    blocks.filter_map(|block| Some(Refusal { message: message(block)?, marked: marked(block) })).collect()
}

/// With the ways out, where they are in a note of ours.
fn message(block: &str) -> Option<String> {
    let message = block.lines().next()?.split_once(": ")?.1;
    let note = block.lines().find_map(|line| line.trim().strip_prefix("= note: "));
    let note = note.filter(|note| !note.starts_with("this error originates") && !note.starts_with("required"));
    Some(note.map_or_else(|| message.to_owned(), |note| format!("{message}. {note}")))
}

/// The text above the first row of `^`.
fn marked(block: &str) -> String {
    let lines: Vec<&str> = block.lines().collect();
    let Some(row) = lines.iter().position(|line| line.contains('^')) else { return String::new() };
    let marks: Vec<usize> = lines[row].char_indices().filter(|(_, c)| *c == '^').map(|(at, _)| at).collect();
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else { return String::new() };
    let source = lines[..row].iter().rev().find(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    source.and_then(|line| line.get(*first..=*last)).unwrap_or_default().to_owned()
}

/// A cell of a table: nothing in it ends the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn page() -> String {
    let mut page = "# Refusals

**TL;DR** What the compiler says of an annotation that cannot be right, what is marked in your source, and the way out. `./tests/run` compares
this page with the compiler; `REFUSALS=write cargo test -p cache-suite --test suite refusals` writes it.

What only the whole program shows is refused by `build()`, all of it at once, each with its file and line: an unknown TTL name or event, a field
that a rule needs and an annotation does not supply, `tenant_bound` without `tenant_of`. What a
middleware has wrong keeps the app from starting, and the log says where.
"
    .to_owned();
    for (folder, title) in [("cached", "`#[cached]`"), ("invalidates", "`#[invalidates]`"), ("derive", "Derives")] {
        let files = workspace().join("cache-macros/tests/ui").join(folder).join("fail");
        let files = std::fs::read_dir(files).expect("a folder").map(|entry| entry.expect("an entry").path());
        let texts = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "stderr"))
            .map(|path| std::fs::read_to_string(path).expect("a text"));
        let mut refusals: Vec<Refusal> = texts.flat_map(|text| refusals_in(&text)).collect();
        refusals.sort();
        refusals.dedup();
        let _ = write!(page, "\n## {title}\n\n| marked | message |\n| --- | --- |\n");
        for Refusal { message, marked } in refusals {
            let marked = if marked.is_empty() { String::new() } else { format!("`` {} ``", cell(&marked)) };
            let _ = writeln!(page, "| {marked} | {} |", cell(&message));
        }
    }
    page
}

#[test]
fn the_page_of_refusals_is_what_the_compiler_says() {
    let path = workspace().join("docs/refusals.md");
    let page = page();
    if std::env::var("REFUSALS").is_ok_and(|what| what == "write") {
        std::fs::write(&path, &page).expect("a page");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/refusals.md is out of date: REFUSALS=write cargo test -p cache-suite --test suite refusals"
    );
}

#[test]
fn what_is_marked_is_found() {
    let text = "error: no `di`\n --> tests/a.rs:3:5\n  |\n3 | #[cached(ttl = \"5m\", tags = [\"a:{di}\"])]\n  |                              ^^^^^^^^\n\nerror[E1]: x: y\n";
    let expected = [("no `di`", "\"a:{di}\""), ("x: y", "")];
    let found: Vec<_> = refusals_in(text).into_iter().map(|refusal| (refusal.message, refusal.marked)).collect();
    assert_eq!(found, expected.map(|(message, marked)| (message.to_owned(), marked.to_owned())));
}
