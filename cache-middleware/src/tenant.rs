//! Tenants: whose entries, tags and clears these are (promise P7).

use std::fmt;
use std::sync::Arc;

use crate::error::CacheError;

/// The most bytes a tenant name may have.
const MAX_TENANT_BYTES: usize = 64;

/// The name of a tenant: 1 to 64 visible ASCII characters.
///
/// ```
/// use cache_middleware::Tenant;
///
/// assert_eq!(Tenant::new("acme")?.as_str(), "acme");
/// assert!(Tenant::new("two words").is_err());
/// # Ok::<_, cache_middleware::CacheError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the name is empty, too long, or not visible ASCII.
    pub fn new(name: &str) -> Result<Self, CacheError> {
        if name.is_empty() || name.len() > MAX_TENANT_BYTES || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(CacheError::Invalid(format!(
                "{name:?} is not a tenant name: it takes 1 to {MAX_TENANT_BYTES} visible ASCII characters"
            )));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The length-framed form of an optional tenant, so that no other field can be mistaken for it.
pub(crate) fn frame(tenant: Option<&Tenant>) -> String {
    let mut text = String::new();
    write_frame(&mut text, tenant);
    text
}

/// Appends what [`frame`] gives.
pub(crate) fn write_frame(text: &mut String, tenant: Option<&Tenant>) {
    match tenant {
        Some(tenant) => write_framed(text, tenant.as_str()),
        None => text.push('-'),
    }
}

/// Appends a field with its length before it.
pub(crate) fn write_framed(text: &mut String, field: &str) {
    write_number(text, field.len());
    text.push(':');
    text.push_str(field);
}

/// Without the machinery of formatting, which took a third of the building of a key.
fn write_number(text: &mut String, number: usize) {
    if number >= 10 {
        write_number(text, number / 10);
    }
    text.push(char::from(b'0' + u8::try_from(number % 10).unwrap_or_default()));
}

/// The tenant of a frame that [`frame`] wrote, if it is of one.
pub(crate) fn of_frame(frame: &str) -> Option<Tenant> {
    Tenant::new(frame.split_once(':')?.1).ok()
}
