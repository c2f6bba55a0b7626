//! Glob patterns on keys, as Redis matches them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that stands for
//! itself.

use std::fmt;
use std::sync::Arc;

use crate::error::CacheError;

/// The most bytes a pattern may have.
const MAX_PATTERN_BYTES: usize = 256;

/// A glob pattern on key texts.
///
/// ```
/// use cache_middleware::Pattern;
///
/// let menus = Pattern::new("org:*:menu").unwrap();
/// assert!(menus.matches("org:42:menu"));
/// assert!(!menus.matches("org:42:menus"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// What everything matches.
    pub(crate) fn any() -> Self {
        Self("*".into())
    }

    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is empty, longer than 256 bytes, or has an open `[` or a trailing `\`.
    pub fn new(text: &str) -> Result<Self, CacheError> {
        let invalid = |why: &str| Err(CacheError::Invalid(format!("{text:?} is not a pattern: {why}")));
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES {
            return invalid("it takes 1 to 256 bytes");
        }
        let mut rest = text.bytes();
        let mut in_class = false;
        while let Some(byte) = rest.next() {
            match byte {
                b'\\' if rest.next().is_none() => return invalid("a `\\` stands before the character it escapes"),
                b'[' => in_class = true,
                b']' => in_class = false,
                _ => {}
            }
        }
        if in_class { invalid("a `[` is closed by a `]`") } else { Ok(Self(text.into())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches the whole of `text`. Takes time in the product of the lengths at most.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Iterative matching that remembers only the last `*`, so that no pattern takes exponential time.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if t == text.len() {
            return p == pattern.len();
        } else if let Some(next) = pattern.get(p).and_then(|_| step(&pattern[p..], text[t])) {
            p += next;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            p = after;
            t = from + 1;
        } else {
            return false;
        }
    }
}

/// How many bytes of `pattern` match the one byte of text, if they do.
fn step(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'[' => class(pattern, byte),
        b'\\' => (pattern.get(1) == Some(&byte)).then_some(2),
        literal => (literal == byte).then_some(1),
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match pattern.get(at)? {
            b']' => break,
            b'\\' => {
                found |= *pattern.get(at + 1)? == byte;
                at += 2;
            }
            low => {
                if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|high| *high != b']') {
                    let high = pattern[at + 2];
                    found |= ((*low).min(high)..=(*low).max(high)).contains(&byte);
                    at += 3;
                } else {
                    found |= *low == byte;
                    at += 1;
                }
            }
        }
    }
    (found != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_redis_does() {
        let cases = [
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxcxxbxxaxx", false),
            ("**", "x", true),
            (r"[\]]", "]", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Pattern::new(pattern).unwrap().matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_does_not_explode() {
        let pattern = Pattern::new(&"*a".repeat(60)).unwrap();
        assert!(!pattern.matches(&"a".repeat(59)));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(5_000))));
    }

    #[test]
    fn mistakes_are_refused() {
        for bad in ["", "a[b", r"a\"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
