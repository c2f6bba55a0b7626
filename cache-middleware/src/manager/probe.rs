//! The consistency probe: of some hits the handler runs again, in the background, and what it says is compared with what was served.
//!
//! One difference proves nothing: a write may be between its change and its clear, and some handlers never say the same twice. So it
//! is a suspicion, and the next hit of the same entry settles it: if the entry is still served a while later, and the handler says
//! again what it said then, something has changed that no clear tells of.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use super::CacheManager;
use super::look::Asking;
use super::serve::Judged;
use crate::chance;
use crate::entry::{Entry, Payload, Stamp};
use crate::outcome::RefusalReason;
use crate::telemetry::Compared;
use crate::time::Moment;

/// So many suspicions are kept, the newest ones.
const MOST_SUSPECTS: NonZeroUsize = NonZeroUsize::new(1_000).expect("not 0");
/// So many differences are remembered.
const MOST_DIFFERENCES: usize = 100;

/// What a handler has said whose status is not stored.
const OTHER_STATUS: [u8; 8] = *b"a status";

/// A hit that differs from what its handler says now, for no reason that excuses it.
///
/// At work: [`crate::CacheManagerBuilder::probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The route, function or type of data.
    pub route: String,
    /// The key, which may say who asks: for who may see that.
    pub key: String,
    /// What differs: the status, or from which byte on, and how long both are.
    pub what: String,
    /// The age of the entry when it was served.
    pub age: Duration,
}

/// What a manager probes.
#[derive(Debug)]
pub(super) struct Probing {
    /// The part of hits.
    pub(super) part: f64,
    /// How long after a suspicion it is looked into.
    pub(super) after: Duration,
    suspects: Mutex<Suspects>,
    found: Mutex<VecDeque<Difference>>,
}

/// What is suspected, and what is being compared: one run for a key at a time.
#[derive(Debug)]
struct Suspects {
    of: LruCache<Arc<str>, Suspect>,
    running: HashSet<Arc<str>>,
}

/// An entry that the handler did not agree with.
#[derive(Debug)]
struct Suspect {
    entry: (Stamp, u64),
    said: [u8; 8],
    since: Moment,
}

/// A hit whose handler is to run.
#[derive(Debug)]
pub(crate) struct Probe {
    entry: Arc<Entry>,
    stale: bool,
    age: Duration,
    probing: Arc<Probing>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.probing.lock().running.remove(&self.entry.key);
    }
}

