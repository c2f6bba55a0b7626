//! Random numbers that nobody's secret depends on, from the seed that the standard library draws for every hasher.

use std::hash::{BuildHasher, Hasher};

/// 64 random bits.
pub(crate) fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// A random part of a whole: above 0, at most 1.
pub(crate) fn part() -> f64 {
    // As many bits as a double holds exactly.
    let bits = random() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let part = (bits + 1) as f64 / (1_u64 << 53) as f64;
    part
}
