//! Keys: whose response this is.
//!
//! A key is built from length-framed fields, so that no value of one field can be mistaken for another (rule K2):
//! tenant, kind, variant, then the text. [`CacheKey`] says how an argument of a handler tells its callers apart.

mod arguments;
mod writer;

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

pub use arguments::CacheKey;
pub use writer::KeyWriter;

use crate::pattern::Pattern;
use crate::tag::Mark;
use crate::tenant::{self, Tenant};

/// The longest key, in bytes; longer ones are not cached.
pub const MAX_KEY_BYTES: usize = 8 * 1024;

/// The full identity of an entry.
///
/// ```
/// use cache_middleware::Key;
/// use cache_middleware::key::KeySpace;
///
/// let menu = Key::new(None, KeySpace::Value, None, "menu:7");
/// assert_eq!(menu.text(), "menu:7");
/// assert_eq!(Key::of_name(menu.name()), Some(menu));
/// ```
#[derive(Debug, Clone)]
pub struct Key {
    name: Arc<str>,
    text_at: usize,
    tenant: Option<Tenant>,
    /// Whether entries of it are found through a set of its text.
    indexed: bool,
    /// Made when it is asked for: a hit in memory has no use for it.
    mark: OnceLock<Mark>,
}

/// The name says all.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Who shares the text of a key.
///
/// ```
/// use cache_middleware::key::{Key, KeySpace};
///
/// // Two handlers that name the same key never answer for each other.
/// let of = |handler| Key::new(None, KeySpace::Named(handler), None, "menu");
/// assert_ne!(of("app::lunch").name(), of("app::dinner").name());
/// assert_eq!(of("app::lunch").text(), "menu");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySpace<'a> {
    /// Typed values: the text is what the caller named.
    Value,
    /// Responses with a default key: the text holds the handler or route, the URI and the arguments.
    Request,
    /// Responses with a key template of the user: the handler is held beside the text, so that two handlers that name
    /// the same key still never answer for each other.
    Named(&'a str),
}

impl Key {
    /// Builds a key. `variant` is what `vary` selects: the framed values of the named headers.
    #[must_use]
    pub fn new(tenant: Option<&Tenant>, space: KeySpace<'_>, variant: Option<&str>, text: &str) -> Self {
        Self::written(tenant, space, variant, |name| name.framed(text))
    }

    /// Builds a key whose text is written in its place.
    pub(crate) fn written(
        tenant: Option<&Tenant>,
        space: KeySpace<'_>,
        variant: Option<&str>,
        write_text: impl FnOnce(&mut KeyWriter),
    ) -> Self {
        // Where the last name was written: what is kept of it is a copy of the right size.
        thread_local!(static ROOM: Cell<String> = const { Cell::new(String::new()) });
        let mut name = ROOM.take();
        name.clear();
        tenant::write_frame(&mut name, tenant);
        // Entries whose name does not follow from tenant and text alone are found through a set of their key.
        let mut indexed = false;
        match space {
            KeySpace::Value => name.push_str("/v"),
            KeySpace::Request => name.push_str("/r"),
            KeySpace::Named(handler) => {
                indexed = true;
                name.push_str("/k");
                tenant::write_framed(&mut name, handler);
            }
        }
        if let Some(variant) = variant {
            indexed = true;
            name.push(';');
            tenant::write_framed(&mut name, variant);
        }
        name.push('/');
        let text_at = name.len();
        let mut writer = KeyWriter::onto(name);
        write_text(&mut writer);
        let name = writer.finish();
        let key = Self { name: name.as_str().into(), text_at, tenant: tenant.cloned(), indexed, mark: OnceLock::new() };
        if name.capacity() <= MAX_KEY_BYTES {
            ROOM.set(name);
        }
        key
    }

    /// The key of a name that was listed ([`crate::CacheManager::entries`]); `None` if it is no name of one.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let parts = split_name(name)?;
        let tenant = tenant::of_frame(parts.tenant);
        let text_at = name.len() - parts.text.len();
        Some(Self { name: name.into(), text_at, tenant, indexed: true, mark: OnceLock::new() })
    }

    /// The names that a clear of the key `text` reaches without a look at the index.
    pub(crate) fn direct_names(tenant: Option<&Tenant>, text: &str) -> [String; 2] {
        let frame = tenant::frame(tenant);
        [format!("{frame}/v/{text}"), format!("{frame}/r/{text}")]
    }

    /// The whole key: unambiguous, readable, and what a read is verified against.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The part that key templates, `clear_key` and patterns speak of.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.name[self.text_at..]
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// The mark that a clear of this key sets.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        self.mark.get_or_init(|| Mark::key(self.tenant.as_ref(), self.text(), self.indexed))
    }
}

/// The parts of a key's name, as [`Key::new`] wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameParts<'a> {
    /// The frame of the tenant.
    pub(crate) tenant: &'a str,
    /// Tenant and kind: with the text, what all variants of a key have in common.
    pub(crate) stem: &'a str,
    pub(crate) text: &'a str,
}

