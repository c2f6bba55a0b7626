//! How arguments of handlers enter the key.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::web;

use super::KeyWriter;

/// Says what distinguishes one value of an argument from another.
///
/// Derive it for extractors that tell callers apart, such as the authenticated user. `#[cache_key(identity)]` on the
/// type says that it holds *who* asks: a request with credentials may then be stored, because its key names them
/// (rule R4). `#[cache_key(skip)]` on a field leaves that field out.
///
/// ```
/// use cache_middleware::{CacheKey, KeyWriter};
///
/// #[derive(CacheKey)]
/// #[cache_key(identity)]
/// struct Teacher { id: u64, #[cache_key(skip)] display_name: String }
///
/// let key = |id, name: &str| {
///     let mut writer = KeyWriter::new();
///     Teacher { id, display_name: name.to_owned() }.write_key(&mut writer);
///     writer.finish()
/// };
/// assert_eq!(key(7, "Ann"), key(7, "Anna"));
/// assert_ne!(key(7, "Ann"), key(8, "Ann"));
/// assert!(Teacher::IDENTITY);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what distinguishes one caller from another, so it cannot be part of a cache key",
    label = "this argument cannot be keyed",
    note = "three ways out: `#[derive(CacheKey)]` on the type, if it is yours; `skip(argument)` in `#[cached(..)]`, or `#[cache_key(skip)]` on a field, if the response does not depend on it; or an explicit `key = \"..\"`"
)]
pub trait CacheKey {
    /// Whether the value says who the caller is.
    const IDENTITY: bool = false;

    /// Whether the value is part of the URI, so that a handler's key holds it already: it then writes nothing, and
    /// cannot be an argument of a cached function, whose key holds no URI.
    const HELD_BY_URI: bool = false;

    /// Adds what distinguishes this value.
    fn write_key(&self, key: &mut KeyWriter);
}

macro_rules! written_as_text {
    ($($type:ty),+) => {$(
        impl CacheKey for $type {
            fn write_key(&self, key: &mut KeyWriter) {
                key.field(&self.to_string());
            }
        }
    )+};
}

written_as_text!(bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

macro_rules! written_as_bits {
    ($($type:ty),+) => {$(
        impl CacheKey for $type {
            fn write_key(&self, key: &mut KeyWriter) {
                key.field(&format!("{:x}", self.to_bits()));
            }
        }
    )+};
}

// Bits, because two floats may differ where their text does not, as 0.0 and -0.0 as keys of a division.
written_as_bits!(f32, f64);

impl CacheKey for str {
    fn write_key(&self, key: &mut KeyWriter) {
        key.field(self);
    }
}

impl CacheKey for String {
    fn write_key(&self, key: &mut KeyWriter) {
        key.field(self);
    }
}

macro_rules! written_as_target {
    ($($type:ty),+) => {$(
        impl<T: CacheKey + ?Sized> CacheKey for $type {
            const IDENTITY: bool = T::IDENTITY;
            const HELD_BY_URI: bool = T::HELD_BY_URI;

            fn write_key(&self, key: &mut KeyWriter) {
                (**self).write_key(key);
            }
        }
    )+};
}

written_as_target!(&T, Box<T>, Rc<T>, Arc<T>);

macro_rules! written_as_content {
    ($($type:ty),+) => {$(
        impl<T: CacheKey> CacheKey for $type {
            const IDENTITY: bool = T::IDENTITY;
            const HELD_BY_URI: bool = T::HELD_BY_URI;

            fn write_key(&self, key: &mut KeyWriter) {
                self.0.write_key(key);
            }
        }
    )+};
}

written_as_content!(web::Json<T>, web::Form<T>, web::Header<T>);

impl<T: CacheKey + Clone + 'static> CacheKey for web::ReqData<T> {
    const IDENTITY: bool = T::IDENTITY;
    const HELD_BY_URI: bool = T::HELD_BY_URI;

    fn write_key(&self, key: &mut KeyWriter) {
        (**self).write_key(key);
    }
}

