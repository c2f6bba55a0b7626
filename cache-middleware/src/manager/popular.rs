//! What is used most on this node, so that it can be made again when a clear has removed it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use tokio::sync::broadcast;

use super::CacheManager;
use crate::entry::{Entry, MarkList, Payload};
use crate::journal::Covered;
use crate::key::split_name;
use crate::store::Target;
use crate::tenant;

/// How many entries are known.
const MOST: usize = 4_096;
/// How many clears may wait to be looked at; older ones are left out.
const MOST_CLEARS: usize = 256;

/// Counts uses, from when somebody wants to know on.
#[derive(Debug)]
pub(super) struct Popular {
    used: Cache<Arc<str>, Arc<Use>>,
    clears: broadcast::Sender<Arc<[Target]>>,
}

#[derive(Debug)]
struct Use {
    marks: MarkList,
    asked: Option<AskedFor>,
    times: AtomicU64,
}

/// Which request a response was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedFor {
    pub(crate) host: String,
    pub(crate) path: String,
}

/// An entry that a clear has removed, and that was used.
///
/// At work: [`crate::Warming`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// The text of its key, as `clear_key` takes it.
    pub key: String,
    /// Whose it was.
    pub tenant: Option<String>,
    /// How often it was used on this node; what was long ago counts less.
    pub uses: u64,
    /// The host that its request named, if it was a response.
    pub host: Option<String>,
    /// The path and query of its request, if it was a response.
    pub path: Option<String>,
}

impl Removed {
    fn of(name: &str, used: &Use) -> Self {
        let parts = split_name(name);
        let asked = used.asked.as_ref();
        Self {
            key: parts.map_or(name, |parts| parts.text).to_owned(),
            tenant: parts.and_then(|parts| tenant::of_frame(parts.tenant)).map(|tenant| tenant.as_str().to_owned()),
            uses: used.times.load(Ordering::Relaxed),
            host: asked.map(|asked| asked.host.clone()),
            path: asked.map(|asked| asked.path.clone()),
        }
    }
}

impl Popular {
    /// A clear is acknowledged. Nobody may be listening any more.
    pub(super) fn tell_of_clear(&self, targets: &[Target]) {
        let _ = self.clears.send(targets.into());
    }
}

impl CacheManager {
    /// Counts uses from now on, and tells of the clears of this node, once they are acknowledged.
    pub(crate) fn watch_clears(&self) -> broadcast::Receiver<Arc<[Target]>> {
        let new = || Popular { used: Cache::new(MOST), clears: broadcast::Sender::new(MOST_CLEARS) };
        self.inner.popular.get_or_init(new).clears.subscribe()
    }

    /// Whether uses are counted.
    pub(crate) fn counts_uses(&self) -> bool {
        self.inner.popular.get().is_some()
    }

    /// Somebody was answered with an entry.
    pub(super) fn note_use(&self, entry: &Entry, asked: Option<&AskedFor>) {
        let Some(popular) = self.inner.popular.get() else { return };
        // It only leads to an entry that is used.
        if matches!(entry.payload, Payload::Selector(_)) {
            return;
        }
        match popular.used.get(&entry.key) {
            Some(used) if used.marks == entry.marks => drop(used.times.fetch_add(1, Ordering::Relaxed)),
            // New, or filled again with other tags.
            before => {
                let times = before.map_or(0, |used| used.times.load(Ordering::Relaxed)) + 1;
                let used = Use { marks: entry.marks.clone(), asked: asked.cloned(), times: AtomicU64::new(times) };
                popular.used.insert(entry.key.clone(), Arc::new(used));
            }
        }
    }

    pub(super) fn tell_of_clear(&self, targets: &[Target]) {
        if let Some(popular) = self.inner.popular.get() {
            popular.tell_of_clear(targets);
        }
    }

    /// What was used most of what clears have removed, the most used first. They count anew from now on, and those of all others fade a
    /// little.
    pub(crate) fn most_used_of(&self, targets: &[Target], most: usize) -> Vec<Removed> {
        let Some(popular) = self.inner.popular.get() else { return Vec::new() };
        let covered = Covered::by(targets);
        let mut removed = Vec::new();
        for (name, used) in popular.used.iter() {
            if covered.covers_marked(&name, &used.marks) {
                removed.push(Removed::of(&name, &used));
                popular.used.remove(&name);
            } else {
                let times = used.times.load(Ordering::Relaxed);
                used.times.fetch_sub(times / 16, Ordering::Relaxed);
            }
        }
        removed.sort_by(|a, b| b.uses.cmp(&a.uses).then_with(|| a.key.cmp(&b.key)));
        removed.truncate(most);
        removed
    }
}
