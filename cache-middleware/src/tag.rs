//! Tags: what an entry depends on, and what clears it.

use std::fmt;
use std::sync::Arc;

use crate::digest;
use crate::error::CacheError;
use crate::tenant::{self, Tenant};

/// The most bytes a tag may have.
pub const MAX_TAG_BYTES: usize = 256;

/// The most tags an entry may have.
pub const MAX_TAGS: usize = 128;

/// A tag such as `teacher:7`: 1 to 256 visible ASCII characters without space, comma and double quote, so that it
/// can also travel in the headers CDNs use for the same purpose.
///
/// ```
/// use cache_middleware::Tag;
///
/// assert_eq!(Tag::new("teacher:7").unwrap().as_str(), "teacher:7");
/// assert!(Tag::new("two words").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// Not more of a text than tells it: whoever makes requests can make it long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

impl Tag {
    /// Checks and takes a tag.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] with what a tag may hold.
    pub fn new(text: &str) -> Result<Self, CacheError> {
        if text.is_empty() || text.len() > MAX_TAG_BYTES || !text.bytes().all(is_tag_byte) {
            return Err(CacheError::Invalid(format!(
                "{:?} is not a tag: it takes 1 to {MAX_TAG_BYTES} visible ASCII characters \
                 without space, comma and double quote",
                shown(text)
            )));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a byte may stand in a tag.
pub(crate) fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b',' && byte != b'"'
}

/// Writes a value so that it cannot forge another tag or key: everything but letters, digits and `. _ ~ @ + = -`
/// becomes `%XX`. Distinct values stay distinct.
///
/// ```
/// assert_eq!(cache_middleware::escape("7"), "7");
/// assert_eq!(cache_middleware::escape("7:admin"), "7%3Aadmin");
/// ```
#[must_use]
pub fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"._~@+=-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What a clear may name: one side of the tag index.
///
/// The key of an entry, its route and its tenant are marks of it like its tags. A mark that is not `indexed` is
/// compared on every fill, but needs no set of its own because the entry's name follows from it.
///
/// ```
/// use cache_middleware::tag::{Mark, Tag};
///
/// let tag = Tag::new("teacher:7").unwrap();
/// assert_ne!(Mark::tag(None, &tag).id, Mark::route(None, "teacher:7").id, "a route is no tag");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Unambiguous name: kind, tenant, text.
    pub id: Arc<str>,
    /// Whether the store keeps a set of the entries that have it.
    pub indexed: bool,
}

/// Longer names are cut and completed by a digest, so that every name in Redis stays within 250 characters.
const MAX_MARK_BYTES: usize = 150;

impl Mark {
    fn build(kind: char, tenant: Option<&Tenant>, text: &str, indexed: bool) -> Self {
        let mut full = String::with_capacity(text.len() + 8);
        full.push(kind);
        full.push('/');
        tenant::write_frame(&mut full, tenant);
        full.push('/');
        full.push_str(text);
        let id = match digest::bounded(&full, MAX_MARK_BYTES - 2) {
            None => full,
            Some(cut) => format!("{kind}/{cut}"),
        };
        Self { id: id.into(), indexed }
    }

    /// The mark of a tag.
    #[must_use]
    pub fn tag(tenant: Option<&Tenant>, tag: &Tag) -> Self {
        Self::build('t', tenant, tag.as_str(), true)
    }

    /// The mark of a route pattern, such as `/sessions/{id}`.
    #[must_use]
    pub fn route(tenant: Option<&Tenant>, pattern: &str) -> Self {
        Self::build('r', tenant, pattern, true)
    }

    /// Whose it is, if it is a tenant's and not cut.
    #[must_use]
    pub fn tenant_of(id: &str) -> Option<Tenant> {
        Self::parts(id)?.0
    }

    /// A mark for people: `tag teacher:7`, `key menu of tenant acme`.
    #[must_use]
    pub fn shown(id: &str) -> String {
        let kind = match id.as_bytes().first() {
            Some(b't') => "tag",
            Some(b'r') => "route",
            Some(b'k') => "key",
            Some(b'n') => "tenant",
            _ => return id.to_owned(),
        };
        match Self::parts(id) {
            Some((Some(tenant), "")) => format!("tenant {tenant}"),
            Some((Some(tenant), text)) => format!("{kind} {text} of tenant {tenant}"),
            Some((None, text)) => format!("{kind} {text}"),
            None => id.to_owned(),
        }
    }

