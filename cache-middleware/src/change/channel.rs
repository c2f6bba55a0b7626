//! Names of channels: `app:tenant:data-type`.

use serde_json::Value;

use super::ChangeMessage;
use crate::error::CacheError;
use crate::store::{NAMESPACE_RULE, is_namespace};
use crate::tag::{Tag, escape};
use crate::tenant::Tenant;

/// Checks the name of an application or of a data type, neither of which has a colon in it: a tenant may.
pub(super) fn check(what: &str, name: &str) -> Result<(), CacheError> {
    if is_namespace(name) {
        return Ok(());
    }
    Err(CacheError::Invalid(format!("{name:?} is not the name of {what}: {NAMESPACE_RULE}")))
}

/// What all channels of an application begin with.
pub(super) fn prefix(app: &str) -> String {
    format!("{app}:")
}

/// The channel of a data type of a tenant; `app::data-type` is nobody's.
pub(super) fn name(app: &str, tenant: Option<&Tenant>, data_type: &str) -> String {
    format!("{app}:{}:{data_type}", tenant.map_or("", Tenant::as_str))
}

/// The part of a channel's name that is the tenant's, with its application.
pub(super) fn owner(channel: &str) -> Option<&str> {
    channel.rsplit_once(':').map(|(owner, _)| owner)
}

/// The tag of what is made of a record: `users:user-456`. `None` if the key is too long for one.
pub(crate) fn record_tag(data_type: &str, key: &str) -> Option<Tag> {
    Tag::new(&format!("{data_type}:{}", escape(key))).ok()
}

/// The tags of what is made of the record that a message is about: whichever of its fields names it.
pub(super) fn tags_of(data_type: &str, message: &ChangeMessage) -> Vec<Tag> {
    let texts = message.data.fields.values().filter_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    texts.filter_map(|text| record_tag(data_type, &text)).collect()
}
