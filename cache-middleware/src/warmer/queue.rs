//! What waits to be warmed: by priority, and then in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use tokio::time::Instant;

use super::Warm;

/// Something that waits.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) warm: Warm,
    /// After this it is not begun any more, and what has begun ends.
    pub(super) deadline: Instant,
    /// Whether it belongs to the start of the service.
    pub(super) at_start: bool,
    number: u64,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.warm.priority.cmp(&other.warm.priority).then(other.number.cmp(&self.number))
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BinaryHeap<Item>,
    numbered: u64,
}

impl Queue {
    /// Adds something; `false` if there is no room for it.
    pub(super) fn add(&mut self, warm: Warm, deadline: Instant, at_start: bool, most: usize) -> bool {
        if self.waiting.len() >= most {
            return false;
        }
        self.numbered += 1;
        self.waiting.push(Item { warm, deadline, at_start, number: self.numbered });
        true
    }

    pub(super) fn next(&mut self) -> Option<Item> {
        self.waiting.pop()
    }
}
