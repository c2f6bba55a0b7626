//! The last clears, for who watches.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::cells::Cells;
use super::histogram::Histogram;
use crate::outcome::tokens;

/// So many are remembered.
const MOST: usize = 100;
/// More targets than that are only counted.
const MOST_SHOWN: usize = 8;
/// Of each so much is remembered.
const MOST_CHARACTERS: usize = 120;

tokens! {
    /// Why something was made unservable.
    ///
    /// At work: [`RecentClear`].
    #[non_exhaustive]
    pub ClearKind {
        /// What it covers is not served any more.
        Clear = "clear",
        /// What it covers is stale.
        Expire = "expire",
        /// It is not served any more, because it is put anew in the next moment.
        Replace = "replace",
    }
}

tokens! {
    /// How a clear ended.
    ///
    /// At work: [`RecentClear`].
    #[non_exhaustive]
    pub ClearState {
        /// The store has acknowledged it.
        Acknowledged = "acknowledged",
        /// It waits in the journal.
        Journaled = "journaled",
        /// It was neither: its caller has an error.
        Failed = "failed",
    }
}

/// A clear of this node.
///
/// ```
/// use cache_middleware::CacheManager;
/// use cache_middleware::telemetry::{ClearKind, ClearState};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// cache.clear_tag("menus").await?;
/// let last = cache.recent_clears(0).pop().ok_or("it was cleared")?;
/// assert_eq!((last.kind, last.state, last.targets), (ClearKind::Clear, ClearState::Acknowledged, vec!["tag menus".to_owned()]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentClear {
    /// The how-manieth of this node it was.
    pub number: u64,
    /// Why.
    pub kind: ClearKind,
    /// What was cleared: the first few targets.
    pub targets: Vec<String>,
    /// How many more there were.
    pub more: usize,
    /// How many entries were behind them.
    pub covered: u64,
    /// How many nodes were told.
    pub nodes_told: u64,
    /// From the call to the acknowledgement; zero for one that was retried, of which that is not known.
    pub took: Duration,
    /// How it ended.
    pub state: ClearState,
    /// How long ago.
    pub ago: Duration,
}

/// Clears and expires, counted and remembered.
#[derive(Debug)]
pub(crate) struct ClearCounts {
    states: Cells<{ ClearKind::ALL.len() * ClearState::ALL.len() }>,
    covered: Cells<1>,
    took: Histogram,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    count: u64,
    last: VecDeque<(crate::time::Moment, RecentClear)>,
}

/// What is to be noted of a clear.
pub(crate) struct Cleared<'a, T> {
    pub(crate) kind: ClearKind,
    pub(crate) state: ClearState,
    pub(crate) targets: &'a [T],
    pub(crate) covered: u64,
    pub(crate) nodes_told: u64,
    pub(crate) took: Option<Duration>,
}

impl Default for ClearCounts {
    fn default() -> Self {
        Self {
            states: Cells::single(),
            covered: Cells::single(),
            took: Histogram::of_others(),
            recent: Mutex::default(),
        }
    }
}

impl ClearCounts {
    pub(crate) fn note<T: std::fmt::Display>(&self, cleared: &Cleared<'_, T>) {
        let Cleared { kind, state, targets, covered, nodes_told, took } = *cleared;
        self.states.add(kind as usize * ClearState::ALL.len() + state as usize, 1);
        self.covered.add(0, covered);
        if let Some(took) = took.filter(|_| state == ClearState::Acknowledged) {
            self.took.record(took);
        }
        let took = took.unwrap_or_default();
        // Who watches clears does not mean each value that is set.
        if kind == ClearKind::Replace {
            return;
        }
        let shown = targets.iter().take(MOST_SHOWN).map(|target| shortened(target.to_string())).collect();
        let more = targets.len().saturating_sub(MOST_SHOWN);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.count += 1;
        let number = recent.count;
        if recent.last.len() == MOST {
            recent.last.pop_front();
        }
        let clear =
            RecentClear { number, kind, targets: shown, more, covered, nodes_told, took, state, ago: Duration::ZERO };
        recent.last.push_back((crate::time::Moment::now(), clear));
    }

    /// How many of each kind and state.
    pub(crate) fn states(&self) -> impl Iterator<Item = (ClearKind, ClearState, u64)> {
        let sums = self.states.sums();
        let pairs = ClearKind::ALL.iter().flat_map(|kind| ClearState::ALL.iter().map(move |state| (*kind, *state)));
        pairs.zip(sums).map(|((kind, state), count)| (kind, state, count))
    }

    pub(crate) fn covered(&self) -> u64 {
        self.covered.sums()[0]
    }

    pub(crate) fn took(&self) -> super::Distribution {
        self.took.read()
    }

    /// The last ones after a number, the oldest first.
    pub(crate) fn after(&self, number: u64) -> Vec<RecentClear> {
        let now = crate::time::Moment::now();
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = recent.last.iter().filter(|(_, clear)| clear.number > number);
        newer.map(|(at, clear)| RecentClear { ago: now.since(*at), ..clear.clone() }).collect()
    }
}

/// Callers may make keys as long as they like.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MOST_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_a_bounded_number_of_clears_and_targets_is_remembered() {
        let counts = ClearCounts::default();
        let targets: Vec<u64> = (0..1_000).collect();
        for _ in 0..1_000 {
            counts.note(&Cleared {
                kind: ClearKind::Clear,
                state: ClearState::Journaled,
                targets: &targets,
                covered: 2,
                nodes_told: 0,
                took: None,
            });
        }
        let last = counts.after(0);
        assert_eq!((last.len(), last[99].number), (MOST, 1_000));
        assert_eq!((last[0].targets.len(), last[0].more), (MOST_SHOWN, 1_000 - MOST_SHOWN));
        assert_eq!(counts.after(998).len(), 2);
        assert!(shortened("ä".repeat(9_000)).chars().count() <= MOST_CHARACTERS + 1);
        let counted: Vec<_> = counts.states().filter(|(.., count)| *count > 0).collect();
        assert_eq!(counted, [(ClearKind::Clear, ClearState::Journaled, 1_000)]);
        assert_eq!((counts.covered(), counts.took().count()), (2_000, 0));
    }
}
