//! Lists of comma-separated members (RFC 9110 section 5.6.1), over all lines of a field.

use actix_web::http::header::{AsHeaderName, HeaderMap};

/// The members of all lines of a field, without the whitespace around them; empty ones are left out. A comma inside of
/// a quoted string separates nothing.
pub(in crate::http) fn members(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).flat_map(|line| split(line.as_bytes()))
}

/// The members of one line.
pub(in crate::http) fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_at(line, b',').filter(|member| !member.is_empty())
}

/// The parts between separators, without the whitespace around them; empty ones too. A separator inside of a quoted string
/// separates nothing.
pub(in crate::http) fn split_at(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    // A quote that is never closed quotes nothing, so that what follows it is not hidden. Nor does any after it: each would
    // be followed to the end of the line again, and a client could have that done a hundred thousand times.
    let mut quotes = true;
    std::iter::from_fn(move || {
        let line = rest?;
        let mut at = 0;
        while at < line.len() && line[at] != separator {
            at = match line[at] {
                b'"' if quotes => end_of_quoted(line, at).unwrap_or_else(|| {
                    quotes = false;
                    at + 1
                }),
                _ => at + 1,
            };
        }
        rest = line.get(at + 1..);
        Some(line[..at].trim_ascii())
    })
}

/// The place behind a quoted string that starts at `at`, if it ends.
fn end_of_quoted(line: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    while at < line.len() {
        match line[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// What a quoted string says; `None` for anything else.
pub(in crate::http) fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    if text.first() != Some(&b'"') || end_of_quoted(text, 0) != Some(text.len()) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text[1..text.len() - 1].iter();
    while let Some(byte) = bytes.next() {
        out.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_split_outside_of_quotes() {
        let members = |line: &'static str| -> Vec<&str> {
            split(line.as_bytes()).map(|member| std::str::from_utf8(member).unwrap()).collect()
        };
        assert_eq!(members(" a , b,,\tc"), ["a", "b", "c"]);
        assert_eq!(members("x=\"a, \\\" b\", c"), ["x=\"a, \\\" b\"", "c"]);
        assert_eq!(members("x=\"a, b"), ["x=\"a", "b"]);
        assert_eq!(members("\"a\", \"b, c=\"\\\"d, e"), ["\"a\"", "\"b, c=\"\\\"d", "e"]);
        assert_eq!(members(", ,"), [""; 0]);
        assert_eq!(members("a\\"), ["a\\"]);
    }

    #[test]
    fn quoted_strings_are_read() {
        assert_eq!(unquote(b"\"a\\\"b\"").unwrap(), b"a\"b");
        assert_eq!(unquote(b"\"\"").unwrap(), b"");
        for other in ["a", "\"a", "a\"", "\"a\"b", "\"", "\"a\\\"", ""] {
            assert_eq!(unquote(other.as_bytes()), None, "{other}");
        }
    }
}