impl Probing {
    pub(super) fn new(part: f64, after: Duration) -> Self {
        let suspects = Suspects { of: LruCache::new(MOST_SUSPECTS), running: HashSet::new() };
        Self { part, after, suspects: Mutex::new(suspects), found: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the handler of a hit is to run: then nobody else has it run for this key until [`Probe`] is dropped.
    fn begins(&self, entry: &Entry) -> bool {
        let mut suspects = self.lock();
        let due = match suspects.of.peek(&entry.key) {
            Some(suspect) => Moment::now().since(suspect.since) >= self.after,
            None => chance::part() < self.part,
        };
        due && suspects.running.insert(entry.key.clone())
    }

    fn compare(&self, entry: &Entry, said: [u8; 8]) -> Compared {
        let mut suspects = self.lock();
        let suspected = suspects.of.pop(&entry.key);
        if entry.payload.sum() == said {
            return Compared::Same;
        }
        let this = (entry.stamp, entry.stored_at_ms);
        match suspected {
            Some(suspect) if suspect.entry == this && suspect.said == said => return Compared::Different,
            Some(suspect) if suspect.entry == this => return Compared::Varying,
            _ => {}
        }
        suspects.of.put(entry.key.clone(), Suspect { entry: this, said, since: Moment::now() });
        if suspected.is_some() { Compared::Cleared } else { Compared::Suspected }
    }
}

impl CacheManager {
    /// The hits that the [`CacheManagerBuilder::probe`](crate::CacheManagerBuilder::probe) has found to differ, the last hundred,
    /// the oldest first.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let Some(probing) = &self.inner.probing else { return Vec::new() };
        probing.found.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// A hit that is to be compared, if this is one.
    pub(super) fn probe_of(
        &self,
        asking: &Asking<'_>,
        entry: &Arc<Entry>,
        (stale, age): (bool, Duration),
    ) -> Option<Probe> {
        let probing = self.inner.probing.as_ref().filter(|_| asking.probes && !asking.alone)?;
        probing.begins(entry).then(|| Probe { entry: entry.clone(), stale, age, probing: probing.clone() })
    }

    /// Compares a hit with what its handler has said.
    pub(crate) fn compared<R>(&self, route: &str, probe: &Probe, judged: &Judged<R>) {
        let Some(probing) = &self.inner.probing else { return };
        let counts = &self.inner.telemetry.probes;
        let (said, payload) = match judged {
            Judged::Store(_, draft) => (draft.payload.sum(), Some(&draft.payload)),
            // As what was there and is deleted.
            Judged::Refuse(_, RefusalReason::Status) => (OTHER_STATUS, None),
            Judged::Refuse(..) | Judged::Failed(..) => return counts.count(Compared::Failed),
        };
        if probe.stale {
            return counts.count(Compared::Stale);
        }
        let compared = probing.compare(&probe.entry, said);
        counts.count(compared);
        if compared != Compared::Different {
            return;
        }
        let what = payload.map_or_else(
            || "its status is not one that is stored".to_owned(),
            |payload| difference(&probe.entry.payload, payload),
        );
        log::error!(
            "{route}: an entry that is {:?} old differs from what its handler says now ({what}): is there a write without a clear?",
            probe.age
        );
        let mut found = probing.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() == MOST_DIFFERENCES {
            found.pop_front();
        }
        found.push_back(Difference { route: route.to_owned(), key: probe.entry.key.to_string(), what, age: probe.age });
    }
}

/// In what two payloads differ.
fn difference(served: &Payload, now: &Payload) -> String {
    let bytes = |payload: &Payload| match payload {
        Payload::Value(bytes) => bytes.clone(),
        Payload::Response(response) => response.body.clone(),
        Payload::Selector(_) => bytes::Bytes::new(),
    };
    if let (Payload::Response(served), Payload::Response(now)) = (served, now)
        && served.status != now.status
    {
        return format!("status {} now, {} before", now.status, served.status);
    }
    let (served, now) = (bytes(served), bytes(now));
    let same = served.iter().zip(&now).take_while(|(a, b)| a == b).count();
    format!("from byte {same} on; it has {} bytes now, and had {}", now.len(), served.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Lifetime, MarkList};
    use bytes::Bytes;

    fn entry(body: &'static str, stored_at_ms: u64) -> Entry {
        Entry {
            stamp: Stamp { incarnation: 1, clock: 1 },
            key: "k".into(),
            marks: MarkList::default(),
            stored_at_ms,
            life: Lifetime::default(),
            payload: Payload::Value(Bytes::from_static(body.as_bytes())),
        }
    }

    fn said(body: &'static str) -> [u8; 8] {
        Payload::Value(Bytes::from_static(body.as_bytes())).sum()
    }

    #[test]
    fn a_difference_is_one_when_it_is_found_twice_in_the_same_entry() {
        let probing = Probing::new(1.0, Duration::ZERO);
        let old = entry("old", 1);
        assert_eq!(probing.compare(&old, said("old")), Compared::Same);
        assert_eq!(probing.compare(&old, said("new")), Compared::Suspected);
        assert_eq!(probing.compare(&old, said("new")), Compared::Different);
        // A clock on the page.
        assert_eq!(probing.compare(&old, said("12:00")), Compared::Suspected);
        assert_eq!(probing.compare(&old, said("12:01")), Compared::Varying);
        // A clear that came just after the handler had run.
        assert_eq!(probing.compare(&old, said("new")), Compared::Suspected);
        assert_eq!(probing.compare(&entry("new", 2), said("newer")), Compared::Cleared);
        assert_eq!(probing.compare(&entry("newer", 3), said("newer")), Compared::Same);
    }

    #[test]
    fn a_suspicion_is_looked_into_after_a_while_and_then_for_sure() {
        let probing = Probing::new(0.0, Duration::from_secs(3_600));
        let old = entry("old", 1);
        assert!(!probing.begins(&old));
        probing.compare(&old, said("new"));
        assert!(!probing.begins(&old));
        let probing = Arc::new(Probing { after: Duration::ZERO, ..probing });
        assert!(probing.begins(&old));
        assert!(!probing.begins(&old), "one at a time");
        drop(Probe { entry: Arc::new(old.clone()), stale: false, age: Duration::ZERO, probing: probing.clone() });
        assert!(probing.begins(&old));
    }

    #[test]
    fn what_differs_is_said() {
        let response = |status, body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            Payload::Response(crate::entry::StoredResponse { status, headers: Vec::new(), body })
        };
        assert_eq!(
            difference(&response(200, "abc"), &response(200, "abXYZ")),
            "from byte 2 on; it has 5 bytes now, and had 3"
        );
        assert_eq!(difference(&response(200, "abc"), &response(404, "")), "status 404 now, 200 before");
    }
}
