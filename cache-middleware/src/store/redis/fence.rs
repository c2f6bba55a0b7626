//! The fence: the one small key that a hit reads beside the entry.

use crate::entry::{Stamp, decimal};

/// What the fence of a partition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) stamp: Stamp,
    /// Entries older than this clock are gone.
    pub(super) all: u64,
    /// How many clears have entries left that only their marks make unservable.
    pub(super) open: u64,
}

impl Fence {
    /// Reads `<incarnation> <clock> <all> <pattern> <floor> <open>`; anything else is no fence, and every entry a miss.
    pub(super) fn parse(raw: &[u8]) -> Option<Self> {
        let mut fields = raw.split(|byte| *byte == b' ');
        let incarnation = u64::from_str_radix(std::str::from_utf8(fields.next()?).ok()?, 16).ok()?;
        let mut number = || decimal(fields.next()?);
        let (clock, all, _pattern, _floor, open) = (number()?, number()?, number()?, number()?, number()?);
        fields.next().is_none().then_some(Self { stamp: Stamp { incarnation, clock }, all, open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_scripts_write_and_nothing_else() {
        let fence = Fence::parse(b"00000000000000ff 1700000000000001 3 0 0 2").unwrap();
        assert_eq!(fence, Fence { stamp: Stamp { incarnation: 255, clock: 1_700_000_000_000_001 }, all: 3, open: 2 });
        for bad in [&b""[..], b"ff", b"ff 1 2 3 4", b"ff 1 2 3 4 5 6", b"zz 1 2 3 4 5", b"ff 1 -2 3 4 5", b"\xff"] {
            assert_eq!(Fence::parse(bad), None);
        }
    }
}
