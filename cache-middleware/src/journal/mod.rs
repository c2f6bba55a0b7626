//! The journal: clears that the store has not acknowledged yet (promise P5).
//!
//! Until it has, this node serves nothing they cover. They are retried until acknowledged; with a file they outlive the
//! process.

mod file;
mod record;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::file::JournalFile;
use self::record::Record;
use crate::entry::{Entry, MarkList};
use crate::key::ScopedPattern;
use crate::store::Target;

/// Beyond so many distinct targets one clear of everything takes their place.
const MAX_TARGETS: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    waiting: Mutex<Waiting>,
    /// Beside the list, so that a request pays no lock for asking.
    any: AtomicBool,
    /// How often something was added.
    epoch: AtomicU64,
    file: Option<JournalFile>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Each with a number that tells it from a later clear of the same.
    targets: Vec<(u64, Target)>,
    numbered: u64,
    /// The longest of their settling times; not in the file, whose reader comes later than that.
    settle: Duration,
    covered: Arc<Covered>,
}

/// What clears are about.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    marks: HashSet<Arc<str>>,
    patterns: Vec<ScopedPattern>,
    all: bool,
}

impl Covered {
    pub(crate) fn by<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let mut covered = Self::default();
        for target in targets {
            match target {
                Target::All => covered.all = true,
                Target::Pattern(tenant, pattern) => {
                    covered.patterns.push(ScopedPattern::new(tenant.as_ref(), pattern.clone()));
                }
                marked => covered.marks.extend(marked.mark().map(|mark| mark.id)),
            }
        }
        covered
    }

    /// Whether an entry must not be served, or stored.
    pub(crate) fn covers(&self, entry: &Entry) -> bool {
        self.covers_marked(&entry.key, &entry.marks)
    }

    /// Whether what has this name and these marks is covered.
    pub(crate) fn covers_marked(&self, name: &str, marks: &MarkList) -> bool {
        self.all
            || marks.iter().any(|mark| self.marks.contains(mark.id))
            || self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

impl Journal {
    /// One that is in a file too; what an earlier process has left there waits.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (file, left) = JournalFile::open(path)?;
        let journal = Self { file: Some(file), ..Self::default() };
        if !left.is_empty() {
            log::warn!("{} clears wait in the journal {} from before", left.len(), path.display());
            journal.add(&left, Duration::ZERO);
        }
        Ok(journal)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the clears that wait cover; `None` if none waits.
    pub(crate) fn covered(&self) -> Option<Arc<Covered>> {
        self.any.load(Ordering::SeqCst).then(|| self.lock().covered.clone())
    }

    /// Whether a clear that waits covers an entry.
    pub(crate) fn covers(&self, entry: &Entry) -> bool {
        self.covered().is_some_and(|covered| covered.covers(entry))
    }

    /// Moves when a clear is added: what began under an earlier epoch may not know of it.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Adds clears, in memory; from now on they cover. Gives the number to write them under.
    pub(crate) fn add(&self, targets: &[Target], settle: Duration) -> u64 {
        let mut waiting = self.lock();
        waiting.settle = waiting.settle.max(settle);
        waiting.numbered += 1;
        let number = waiting.numbered;
        waiting.targets.retain(|(_, waiting)| !targets.contains(waiting));
        waiting.targets.extend(targets.iter().map(|target| (number, target.clone())));
        if waiting.targets.len() > MAX_TARGETS {
            waiting.targets = vec![(number, Target::All)];
        }
        waiting.covered = Arc::new(Covered::by(waiting.targets.iter().map(|(_, target)| target)));
        self.any.store(!waiting.targets.is_empty(), Ordering::SeqCst);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        number
    }

    /// Writes clears that were added to the file, if there is one: they are on the disk when this returns. The disk is
    /// waited for in a thread of its own.
    pub(crate) async fn write(self: &Arc<Self>, number: u64, targets: Vec<Target>) -> io::Result<()> {
        let journal = self.clone();
        let append = move || match &journal.file {
            // As a flood of clears while the store is away must not fill the disk.
            Some(file) => file.append(&Record::Clear { number, targets }, || journal.lock().targets.clone()),
            None => Ok(()),
        };
        if self.file.is_none() { Ok(()) } else { blocking(append).await }
    }

    /// All that wait, for how long they settle, and the number to acknowledge them by.
    pub(crate) fn all(&self) -> (u64, Vec<Target>, Duration) {
        let waiting = self.lock();
        let targets = waiting.targets.iter().map(|(_, target)| target.clone()).collect();
        (waiting.numbered, targets, waiting.settle)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().targets.len()
    }

    /// Forgets what had been added up to a number; what was added since is newer, even if it names the same.
    pub(crate) async fn acknowledge(self: &Arc<Self>, up_to: u64) -> io::Result<()> {
        {
            let mut waiting = self.lock();
            waiting.targets.retain(|(number, _)| *number > up_to);
            if waiting.targets.is_empty() {
                waiting.settle = Duration::ZERO;
            }
            waiting.covered = Arc::new(Covered::by(waiting.targets.iter().map(|(_, target)| target)));
            self.any.store(!waiting.targets.is_empty(), Ordering::SeqCst);
        }
        let journal = self.clone();
        let note = move || match &journal.file {
            // The list is read while the file is locked: what is added meanwhile is appended after this.
            Some(file) => file.acknowledge(up_to, || journal.lock().targets.clone()),
            None => Ok(()),
        };
        if self.file.is_none() { Ok(()) } else { blocking(note).await }
    }
}

async fn blocking(act: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(act).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::Tag;

    fn tag(n: usize) -> Target {
        Target::Tag(None, Tag::new(&format!("t{n}")).unwrap())
    }

    #[tokio::test]
    async fn what_is_added_while_a_retry_runs_stays() {
        let journal = Arc::new(Journal::default());
        journal.add(&[tag(1), tag(2)], Duration::ZERO);
        let (under_way, targets, _) = journal.all();
        assert_eq!(targets, [tag(1), tag(2)]);
        // A later write of the same tag, and of another one.
        journal.add(&[tag(2), tag(3)], Duration::ZERO);
        journal.acknowledge(under_way).await.unwrap();
        let (all, targets, _) = journal.all();
        assert_eq!(targets, [tag(2), tag(3)]);
        assert!(journal.covered().is_some());
        journal.acknowledge(all).await.unwrap();
        assert!(journal.covered().is_none());
    }

    #[tokio::test]
    async fn a_flood_becomes_one_clear_of_everything() {
        let journal = Arc::new(Journal::default());
        for n in 0..=MAX_TARGETS {
            journal.add(&[tag(n)], Duration::ZERO);
        }
        let (under_way, targets, _) = journal.all();
        assert_eq!(targets, [Target::All]);
        journal.add(&[tag(0)], Duration::ZERO);
        journal.acknowledge(under_way).await.unwrap();
        assert!(journal.covered().is_some());
    }
}
