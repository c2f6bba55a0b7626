//! The marks of an entry, in one piece.

use std::fmt;

use crate::tag::Mark;

/// The marks of an entry: of each its kind as in a frame (`i`: indexed, `m`: mark only), the bytes of its id as one character, and
/// the id. One piece of text, because an entry is held for long and its marks are rarely gone through: beside a string for each, two
/// of them take 100 bytes less.
///
/// ```
/// use cache_middleware::entry::MarkList;
/// use cache_middleware::tag::{Mark, Tag};
///
/// let marks = [Mark::tag(None, &Tag::new("menus").unwrap()), Mark::route(None, "/menus/{id}")];
/// let list: MarkList = marks.iter().collect();
/// assert_eq!(list.iter().map(|mark| mark.to_mark()).collect::<Vec<_>>(), marks);
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MarkList(Box<str>);

/// One of them.
///
/// At work: [`MarkList`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkRef<'a> {
    /// As [`Mark::id`].
    pub id: &'a str,
    /// As [`Mark::indexed`].
    pub indexed: bool,
}

impl<'a> MarkRef<'a> {
    /// A mark that is not in a list.
    #[must_use]
    pub fn of(mark: &'a Mark) -> Self {
        Self { id: &mark.id, indexed: mark.indexed }
    }

    /// An ASCII letter.
    fn kind(self) -> u8 {
        if self.indexed { b'i' } else { b'm' }
    }

    /// Adds it to the text of a list; `None` if it is too long for that.
    fn write_to(self, list: &mut String) -> Option<()> {
        let length = char::from_u32(self.id.len().try_into().ok()?)?;
        list.extend([char::from(self.kind()), length]);
        list.push_str(self.id);
        Some(())
    }

    /// The mark by itself.
    #[must_use]
    pub fn to_mark(self) -> Mark {
        Mark { id: self.id.into(), indexed: self.indexed }
    }
}

impl MarkList {
    /// Reads the block of a frame: count (2 bytes, big endian), then each kind, length (2 bytes), id; `None` if it is not exactly that.
    pub(super) fn of_block(block: &[u8]) -> Option<Self> {
        let (count, mut rest) = block.split_first_chunk()?;
        let mut list = String::with_capacity(rest.len());
        for _ in 0..u16::from_be_bytes(*count) {
            let ([kind, high, low], after) = rest.split_first_chunk()?;
            let (id, after) = after.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
            let mark = MarkRef { id: std::str::from_utf8(id).ok()?, indexed: indexed_of(char::from(*kind))? };
            mark.write_to(&mut list)?;
            rest = after;
        }
        rest.is_empty().then(|| Self(list.into()))
    }

    /// The block of a frame.
    pub(super) fn block(&self) -> Vec<u8> {
        let count = self.len();
        let mut block = Vec::with_capacity(2 + self.0.len() + count);
        block.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
        for mark in self.iter() {
            block.push(mark.kind());
            block.extend_from_slice(&u16::try_from(mark.id.len()).unwrap_or(u16::MAX).to_be_bytes());
            block.extend_from_slice(mark.id.as_bytes());
        }
        block
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = MarkRef<'_>> + Clone {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let mut head = rest.chars();
            let (indexed, length) = (indexed_of(head.next()?)?, head.next()? as usize);
            let (id, after) = head.as_str().split_at_checked(length)?;
            rest = after;
            Some(MarkRef { id, indexed })
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

fn indexed_of(kind: char) -> Option<bool> {
    match kind {
        'i' => Some(true),
        'm' => Some(false),
        _ => None,
    }
}

/// An id has 150 bytes at most ([`Mark`]), so that its length is a character. One that somebody has made up, and that is too long for
/// that, is left out: no clear names it either.
impl<'a> FromIterator<&'a Mark> for MarkList {
    fn from_iter<I: IntoIterator<Item = &'a Mark>>(marks: I) -> Self {
        let mut list = String::with_capacity(256);
        for mark in marks {
            let _ = MarkRef::of(mark).write_to(&mut list);
        }
        Self(list.into())
    }
}

impl fmt::Debug for MarkList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
