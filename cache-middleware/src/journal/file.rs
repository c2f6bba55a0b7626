//! The file of the journal: append, sync, replay, compact.
//!
//! ```text
//! "CMJ1", then records: length (4 bytes, big endian), checksum (8 bytes), bytes
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::Record;
use crate::digest;
use crate::store::Target;

const MAGIC: &[u8; 4] = b"CMJ1";
const HEAD: usize = 12;
/// A file that is longer, and twice as long as what waited when it was written, is written anew.
const COMPACTED_FROM: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    file: Mutex<Open>,
    /// Held as long as the journal is: the journal itself may be replaced.
    _lock: File,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
    /// From which length on it is written anew.
    grows_to: u64,
}

impl JournalFile {
    /// Opens or creates it, and reads the clears that wait in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Target>)> {
        // A device may be read for ever.
        if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::other("it is no file"));
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(beside(path, ".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another process has it open: give each process a file of its own"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let waiting = replay(&bytes, path)?;
        // Written anew, under numbers of this process, and without what cannot be read.
        let numbered: Vec<(u64, Target)> = waiting.iter().map(|target| (1, target.clone())).collect();
        let file = Mutex::new(written_anew(path, &numbered)?);
        Ok((Self { path: path.to_owned(), file, _lock: lock }, waiting))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record; it is on the disk when this returns. A file that has grown to twice what it was is written anew, with
    /// what `waiting` gives, which holds the record too.
    pub(super) fn append(&self, record: &Record, waiting: impl FnOnce() -> Vec<(u64, Target)>) -> io::Result<()> {
        let mut open = self.lock();
        if open.length > open.grows_to {
            *open = written_anew(&self.path, &waiting())?;
            return Ok(());
        }
        open.append(record)
    }

    /// Notes that all up to a number has been acknowledged, and makes the file small again if little of it is left.
    /// `waiting` is asked while nobody can append.
    pub(super) fn acknowledge(&self, up_to: u64, waiting: impl FnOnce() -> Vec<(u64, Target)>) -> io::Result<()> {
        let mut open = self.lock();
        let waiting = waiting();
        if waiting.is_empty() {
            open.cut(MAGIC.len() as u64)
        } else if open.length > open.grows_to {
            *open = written_anew(&self.path, &waiting)?;
            Ok(())
        } else {
            open.append(&Record::Acknowledged { up_to })
        }
    }
}

impl Open {
    fn append(&mut self, record: &Record) -> io::Result<()> {
        let bytes = framed(record);
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a record would hide what is appended after it.
            let length = self.length;
            self.cut(length)?;
        } else {
            self.length += bytes.len() as u64;
        }
        written
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length))?;
        self.length = length;
        self.file.sync_all()
    }
}

/// A new file with what waits, in the place of the old one.
fn written_anew(path: &Path, waiting: &[(u64, Target)]) -> io::Result<Open> {
    let temporary = beside(path, ".new");
    let mut bytes = MAGIC.to_vec();
    for (number, target) in waiting {
        bytes.extend(framed(&Record::Clear { number: *number, targets: vec![target.clone()] }));
    }
    // Opened before anything is done that cannot be taken back.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new(".")))?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    // From here on the new file is the journal, whatever else fails. The rename itself is in the folder.
    if let Err(error) = folder.sync_all() {
        log::error!("the folder of the journal {} cannot be synced: {error}", path.display());
    }
    let length = bytes.len() as u64;
    Ok(Open { file, length, grows_to: COMPACTED_FROM.max(2 * length) })
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn framed(record: &Record) -> Vec<u8> {
    let bytes = record.encode();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &digest::checksum([&length[..], &bytes]), &bytes].concat()
}

/// Reads what waits. A process that dies while it writes leaves a torn end; a disk that fails leaves anything. Nobody knows
/// what that was about, and the write before it has happened: then everything is cleared.
fn replay(bytes: &[u8], path: &Path) -> io::Result<Vec<Target>> {
    if MAGIC.starts_with(bytes) {
        // New, or torn before anything was in it.
        return Ok(Vec::new());
    }
    if !bytes.starts_with(MAGIC) {
        return Err(io::Error::other("it is not a journal: name another file"));
    }
    let mut waiting: Vec<(u64, Target)> = Vec::new();
    let mut rest = &bytes[MAGIC.len()..];
    while !rest.is_empty() {
        match next(rest) {
            Some((Record::Clear { number, targets }, after)) => {
                waiting.extend(targets.into_iter().map(|target| (number, target)));
                rest = after;
            }
            Some((Record::Acknowledged { up_to }, after)) => {
                waiting.retain(|(number, _)| *number > up_to);
                rest = after;
            }
            None => {
                log::warn!(
                    "the journal {} cannot be read to its end ({} bytes): everything is cleared",
                    path.display(),
                    rest.len()
                );
                return Ok(vec![Target::All]);
            }
        }
    }
    Ok(waiting.into_iter().map(|(_, target)| target).collect())
}

