//! What is printed, for people or as JSON, and how the program ends.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    /// It could not be done.
    Failed,
    /// Something was found that somebody should look at.
    Found,
    /// The cache is unhealthy.
    Unhealthy,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        Self::from(match ended {
            Ended::Done => 0,
            Ended::Failed => 1,
            // 2 is what a wrong usage ends with.
            Ended::Found => 3,
            Ended::Unhealthy => 4,
        })
    }
}

/// Where it is printed.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one thing in the form that is wanted. A closed pipe is no reason to fail.
    pub(crate) fn show(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let line = if self.json {
            serde_json::to_string(value).unwrap_or_else(|error| json!({"error": error.to_string()}).to_string())
        } else {
            text()
        };
        let _ = writeln!(std::io::stdout(), "{}", harmless(line.trim_end()));
    }

    /// Something to know beside what is printed.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "cachectl: {text}");
    }

    pub(crate) fn failed(&self, why: &str) {
        if self.json {
            let _ = writeln!(std::io::stdout(), "{}", json!({"error": why}));
        } else {
            let _ = writeln!(std::io::stderr(), "cachectl: {why}");
        }
    }
}

/// Keys and values are what callers made of them: nothing of it may speak to the terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Lines of columns, each as wide as it must be, the numbers to the right.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            if cell.starts_with(|c: char| c.is_ascii_digit()) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
