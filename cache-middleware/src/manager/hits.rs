//! How often data of a type are found in the cache, and how often they should be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::CacheManager;
use crate::outcome::Outcome;

/// How often data of a type were found on this node, since its start.
///
/// ```
/// use cache_middleware::{CacheManager, DataStrategy};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let acme = CacheManager::builder().build().await?.tenant("acme")?;
/// let profiles = DataStrategy::profiles().of::<String>(&acme)?;
/// for _ in 0..4 {
///     profiles.get_or_fetch(&["7"], || async { Ok::<_, std::io::Error>("Ada".to_owned()) }).await?;
/// }
/// let told = acme.hit_ratios();
/// assert_eq!((told[0].data_type.as_str(), told[0].ratio(), told[0].target), ("user", Some(0.75), Some(0.85)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HitRatio {
    /// The type of the data.
    pub data_type: String,
    /// How often they were found.
    pub hits: u64,
    /// How often they were not.
    pub misses: u64,
    /// The part that should be found, if somebody has said so.
    pub target: Option<f64>,
}

impl HitRatio {
    /// The part that was found; `None` if nobody has looked.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let looks = self.hits + self.misses;
        #[expect(clippy::cast_precision_loss, reason = "a ratio is none the worse for it")]
        let ratio = self.hits as f64 / looks as f64;
        (looks > 0).then_some(ratio)
    }
}

/// The counts of one type.
#[derive(Debug, Default)]
pub(crate) struct HitCounts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl HitCounts {
    pub(crate) fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Bypass { .. } | Outcome::Method) {
            self.count(outcome.is_from_cache());
        }
    }
}

#[derive(Debug, Default)]
struct OfType {
    counts: Arc<HitCounts>,
    target: Option<f64>,
    /// What is kept under the name, if only one type may be.
    kept: Option<&'static str>,
}

/// The counts of all types.
#[derive(Debug, Default)]
pub(super) struct HitsByType(Mutex<BTreeMap<String, OfType>>);

impl CacheManager {
    /// How often data were found on this node, for each type that is counted: that of a [`crate::DataSet`] or a
    /// [`crate::ReferenceCache`], and responses that are [`crate::ResponseCaching::counted_as`] one.
    #[must_use]
    pub fn hit_ratios(&self) -> Vec<HitRatio> {
        let by_type = self.inner.hits.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ratio = |(data_type, of): (&String, &OfType)| HitRatio {
            data_type: data_type.clone(),
            hits: of.counts.hits.load(Ordering::Relaxed),
            misses: of.counts.misses.load(Ordering::Relaxed),
            target: of.target,
        };
        by_type.iter().map(ratio).collect()
    }

    /// The counts of a type; a target that is given replaces the one before.
    pub(crate) fn hits_of(&self, data_type: &str, target: Option<f64>) -> Arc<HitCounts> {
        let mut by_type = self.inner.hits.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_type = by_type.entry(data_type.to_owned()).or_default();
        of_type.target = target.or(of_type.target);
        of_type.counts.clone()
    }

    /// As [`Self::hits_of`], for a name under which values of one type are kept; gives the other type that is kept under it, if there is one.
    pub(crate) fn hits_of_type(
        &self,
        data_type: &str,
        target: f64,
        kept: &'static str,
    ) -> (Arc<HitCounts>, Option<&'static str>) {
        let hits = self.hits_of(data_type, Some(target));
        let mut by_type = self.inner.hits.0.lock().unwrap_or_else(PoisonError::into_inner);
        let other = by_type.get_mut(data_type).map(|of_type| *of_type.kept.get_or_insert(kept));
        (hits, other.filter(|other| *other != kept))
    }
}
