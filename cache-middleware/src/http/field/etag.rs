//! Entity tags (RFC 9110 section 8.8.3).

/// Compares weakly a list of entity tags, as `If-None-Match` has it, with one. A tag may hold commas, so the line is read
/// tag by tag; what cannot be read matches nothing.
pub(in crate::http) fn matches_weakly(line: &[u8], etag: &[u8]) -> bool {
    let opaque = etag.strip_prefix(b"W/").unwrap_or(etag);
    let mut rest = line.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while !rest.is_empty() {
        rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        if !rest.starts_with(b"\"") {
            return false;
        }
        let Some(end) = rest[1..].iter().position(|byte| *byte == b'"') else { return false };
        if &rest[..end + 2] == opaque {
            return true;
        }
        rest = rest[end + 2..].trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    }
    false
}

/// Whether two entity tags are the same and both strong.
pub(in crate::http) fn matches_strongly(a: &[u8], b: &[u8]) -> bool {
    a == b && a.len() >= 2 && a.starts_with(b"\"") && a.ends_with(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_compared_weakly_and_read_tag_by_tag() {
        for (line, etag, expected) in [
            ("\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("\"a\"", "W/\"a\"", true),
            ("*", "\"a\"", true),
            ("\"b\", W/\"a\"", "\"a\"", true),
            ("\"b,\\\" \",\"a\"", "\"a\"", false),
            ("\"x, y\", \"a\"", "\"a\"", true),
            ("\"x, \"a\"", "\"a\"", false),
            ("a", "a", false),
            ("\"a", "\"a\"", false),
            ("", "\"a\"", false),
        ] {
            assert_eq!(matches_weakly(line.as_bytes(), etag.as_bytes()), expected, "{line} against {etag}");
        }
    }

    #[test]
    fn strong_comparison_takes_no_weak_tag() {
        assert!(matches_strongly(b"\"a\"", b"\"a\""));
        assert!(!matches_strongly(b"W/\"a\"", b"W/\"a\""));
        assert!(!matches_strongly(b"\"a\"", b"\"b\""));
        assert!(!matches_strongly(b"\"", b"\""));
    }
}
