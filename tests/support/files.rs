//! The files of the workspace, for tests that read them.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// A text of the workspace.
///
/// # Panics
/// If there is none at this path.
#[must_use]
pub fn read(path: impl AsRef<Path>) -> String {
    let path = workspace().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is in a folder of the workspace, in the order of its names.
///
/// # Panics
/// If there is no such folder.
#[must_use]
pub fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let folder = workspace().join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries
}

/// Whether a file's name ends with one of the extensions.
#[must_use]
pub fn is_of(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
}

/// The files with one of the extensions in a folder of the workspace and those below it.
///
/// # Panics
/// If there is no such folder.
#[must_use]
pub fn files_under(folder: impl AsRef<Path>, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in entries(folder) {
        if entry.is_dir() {
            found.extend(files_under(entry, extensions));
        } else if is_of(&entry, extensions) {
            found.push(entry);
        }
    }
    found
}
