//! Counters that many threads add to at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The most copies of a counter: more threads than that share.
const MOST_SHARDS: usize = 8;

/// A row of counters, in as many copies as there are threads at work, so that workers who count the same thing do not wait for
/// each other's cache line.
#[derive(Debug)]
pub(crate) struct Cells<const N: usize> {
    shards: Box<[Shard<N>]>,
}

/// Aligned so that no two share a line, nor a pair of lines that is fetched together.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<const N: usize>([AtomicU64; N]);

impl<const N: usize> Cells<N> {
    /// For what every request adds to.
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::in_copies(threads.next_power_of_two().min(MOST_SHARDS))
    }

    /// For what is rarely added to.
    pub(crate) fn single() -> Self {
        Self::in_copies(1)
    }

    fn in_copies(count: usize) -> Self {
        let shard = || Shard(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { shards: (0..count).map(|_| shard()).collect() }
    }

    pub(crate) fn add(&self, place: usize, count: u64) {
        // The number of copies is a power of two.
        let shard = &self.shards[this_thread() & (self.shards.len() - 1)];
        if let Some(cell) = shard.0.get(place) {
            cell.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// What has been added to each.
    pub(crate) fn sums(&self) -> [u64; N] {
        let sum = |place: usize| self.shards.iter().map(|shard| shard.0[place].load(Ordering::Relaxed)).sum();
        std::array::from_fn(sum)
    }
}

/// A small number of this thread's own.
fn this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_add_is_summed() {
        let (many, one) = (Cells::<2>::new(), Cells::<2>::single());
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1_000).for_each(|_| many.add(0, 1)));
                scope.spawn(|| one.add(1, 2));
            }
        });
        assert_eq!(many.sums(), [20_000, 0]);
        assert_eq!(one.sums(), [0, 40]);
    }
}