impl CacheKey for web::Bytes {
    fn write_key(&self, key: &mut KeyWriter) {
        key.bytes(self);
    }
}

impl<T: CacheKey> CacheKey for Option<T> {
    const IDENTITY: bool = T::IDENTITY;
    const HELD_BY_URI: bool = T::HELD_BY_URI;

    fn write_key(&self, key: &mut KeyWriter) {
        key.nested(|inner| {
            if let Some(value) = self {
                inner.field("some");
                value.write_key(inner);
            }
        });
    }
}

impl<T: CacheKey> CacheKey for [T] {
    const IDENTITY: bool = T::IDENTITY;
    const HELD_BY_URI: bool = T::HELD_BY_URI;

    fn write_key(&self, key: &mut KeyWriter) {
        key.nested(|inner| {
            for value in self {
                inner.nested(|item| value.write_key(item));
            }
        });
    }
}

impl<T: CacheKey> CacheKey for Vec<T> {
    const IDENTITY: bool = T::IDENTITY;
    const HELD_BY_URI: bool = T::HELD_BY_URI;

    fn write_key(&self, key: &mut KeyWriter) {
        self.as_slice().write_key(key);
    }
}

impl<K: CacheKey, V: CacheKey> CacheKey for BTreeMap<K, V> {
    fn write_key(&self, key: &mut KeyWriter) {
        key.nested(|inner| {
            for pair in self {
                inner.nested(|item| pair.write_key(item));
            }
        });
    }
}

/// Arguments that every response may use and that tell no callers apart.
macro_rules! left_out {
    ($($type:ty),+) => {$(
        impl<T: ?Sized> CacheKey for $type {
            fn write_key(&self, _: &mut KeyWriter) {}
        }
    )+};
}

left_out!(web::Data<T>);

/// Arguments made of the URI, which is part of every default key as it came (rule K3).
macro_rules! held_by_uri {
    ($($type:ty),+) => {$(
        impl<T> CacheKey for $type {
            const HELD_BY_URI: bool = true;

            fn write_key(&self, _: &mut KeyWriter) {}
        }
    )+};
}

held_by_uri!(web::Path<T>, web::Query<T>);

impl CacheKey for () {
    fn write_key(&self, _: &mut KeyWriter) {}
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+))+) => {$(
        impl<$($name: CacheKey),+> CacheKey for ($($name,)+) {
            const IDENTITY: bool = $($name::IDENTITY ||)+ false;
            const HELD_BY_URI: bool = $($name::HELD_BY_URI ||)+ false;

            fn write_key(&self, key: &mut KeyWriter) {
                key.nested(|inner| { $(inner.nested(|item| self.$index.write_key(item));)+ });
            }
        }
    )+};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &impl CacheKey) -> String {
        let mut writer = KeyWriter::new();
        value.write_key(&mut writer);
        writer.finish()
    }

    #[test]
    fn p7_different_values_are_written_differently() {
        assert_ne!(written(&("a", "b")), written(&("ab", "")));
        assert_ne!(written(&vec!["a", "b"]), written(&vec!["a,1:b"]));
        assert_ne!(written(&None::<&str>), written(&Some("")));
        assert_ne!(written(&Some(None::<u8>)), written(&None::<Option<u8>>));
        assert_ne!(written(&0.0_f64), written(&-0.0_f64));
        assert_ne!(written(&web::Bytes::from_static(b"\xff")), written(&"ff"));
        assert_ne!(written(&vec![vec![1_u8], vec![]]), written(&vec![vec![], vec![1_u8]]));
    }

    #[test]
    fn identity_is_inherited() {
        struct User;
        impl CacheKey for User {
            const IDENTITY: bool = true;
            fn write_key(&self, _: &mut KeyWriter) {}
        }
        const {
            assert!(<Option<User> as CacheKey>::IDENTITY);
            assert!(<(u8, Arc<User>) as CacheKey>::IDENTITY);
            assert!(!<(u8, String) as CacheKey>::IDENTITY);
        }
    }
}