/// Takes a name apart; `None` if [`Key::new`] did not write it.
pub(crate) fn split_name(name: &str) -> Option<NameParts<'_>> {
    let tenant_end = match name.split_once([':', '/'])? {
        ("-", _) => 1,
        (length, _) if name[length.len()..].starts_with(':') => framed_end(length)?,
        _ => return None,
    };
    let tenant = name.get(..tenant_end)?;
    let kind = name.get(tenant_end..)?.strip_prefix('/')?;
    let skip_frame = |framed: &str| framed_end(framed.split_once(':')?.0);
    let mut rest = match kind.strip_prefix('k') {
        Some(framed) => framed.get(skip_frame(framed)?..)?,
        None => kind.strip_prefix(['v', 'r'])?,
    };
    let stem = &name[..name.len() - rest.len()];
    if let Some(framed) = rest.strip_prefix(';') {
        rest = framed.get(skip_frame(framed)?..)?;
    }
    Some(NameParts { tenant, stem, text: rest.strip_prefix('/')? })
}

/// Where a field ends whose frame starts with `length`; a length that overflows is no frame.
fn framed_end(length: &str) -> Option<usize> {
    length.parse::<usize>().ok()?.checked_add(length.len() + 1)
}

/// A pattern and the tenant it is confined to, matched against names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ScopedPattern {
    tenant: String,
    pattern: Pattern,
}

impl ScopedPattern {
    pub(crate) fn new(tenant: Option<&Tenant>, pattern: Pattern) -> Self {
        Self { tenant: tenant::frame(tenant), pattern }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        split_name(name).is_some_and(|parts| parts.tenant == self.tenant && self.pattern.matches(parts.text))
    }

    /// A form from which [`Self::parse`] reads it back.
    #[cfg(feature = "redis")]
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.tenant, self.pattern)
    }

    #[cfg(feature = "redis")]
    pub(crate) fn parse(id: &str) -> Option<Self> {
        // A tenant may hold a slash, so its frame says where it ends.
        let end = match id.split_once([':', '/'])? {
            ("-", _) => 1,
            (length, _) => framed_end(length)?,
        };
        let pattern = Pattern::new(id.get(end..)?.strip_prefix('/')?).ok()?;
        Some(Self { tenant: id.get(..end)?.to_owned(), pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(tenant: Option<&str>, space: KeySpace<'_>, variant: Option<&str>, text: &str) -> String {
        let tenant = tenant.map(|t| Tenant::new(t).unwrap());
        Key::new(tenant.as_ref(), space, variant, text).name().to_string()
    }

    #[test]
    fn p7_crafted_fields_never_meet_in_one_name() {
        let names = [
            name(None, KeySpace::Value, None, "x"),
            name(None, KeySpace::Request, None, "x"),
            name(None, KeySpace::Named("x"), None, ""),
            name(None, KeySpace::Named("x"), None, "x"),
            name(Some("t"), KeySpace::Value, None, "x"),
            name(Some("-"), KeySpace::Value, None, "x"),
            name(Some("-/v"), KeySpace::Value, None, "x"),
            name(None, KeySpace::Value, Some("x"), ""),
            name(None, KeySpace::Value, None, ";1:x/"),
            name(None, KeySpace::Named("a;1:b"), None, "x"),
            name(None, KeySpace::Named("a"), Some("b"), "x"),
        ];
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:#?}");
    }

    #[test]
    fn a_name_gives_back_its_tenant_and_text() {
        for tenant in [None, Some("acme"), Some("a/b:c")] {
            for space in [KeySpace::Value, KeySpace::Request, KeySpace::Named("my::handler")] {
                for variant in [None, Some("2:de,")] {
                    let full = name(tenant, space, variant, "org:42/menu;1:x");
                    let parts = split_name(&full).unwrap();
                    assert_eq!(parts.text, "org:42/menu;1:x", "{full}");
                    assert_eq!(parts.tenant, tenant::frame(tenant.map(|t| Tenant::new(t).unwrap()).as_ref()));
                    let plain = name(tenant, space, None, "org:42/menu;1:x");
                    assert_eq!(parts.stem, split_name(&plain).unwrap().stem);
                }
            }
        }
        for foreign in ["", "-", "-/", "x/v/y", "9:short/v/x", "-/q/x", "-/k9:x/y", "18446744073709551615:a/v/x"] {
            assert_eq!(split_name(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn p7_a_pattern_stays_with_its_tenant() {
        let acme = Tenant::new("acme").unwrap();
        let all_of_acme = ScopedPattern::new(Some(&acme), Pattern::new("*").unwrap());
        assert!(all_of_acme.matches(&name(Some("acme"), KeySpace::Value, None, "x")));
        assert!(!all_of_acme.matches(&name(Some("acme2"), KeySpace::Value, None, "x")));
        assert!(!all_of_acme.matches(&name(None, KeySpace::Value, None, "4:acme/v/x")));
    }
}
