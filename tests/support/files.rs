//! The files of the workspace, for tests that read them, and folders for those that they write.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is there for as long as this is.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl Deref for TemporaryFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A folder of its own under the system's for temporary files.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn temporary_folder(what: &str) -> TemporaryFolder {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("{what}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    TemporaryFolder(folder)
}

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
