//! Byte ranges (RFC 9110 section 14).

/// What a `Range` asks of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Asked {
    /// All of it: the field is malformed, in another unit, or names several ranges, which a server may ignore.
    Whole,
    /// The bytes from the first to the last.
    Part { first: usize, last: usize },
    /// No byte that there is.
    Unsatisfiable,
}

/// Reads a `Range` for a body of so many bytes.
pub(in crate::http) fn parse(range: &[u8], length: usize) -> Asked {
    let Some((unit, ranges)) = split(range.trim_ascii(), b'=') else { return Asked::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes") || ranges.contains(&b',') {
        return Asked::Whole;
    }
    let Some((first, last)) = split(ranges.trim_ascii(), b'-') else { return Asked::Whole };
    match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => part(first, usize::MAX, length),
        (Some(first), Some(last)) if first <= last => part(first, last, length),
        (None, Some(0)) if first.is_empty() => Asked::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => part(length.saturating_sub(suffix), usize::MAX, length),
        _ => Asked::Whole,
    }
}

fn part(first: usize, last: usize, length: usize) -> Asked {
    if first >= length { Asked::Unsatisfiable } else { Asked::Part { first, last: last.min(length - 1) } }
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

/// Digits; more than there can be are the most there can be.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let part = |first, last| Asked::Part { first, last };
        for (range, expected) in [
            ("bytes=0-1", part(0, 1)),
            ("Bytes=0-99", part(0, 9)),
            ("bytes=4-", part(4, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=9-9", part(9, 9)),
            ("bytes=10-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=99999999999999999999999-", Asked::Unsatisfiable),
            ("bytes=2-1", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("bytes", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=0x1-", Asked::Whole),
        ] {
            assert_eq!(parse(range.as_bytes(), 10), expected, "{range}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Asked::Unsatisfiable);
        assert_eq!(parse(b"bytes=-1", 0), Asked::Unsatisfiable);
    }
}
