//! TTLs within bounds.

use std::time::Duration;

use super::{LONGEST_TTL, parse_ttl};

/// A TTL that follows what is learned of each key, and never leaves its bounds.
///
/// ```
/// use cache_middleware::CacheManager;
/// use std::time::Duration;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = CacheManager::builder().build().await?;
/// let (shortest, longest) = (Duration::from_secs(10), Duration::from_secs(600));
/// // It begins with a minute, which must be within the bounds.
/// let policy = cache.policy("1m")?.adaptive_ttl(shortest, longest)?;
/// assert!(cache.policy("1h")?.adaptive_ttl(shortest, longest).is_err());
/// # let _ = policy;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveTtl {
    /// The shortest TTL.
    pub shortest: Duration,
    /// The longest TTL.
    pub longest: Duration,
}

impl AdaptiveTtl {
    /// What contradicts itself in it, beside the TTL that it begins with.
    pub(crate) fn problem(&self, ttl: Duration) -> Option<String> {
        let Self { shortest, longest } = *self;
        if shortest.is_zero() || longest > LONGEST_TTL || shortest >= longest {
            return Some(format!(
                "adaptive_ttl: {shortest:?} to {longest:?} are no bounds: the shortest goes first, as in \"10s..10m\""
            ));
        }
        let inside = (shortest..=longest).contains(&ttl);
        (!inside).then(|| {
            format!("adaptive_ttl: the TTL it begins with ({ttl:?}) is not within {shortest:?} to {longest:?}: take bounds that it is within")
        })
    }

    /// Reads bounds such as `10s..10m`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bounds = text.split_once("..").map(|(shortest, longest)| (parse_ttl(shortest), parse_ttl(longest)));
        match bounds {
            Some((Ok(shortest), Ok(longest))) => Ok(Self { shortest, longest }),
            Some((Err(error), _) | (_, Err(error))) => Err(error.line_of("adaptive_ttl")),
            None => Err(format!("adaptive_ttl: {text:?} are no bounds: write them as 10s..10m")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_or_refused() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let bounds = AdaptiveTtl::parse("1s..1m").unwrap();
        assert_eq!(bounds, AdaptiveTtl { shortest: second, longest: minute });
        assert_eq!(bounds.problem(second * 5), None);
        assert!(bounds.problem(minute * 2).unwrap().contains("begins with"));
        assert!(AdaptiveTtl { shortest: minute, longest: second }.problem(minute).unwrap().contains("no bounds"));
        for bad in ["1s", "1s..", "..1s", "1s...2s", "a..b"] {
            assert!(AdaptiveTtl::parse(bad).is_err(), "{bad}");
        }
    }
}