/// The first record, and what is behind it.
fn next(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = &head[..4];
    let size = u32::from_be_bytes(length.try_into().ok()?);
    let (body, after) = rest.split_at_checked(usize::try_from(size).ok()?)?;
    let whole = digest::checksum([length, body]) == head[4..];
    Some((Record::decode(body).filter(|_| whole)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::Tag;

    fn tag(n: usize) -> Target {
        Target::Tag(None, Tag::new(&format!("t{n}")).unwrap())
    }

    fn clear(number: u64, n: usize) -> Record {
        Record::Clear { number, targets: vec![tag(n)] }
    }

    /// A file that goes with its last use, and what lies beside it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let place = Self(std::env::temp_dir().join(format!("cache-journal-{}-{name}", std::process::id())));
            // Of a process that was killed, and had the same number.
            place.clear();
            place
        }

        fn clear(&self) {
            for ending in ["", ".lock", ".new"] {
                let _ = std::fs::remove_file(beside(&self.0, ending));
            }
        }
    }

    impl std::ops::Deref for Place {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            self.clear();
        }
    }

    fn reopened(path: &Path) -> Vec<Target> {
        JournalFile::open(path).unwrap().1
    }

    #[test]
    fn what_was_appended_is_read_again_until_it_is_acknowledged() {
        let path = Place::new("append");
        {
            let (file, left) = JournalFile::open(&path).unwrap();
            assert!(left.is_empty());
            file.append(&clear(1, 1), Vec::new).unwrap();
            file.append(&clear(2, 2), Vec::new).unwrap();
        }
        assert_eq!(reopened(&path), [tag(1), tag(2)]);
        {
            let (file, _) = JournalFile::open(&path).unwrap();
            file.append(&clear(2, 3), Vec::new).unwrap();
            file.acknowledge(1, || vec![(2, tag(3))]).unwrap();
        }
        assert_eq!(reopened(&path), [tag(3)]);
        JournalFile::open(&path).unwrap().0.acknowledge(2, Vec::new).unwrap();
        assert_eq!(std::fs::read(&*path).unwrap(), MAGIC);
    }

    #[test]
    fn p5_every_cut_and_every_flipped_bit_clears_at_least_what_was_there() {
        let path = Place::new("damage");
        {
            let (file, _) = JournalFile::open(&path).unwrap();
            (1..=3).for_each(|n| file.append(&clear(n, n as usize), Vec::new).unwrap());
        }
        let whole = std::fs::read(&*path).unwrap();
        let covered = |bytes: &[u8], at: usize| {
            std::fs::write(&*path, bytes).unwrap();
            let Ok((_, left)) = JournalFile::open(&path) else { return at < MAGIC.len() };
            left == [Target::All] || left == [tag(1), tag(2), tag(3)]
        };
        // What ends at a record's end, or before the first, was never more than that.
        let ends: Vec<usize> = [1, 2, 3].map(|n| MAGIC.len() + framed(&clear(1, 1)).len() * n).to_vec();
        for cut in MAGIC.len() + 1..whole.len() {
            assert!(ends.contains(&cut) || covered(&whole[..cut], cut), "cut to {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(covered(&flipped, bit / 8), "bit {bit}");
        }
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let path = Place::new("growth");
        let (file, _) = JournalFile::open(&path).unwrap();
        for number in 1..=2_000 {
            let targets = vec![Target::Key(None, "k".repeat(100)), tag(7)];
            file.append(&Record::Clear { number, targets }, || vec![(number, tag(7))]).unwrap();
            file.acknowledge(number - 1, || vec![(number, tag(7))]).unwrap();
        }
        let length = std::fs::metadata(&*path).unwrap().len();
        assert!(length < 2 * COMPACTED_FROM, "{length} bytes");
        drop(file);
        assert!(reopened(&path).contains(&tag(7)));
    }

    #[test]
    fn two_do_not_share_one_and_other_files_are_left_alone() {
        let path = Place::new("shared");
        let held = JournalFile::open(&path).unwrap();
        assert!(JournalFile::open(&path).unwrap_err().to_string().contains("another process"));
        drop(held);
        std::fs::write(&*path, "somebody's letters").unwrap();
        assert!(JournalFile::open(&path).unwrap_err().to_string().contains("not a journal"));
        assert_eq!(std::fs::read(&*path).unwrap(), b"somebody's letters");
    }
}
