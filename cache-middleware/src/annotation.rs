//! What the attributes told at link time: every annotation of the program, known before the first request.

use crate::policy::{AdaptiveTtl, Ttl};

/// One use of an attribute or derive.
#[derive(Debug)]
pub struct Annotation {
    /// The function or type.
    pub item: &'static str,
    /// Methods and path, if the attribute that says so stands below this one.
    pub route: Option<&'static str>,
    /// The file it stands in.
    pub file: &'static str,
    /// The line of the attribute.
    pub line: u32,
    /// The column of it.
    pub column: u32,
    /// What it says.
    pub kind: AnnotationKind,
}

/// What an attribute says.
#[derive(Debug)]
pub enum AnnotationKind {
    /// `#[cached]`
    Cached {
        /// How long.
        ttl: Ttl,
        /// The template of its key, if it names one.
        key: Option<&'static str>,
        /// The templates of its tags.
        tags: &'static [&'static str],
        /// Whether clears that cover its entries are strict.
        strict: bool,
        /// The bounds of a TTL that adapts.
        adaptive: Option<AdaptiveTtl>,
    },
    /// `#[invalidates]` with an event.
    Event {
        /// The event.
        name: &'static str,
        /// The fields of its payload.
        fields: &'static [&'static str],
    },
    /// Either, where nothing runs for a request without a tenant.
    TenantBound,
    /// `#[invalidates]` with tags or keys of its own.
    Tags {
        /// The templates of the tags.
        tags: &'static [&'static str],
        /// The templates of the keys.
        keys: &'static [&'static str],
    },
}

inventory::collect!(Annotation);

impl Annotation {
    /// Where it stands, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{} ({})", self.file, self.line, self.item)
    }

    /// Whether any asks for strict clears of its entries.
    pub(crate) fn any_is_strict() -> bool {
        Self::all().any(|annotation| matches!(annotation.kind, AnnotationKind::Cached { strict: true, .. }))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        inventory::iter::<Self>.into_iter()
    }
}
