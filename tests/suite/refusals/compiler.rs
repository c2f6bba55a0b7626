//! What the compiler says, from the files that the tests of the macros expect.

use std::path::Path;

use cache_suite::{entries, is_of, read};

use super::Refusal;

/// What is said of each macro.
pub(super) fn sections() -> Vec<(&'static str, Vec<Refusal>)> {
    let folders = [("cached", "`#[cached]`"), ("invalidates", "`#[invalidates]`"), ("derive", "Derives")];
    let refusals = folders.map(|(folder, title)| {
        let files = entries(Path::new("cache-macros/tests/ui").join(folder).join("fail"));
        let texts = files.into_iter().filter(|path| is_of(path, &["stderr"])).map(read);
        let mut refusals: Vec<Refusal> = texts.flat_map(|text| refusals_in(&text)).collect();
        refusals.sort();
        refusals.dedup();
        (title, refusals)
    });
    refusals.into()
}

/// The errors of an expectation file.
fn refusals_in(text: &str) -> Vec<Refusal> {
    let blocks = text.split("\n\n").filter(|block| block.starts_with("error"));
    blocks.filter_map(|block| Some(Refusal { said: message(block)?, written: marked(block) })).collect()
}

/// With the ways out, where they are in a note of ours.
fn message(block: &str) -> Option<String> {
    let message = block.lines().next()?.split_once(": ")?.1;
    let note = block.lines().find_map(|line| line.trim().strip_prefix("= note: "));
    let note = note.filter(|note| !note.starts_with("this error originates") && !note.starts_with("required"));
    Some(note.map_or_else(|| message.to_owned(), |note| format!("{message}; {note}")))
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

#[test]
fn what_is_marked_is_found() {
    let text = "error: no `di`\n --> tests/a.rs:3:5\n  |\n3 | #[cached(ttl = \"5m\", tags = [\"a:{di}\"])]\n  |                              ^^^^^^^^\n\nerror[E1]: x: y\n";
    let expected = [("no `di`", "\"a:{di}\""), ("x: y", "")];
    let found: Vec<_> = refusals_in(text).into_iter().map(|refusal| (refusal.said, refusal.written)).collect();
    assert_eq!(found, expected.map(|(message, marked)| (message.to_owned(), marked.to_owned())));
}