    /// Tenant and tag of the mark of one; `None` for other marks.
    pub(crate) fn as_tag(id: &str) -> Option<(Option<Tenant>, &str)> {
        id.starts_with("t/").then(|| Self::parts(id)).flatten()
    }

    fn parts(id: &str) -> Option<(Option<Tenant>, &str)> {
        let (_, rest) = id.split_once('/')?;
        // Of one that was cut only the digest is certain.
        if rest.starts_with('#') {
            return Some((None, rest));
        }
        let (frame, text) = match rest.strip_prefix("-/") {
            Some(text) => ("-", text),
            None => {
                let length: usize = rest.split_once(':')?.0.parse().ok()?;
                let end = rest.split_once(':')?.0.len() + 1 + length;
                (rest.get(..end)?, rest.get(end..)?.strip_prefix('/')?)
            }
        };
        Some((tenant::of_frame(frame), text))
    }

    /// The mark of everything a tenant has.
    #[must_use]
    pub fn tenant(tenant: &Tenant) -> Self {
        Self::build('n', Some(tenant), "", true)
    }

    /// The mark of a key.
    #[must_use]
    pub fn key(tenant: Option<&Tenant>, text: &str, indexed: bool) -> Self {
        Self::build('k', tenant, text, indexed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_marks_of_different_things_never_meet() {
        let acme = Tenant::new("acme").unwrap();
        let tag = Tag::new("x").unwrap();
        let ids = [
            Mark::tag(None, &tag).id,
            Mark::tag(Some(&acme), &tag).id,
            Mark::route(None, "x").id,
            Mark::tenant(&acme).id,
            Mark::key(None, "x", false).id,
            Mark::key(Some(&acme), "x", false).id,
            // A tag that tries to look like another tenant's.
            Mark::tag(None, &Tag::new("4:acme/x").unwrap()).id,
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    }

    #[test]
    fn tags_are_read_out_of_their_marks() {
        let acme = Tenant::new("acme/1:2").unwrap();
        let tag = Tag::new("a/b:1").unwrap();
        assert_eq!(Mark::as_tag(&Mark::tag(None, &tag).id), Some((None, "a/b:1")));
        assert_eq!(Mark::as_tag(&Mark::tag(Some(&acme), &tag).id), Some((Some(acme), "a/b:1")));
        assert_eq!(Mark::as_tag(&Mark::route(None, "/x").id), None);
        assert_eq!(Mark::shown(&Mark::route(None, "/x").id), "route /x");
        assert_eq!(Mark::shown(&Mark::tenant(&Tenant::new("acme").unwrap()).id), "tenant acme");
        assert_eq!(
            Mark::shown(&Mark::key(Some(&Tenant::new("acme").unwrap()), "a/b", true).id),
            "key a/b of tenant acme"
        );
        let long = Tag::new(&"x".repeat(250)).unwrap();
        assert!(Mark::as_tag(&Mark::tag(None, &long).id).is_some_and(|(_, text)| text.starts_with('#')));
    }

    #[test]
    fn long_marks_are_cut_and_stay_distinct() {
        let long = "x".repeat(250);
        let a = Mark::tag(None, &Tag::new(&format!("{long}a")).unwrap());
        let b = Mark::tag(None, &Tag::new(&format!("{long}b")).unwrap());
        assert_ne!(a.id, b.id);
        assert!(a.id.len() <= MAX_MARK_BYTES, "{}", a.id.len());
    }

    #[test]
    fn escaping_is_injective() {
        let values = ["a:b", "a%3Ab", "a b", "a,b", "", "ä", "a/b", "{x}", "a*"];
        let escaped: std::collections::HashSet<_> = values.iter().map(|v| escape(v)).collect();
        assert_eq!(escaped.len(), values.len());
        assert!(escaped.iter().all(|e| e.bytes().all(is_tag_byte)));
    }
}
