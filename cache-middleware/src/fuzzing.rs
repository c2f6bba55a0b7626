//! Entry points for fuzzing (feature `test-util`): each takes any bytes, and panics only over a finding.

pub use crate::http::fuzz_header as header;

use bytes::Bytes;

use crate::entry;
use crate::key::{Key, KeySpace, split_name};
use crate::tag::{Tag, escape, is_tag_byte};
use crate::tenant::Tenant;

/// Cuts bytes into so many texts, at the byte 0xff.
fn texts<const N: usize>(input: &[u8]) -> [String; N] {
    let mut parts = input.split(|byte| *byte == 0xff).map(|part| String::from_utf8_lossy(part).into_owned());
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Builds a key of any texts: its name must give them back, and no other.
///
/// # Panics
/// If it does not.
///
/// At work: [`header`].
pub fn key(input: &[u8]) {
    let [tenant, handler, variant, text, kind] = texts::<5>(input);
    let tenant = Tenant::new(&tenant).ok();
    let space = match kind.len() % 3 {
        0 => KeySpace::Value,
        1 => KeySpace::Request,
        _ => KeySpace::Named(&handler),
    };
    let variant = (!variant.is_empty()).then_some(variant.as_str());
    let key = Key::new(tenant.as_ref(), space, variant, &text);
    let parts = split_name(key.name()).expect("a name that was written is read");
    assert_eq!(parts.text, text, "another text");
    assert_eq!(parts.tenant, crate::tenant::frame(tenant.as_ref()), "another tenant");
    let plain = Key::new(tenant.as_ref(), space, None, &text);
    assert_eq!(split_name(plain.name()).map(|parts| parts.stem), Some(parts.stem), "variants are apart");
    assert_eq!(variant.is_none(), key.name() == plain.name(), "a variant is the plain one");
    // A foreign name is read or not, and never in pieces that are not its own.
    if let Some(parts) = split_name(&text) {
        assert!(text.starts_with(parts.stem) && text.ends_with(parts.text), "pieces of something else");
    }
}

/// Decodes bytes as an entry; what is one must survive the way back.
///
/// # Panics
/// If it does not.
///
/// At work: [`header`].
pub fn entry(input: &[u8]) {
    if let Ok((decoded, _)) = entry::decode(&Bytes::copy_from_slice(input)) {
        let again = entry::decode(&entry::encode(&decoded).into()).expect("what was written is read").0;
        assert_eq!(again, decoded, "another entry");
    }
}

/// Reads bytes as a change message; what is one must be read again.
///
/// # Panics
/// If it is not.
///
/// At work: [`header`].
pub fn message(input: &[u8]) {
    if let Some((event_id, again)) = crate::change::read_twice(input) {
        assert_eq!(again.as_deref(), Ok(event_id.as_str()), "another message");
    }
}

/// Escapes a text: it stands in a tag, and gives itself back.
///
/// # Panics
/// If it does not.
///
/// At work: [`header`].
pub fn tag(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let escaped = escape(&text);
    assert!(escaped.bytes().all(|byte| is_tag_byte(byte) && !b":{}*?[]/".contains(&byte)), "{escaped:?} forges");
    let mut back = Vec::new();
    let mut bytes = escaped.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().expect("a digit"), bytes.next().expect("a digit")];
            back.push(u8::from_str_radix(std::str::from_utf8(&digits).expect("digits"), 16).expect("a byte"));
        } else {
            back.push(byte);
        }
    }
    assert_eq!(back, text.as_bytes(), "two texts share an escape");
    if let Ok(tag) = Tag::new(&text) {
        assert_eq!(tag.as_str(), text, "another tag");
    }
}
