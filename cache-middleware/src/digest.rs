//! One hash for keys, partitions, digests and ETags: BLAKE3, of which no collision is known at any length used here. And XXH3,
//! where nobody gains from a collision and each hit in the store pays.

/// Cuts `text` to `limit` bytes if it is longer: 256 bits of digest, then as much of the text as fits. `None` if it
/// fits as it is. The result starts with `#`, which no name that fits does.
pub(crate) fn bounded(text: &str, limit: usize) -> Option<String> {
    if text.len() <= limit && !text.starts_with('#') {
        return None;
    }
    let hex = blake3::hash(text.as_bytes()).to_hex();
    let mut end = limit.saturating_sub(2 + hex.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(format!("#{hex}/{}", &text[..end]))
}

/// The first 8 bytes of the digest of several parts.
pub(crate) fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; 8];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// A checksum of several parts against what goes wrong by itself. Whoever writes to the store can make the right one in any case,
/// so it needs no more; BLAKE3 took a fifth of a hit in Redis.
pub(crate) fn frame_sum(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.digest().to_be_bytes()
}

/// Which of `count` partitions a name in parts belongs to: the same on every node and in every version.
#[cfg(feature = "redis")]
pub(crate) fn partition<'a>(parts: impl IntoIterator<Item = &'a str>, count: u16) -> u16 {
    let [high, low, ..] = checksum(parts.into_iter().map(str::as_bytes));
    u16::from_be_bytes([high, low]) % count.max(1)
}
