//! Authenticated encryption of what leaves the process (rule R15): XChaCha20-Poly1305, whose nonces are long enough to be
//! drawn at random.
//!
//! What is sealed is bound to its place: bytes that were sealed for another one do not open.

use std::fmt;

use crate::error::ConfigError;

/// What a key may be, in words.
const RULE: &str = "32 random bytes in base64, as `openssl rand -base64 32` prints them";

/// A key that values in Redis are encrypted with.
///
/// ```
/// use cache_middleware::EncryptionKey;
///
/// // As `openssl rand -base64 32` prints one; `CACHE_ENCRYPTION_KEY` is read in the same way.
/// let refused = EncryptionKey::parse("hunter2").unwrap_err().to_string();
/// assert!(refused.contains("32 random bytes in base64") && !refused.contains("hunter2"));
/// ```
#[derive(Clone)]
pub struct EncryptionKey {
    /// Tells keys apart without telling anything of them.
    #[cfg(feature = "encryption")]
    id: [u8; ID],
    #[cfg(feature = "encryption")]
    secret: zeroize::Zeroizing<[u8; 32]>,
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(***)")
    }
}

/// Keys: the first seals, each of them opens.
#[cfg(feature = "redis")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Keyring {
    keys: Vec<EncryptionKey>,
}

#[cfg(feature = "redis")]
impl Keyring {
    pub(crate) fn new(keys: Vec<EncryptionKey>) -> Self {
        Self { keys }
    }

    /// Whether nothing is sealed, and nothing sealed can be opened.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Reads keys separated by commas: the first encrypts, all of them decrypt.
pub(crate) fn parse_keys(text: &str) -> Result<Vec<EncryptionKey>, ConfigError> {
    text.split(',').map(|key| EncryptionKey::parse(key.trim())).collect()
}

#[cfg(feature = "encryption")]
const ID: usize = 8;
#[cfg(feature = "encryption")]
const NONCE: usize = 24;

#[cfg(feature = "encryption")]
impl EncryptionKey {
    /// Reads a key: 32 bytes in base64.
    ///
    /// # Errors
    /// What is accepted; never the key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).map(zeroize::Zeroizing::new);
        let secret = bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(&bytes[..]).ok()).map(zeroize::Zeroizing::new);
        let secret = secret.ok_or_else(|| ConfigError::new(format!("an encryption key is {RULE}")))?;
        let id = crate::digest::checksum([&b"id of a key of cache-middleware"[..], &secret[..]]);
        Ok(Self { id, secret })
    }

    fn cipher(&self) -> chacha20poly1305::XChaCha20Poly1305 {
        use chacha20poly1305::KeyInit as _;
        chacha20poly1305::XChaCha20Poly1305::new((&*self.secret).into())
    }
}

#[cfg(feature = "encryption")]
impl Keyring {
    /// Seals bytes for a place: id of the key, nonce, and what is authenticated. `None` without a key.
    pub(crate) fn seal(&self, place: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        use chacha20poly1305::aead::{Aead as _, Payload};
        let key = self.keys.first()?;
        let nonce: [u8; NONCE] = chacha20poly1305::aead::Generate::generate();
        let sealed = key.cipher().encrypt(&nonce.into(), Payload { msg: bytes, aad: place }).ok()?;
        Some([&key.id[..], &nonce, &sealed].concat())
    }

    /// Whether something was sealed with one of the keys, as it says itself.
    #[cfg(feature = "redis")]
    pub(crate) fn knows(&self, sealed: &[u8]) -> bool {
        sealed.split_first_chunk::<ID>().is_some_and(|(id, _)| self.keys.iter().any(|key| key.id == *id))
    }

    /// Opens what was sealed for a place with one of the keys; anything else is `None`.
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        use chacha20poly1305::aead::{Aead as _, Payload};
        let (id, rest) = sealed.split_first_chunk::<ID>()?;
        let (nonce, bytes) = rest.split_first_chunk::<NONCE>()?;
        let key = self.keys.iter().find(|key| key.id == *id)?;
        key.cipher().decrypt(&(*nonce).into(), Payload { msg: bytes, aad: place }).ok()
    }
}

#[cfg(not(feature = "encryption"))]
impl EncryptionKey {
    /// Refuses every key: the feature `encryption` is not there.
    ///
    /// # Errors
    /// Always.
    pub fn parse(_: &str) -> Result<Self, ConfigError> {
        Err(ConfigError::new(format!("an encryption key ({RULE}) needs the feature `encryption` of cache-middleware")))
    }
}

#[cfg(all(feature = "redis", not(feature = "encryption")))]
impl Keyring {
    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    pub(crate) fn seal(&self, _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    pub(crate) fn knows(&self, _: &[u8]) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    pub(crate) fn open(&self, _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
#[cfg(feature = "encryption")]
mod tests {
    use super::*;

    const A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const B: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

    fn ring(keys: &str) -> Keyring {
        Keyring::new(parse_keys(keys).unwrap())
    }

    #[test]
    fn r15_what_is_sealed_opens_in_its_place_alone() {
        let ring = ring(A);
        let sealed = ring.seal(b"here", b"secret").unwrap();
        assert_eq!(ring.open(b"here", &sealed).unwrap(), b"secret");
        assert_eq!(ring.open(b"there", &sealed), None);
        assert_ne!(ring.seal(b"here", b"secret").unwrap(), sealed, "the same twice is not the same");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring.open(b"here", &flipped), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(ring.open(b"here", &sealed[..length]), None);
        }
    }

    #[test]
    fn keys_are_rotated() {
        let (old, new) = (ring(A), ring(&format!("{B},{A}")));
        let sealed = old.seal(b"x", b"old").unwrap();
        assert_eq!(new.open(b"x", &sealed).unwrap(), b"old");
        let sealed = new.seal(b"x", b"new").unwrap();
        assert_eq!(old.open(b"x", &sealed), None);
    }

    #[test]
    fn keys_that_are_none_are_refused_and_never_shown() {
        for text in ["", "hunter2", "AAECAwQFBgcICQoLDA0ODw==", &A[1..]] {
            let refused = EncryptionKey::parse(text).unwrap_err().to_string();
            assert!(
                refused.contains("openssl rand -base64 32") && (text.is_empty() || !refused.contains(text)),
                "{refused}"
            );
        }
        assert_eq!(format!("{:?}", EncryptionKey::parse(A).unwrap()), "EncryptionKey(***)");
    }
}
