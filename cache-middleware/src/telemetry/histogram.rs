//! How long things take, counted in buckets that are an eighth of a power of two wide: what is read of them is at most an eighth
//! too long. (The layout is that of HdrHistogram with three bits of precision.)

use std::time::Duration;

use super::cells::Cells;

/// Buckets to a power of two.
const PARTS: u64 = 8;
const PART_BITS: u32 = PARTS.trailing_zeros();
/// The largest power that has buckets of its own: as nanoseconds 36 minutes, and longer is counted as that.
const LARGEST_POWER: u32 = 41;
const BUCKETS: usize = ((LARGEST_POWER - PART_BITS + 2) as usize) * PARTS as usize;

/// A histogram of whole numbers.
#[derive(Debug)]
pub(crate) struct Histogram {
    cells: Cells<BUCKETS>,
    /// How many of them make a second.
    per_second: f64,
}

impl Histogram {
    /// Of durations on the way of requests, to the nanosecond.
    pub(crate) fn of_requests() -> Self {
        Self { cells: Cells::new(), per_second: 1e9 }
    }

    /// Of durations elsewhere, to the nanosecond.
    pub(crate) fn of_others() -> Self {
        Self { cells: Cells::single(), per_second: 1e9 }
    }

    /// Of ages, to the millisecond.
    pub(crate) fn of_ages() -> Self {
        Self { cells: Cells::new(), per_second: 1e3 }
    }

    pub(crate) fn record(&self, duration: Duration) {
        let units = if self.per_second > 1e6 { duration.as_nanos() } else { duration.as_millis() };
        self.cells.add(bucket_of(u64::try_from(units).unwrap_or(u64::MAX)), 1);
    }

    /// What has been recorded.
    pub(crate) fn read(&self) -> Distribution {
        let buckets = self.cells.sums().into_iter().enumerate().filter(|(_, count)| *count > 0);
        #[expect(clippy::cast_precision_loss, reason = "the ends of buckets are no more exact than that")]
        let seconds = |bucket: usize| upper_end(bucket) as f64 / self.per_second;
        Distribution { buckets: buckets.map(|(bucket, count)| (seconds(bucket), count)).collect() }
    }
}

fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << (LARGEST_POWER + 1)) - 1);
    if value < PARTS {
        return value as usize;
    }
    let power = value.ilog2();
    let part = (value >> (power - PART_BITS)) & (PARTS - 1);
    (u64::from(power - PART_BITS + 1) * PARTS + part) as usize
}

/// The largest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let (bucket, parts) = (bucket as u64, PARTS);
    if bucket < parts {
        return bucket;
    }
    let (power, part) = (bucket / parts - 1, bucket % parts);
    ((parts + part + 1) << power) - 1
}

/// What a histogram has counted: seconds, and how often something took at most so long, and longer than the ones before.
///
/// ```
/// use cache_middleware::CacheManager;
/// use cache_middleware::telemetry::SampleValue;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// cache.clear_tag("menus").await?;
/// let samples = cache.samples();
/// let took = samples.iter().find(|sample| sample.metric.name == "cache_clear_seconds").ok_or("it is told")?;
/// let SampleValue::Histogram(took) = &took.value else { return Err("it is no distribution".into()) };
/// assert_eq!(took.count(), 1);
/// assert!(took.quantile(0.5).is_some_and(|seconds| seconds < 1.0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    buckets: Vec<(f64, u64)>,
}

impl Distribution {
    /// The upper ends of the buckets, in seconds and rising, and what each has counted.
    #[must_use]
    pub fn buckets(&self) -> &[(f64, u64)] {
        &self.buckets
    }

    /// How much was counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The seconds that a part of them, from 0 to 1, did not exceed, rounded up to the end of a bucket; `None` without any.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
        let wanted = self.count() as f64 * part.clamp(0.0, 1.0);
        let mut sum = 0.0;
        let reached = |(_, count): &&(f64, u64)| {
            #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
            let count = *count as f64;
            sum += count;
            sum >= wanted
        };
        self.buckets.iter().find(reached).map(|(end, _)| *end)
    }

    /// The mean in seconds, as rounded as the buckets; `None` without any.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
        let sum: f64 = self.buckets.iter().map(|(end, count)| end * *count as f64).sum();
        #[expect(clippy::cast_precision_loss, reason = "so many are never counted")]
        let count = self.count() as f64;
        (count > 0.0).then(|| sum / count)
    }

    /// What was counted in both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut buckets = self.buckets.clone();
        for (end, count) in &other.buckets {
            match buckets.binary_search_by(|(known, _)| known.total_cmp(end)) {
                Ok(place) => buckets[place].1 += count,
                Err(place) => buckets.insert(place, (*end, *count)),
            }
        }
        Self { buckets }
    }

    /// What was counted after an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |end: f64| earlier.buckets.iter().find(|(other, _)| *other == end).map_or(0, |(_, count)| *count);
        let newer = self.buckets.iter().map(|(end, count)| (*end, count.saturating_sub(before(*end))));
        Self { buckets: newer.filter(|(_, count)| *count > 0).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_is_in_its_bucket_and_that_is_an_eighth_wide(value in 0_u64..(1 << (LARGEST_POWER + 1))) {
            let bucket = bucket_of(value);
            prop_assert!(bucket < BUCKETS);
            prop_assert!(value <= upper_end(bucket));
            prop_assert!(bucket == 0 || value > upper_end(bucket - 1));
            prop_assert!(upper_end(bucket) - value <= value / PARTS);
        }
    }

    #[test]
    fn what_is_too_long_is_in_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_distribution_is_read_in_seconds() {
        let histogram = Histogram::of_others();
        assert_eq!((histogram.read().quantile(0.5), histogram.read().mean()), (None, None));
        for millis in [1, 1, 1, 100] {
            histogram.record(Duration::from_millis(millis));
        }
        let first = histogram.read();
        let near = |value: Option<f64>, expected: f64| value.is_some_and(|v| v >= expected && v <= expected * 1.125);
        assert!(near(first.quantile(0.5), 0.001) && near(first.quantile(0.75), 0.001), "{first:?}");
        assert!(near(first.quantile(0.99), 0.1) && near(first.mean(), 0.02575), "{first:?}");
        histogram.record(Duration::from_millis(100));
        let newer = histogram.read().since(&first);
        assert_eq!(newer.count(), 1);
        assert!(near(newer.quantile(0.0), 0.1), "{newer:?}");
        let both = newer.with(&first);
        assert_eq!((both.count(), both.since(&newer)), (5, first));
    }

    #[test]
    fn ages_reach_for_years() {
        let ages = Histogram::of_ages();
        ages.record(Duration::from_secs(86_400 * 365));
        assert!(ages.read().quantile(1.0).is_some_and(|seconds| seconds >= 86_400.0 * 365.0));
    }
}
