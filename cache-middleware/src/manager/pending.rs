//! Clears that the store has not acknowledged yet.
//!
//! Until it has, this node answers from its handlers: what it would serve from the store may be what the clear was
//! about. They are kept in memory and retried until acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Target;

/// Beyond so many distinct targets one clear of everything takes their place.
const MAX_TARGETS: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct PendingClears {
    waiting: Mutex<Waiting>,
    /// Beside the list, so that a request pays no lock for asking.
    any: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Each with a number that tells it from a later clear of the same.
    targets: Vec<(u64, Target)>,
    numbered: u64,
}

impl PendingClears {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    pub(super) fn add(&self, targets: &[Target]) {
        let mut waiting = self.lock();
        waiting.numbered += 1;
        let number = waiting.numbered;
        waiting.targets.retain(|(_, waiting)| !targets.contains(waiting));
        waiting.targets.extend(targets.iter().map(|target| (number, target.clone())));
        if waiting.targets.len() > MAX_TARGETS {
            waiting.targets = vec![(number, Target::All)];
        }
        self.any.store(!waiting.targets.is_empty(), Ordering::SeqCst);
    }

    /// All that wait, and the number to acknowledge them by.
    pub(super) fn all(&self) -> (u64, Vec<Target>) {
        let waiting = self.lock();
        (waiting.numbered, waiting.targets.iter().map(|(_, target)| target.clone()).collect())
    }

    /// Forgets what had been added up to a number; what was added since is newer, even if it names the same.
    pub(super) fn acknowledge(&self, up_to: u64) {
        let mut waiting = self.lock();
        waiting.targets.retain(|(number, _)| *number > up_to);
        self.any.store(!waiting.targets.is_empty(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::Tag;

    fn tag(n: usize) -> Target {
        Target::Tag(None, Tag::new(&format!("t{n}")).unwrap())
    }

    #[test]
    fn what_is_added_while_a_retry_runs_stays() {
        let pending = PendingClears::default();
        pending.add(&[tag(1), tag(2)]);
        let (under_way, targets) = pending.all();
        assert_eq!(targets, [tag(1), tag(2)]);
        // A later write of the same tag, and of another one.
        pending.add(&[tag(2), tag(3)]);
        pending.acknowledge(under_way);
        let (all, targets) = pending.all();
        assert_eq!(targets, [tag(2), tag(3)]);
        assert!(pending.any());
        pending.acknowledge(all);
        assert!(!pending.any());
    }

    #[test]
    fn a_flood_becomes_one_clear_of_everything() {
        let pending = PendingClears::default();
        for n in 0..=MAX_TARGETS {
            pending.add(&[tag(n)]);
        }
        let (under_way, targets) = pending.all();
        assert_eq!(targets, [Target::All]);
        pending.add(&[tag(0)]);
        pending.acknowledge(under_way);
        assert!(pending.any());
    }
}
