//! What is asked of the program.

use std::fs::File;
use std::path::PathBuf;

const GROUPS: [&str; 7] = ["hits", "misses", "clears", "stampede", "memory", "build", "growth"];

const USAGE: &str = "\
bench [--only GROUP,GROUP...] [--json FILE]   the table; of hits, misses, clears, stampede and memory, unless build is named,
                                              which takes minutes by itself
bench --only growth [--svg DIRECTORY]         curves over entries, workers and sizes
bench --serve ADDRESS                         the hit routes alone, for another load generator
It ends with 3 if a goal is not met.";

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// Open before anything is measured: a path that cannot be written to is not found out minutes later.
    pub(crate) json: Option<File>,
    pub(crate) serve: Option<String>,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) only: Vec<String>,
}

impl Arguments {
    /// Reads them; nothing if only help was wanted.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut arguments, mut json) = (Self::default(), None);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--json" => json = Some(value()?),
                "--serve" => arguments.serve = Some(value()?),
                "--svg" => arguments.svg = Some(value()?.into()),
                "--only" => arguments.only = value()?.split(',').map(str::to_owned).collect(),
                "--help" | "-h" => {
                    println!("{USAGE}");
                    return Ok(None);
                }
                _ => return Err(format!("{word:?} is not known (groups are separated by commas)\n{USAGE}")),
            }
        }
        if let Some(group) = arguments.only.iter().find(|group| !GROUPS.contains(&group.as_str())) {
            return Err(format!("{group:?} is no group: take some of {}", GROUPS.join(",")));
        }
        let grows = arguments.svg.is_some() || arguments.wants("growth");
        if grows && (arguments.only != ["growth"] || json.is_some() || arguments.serve.is_some()) {
            return Err("growth is measured by itself: --only growth [--svg DIRECTORY]".to_owned());
        }
        if arguments.serve.is_some() && (json.is_some() || !arguments.only.is_empty()) {
            return Err("--serve measures nothing: leave --only and --json out".to_owned());
        }
        if let Some(path) = json {
            arguments.json = Some(File::create(&path).map_err(|error| format!("{path}: {error}"))?);
        }
        Ok(Some(arguments))
    }

    /// Whether a group is named.
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.only.iter().any(|only| only == group)
    }
}
