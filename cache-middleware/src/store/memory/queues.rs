//! Queues in the memory of the process: they end with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};

use crate::chance;
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{
    Change, Enqueued, Flusher, NextBatch, Pending, QueueBounds, QueueSize, Queued, Queues, SetAside, Settled,
};
use crate::time::{Millis, TimeSource};

#[derive(Debug)]
pub(super) struct MemoryQueues {
    queues: Mutex<HashMap<String, Queue>>,
    time: Arc<dyn TimeSource>,
}

#[derive(Debug, Default)]
struct Queue {
    changes: BTreeMap<u64, Waiting>,
    /// What waits by key: the number of the newest value, and the sum of the amounts.
    by_key: HashMap<String, (Option<u64>, i64)>,
    aside: BTreeMap<u64, (Waiting, String)>,
    /// `None` until it is known what it begins after.
    last: Option<u64>,
    bytes: u64,
    /// The end of the sealed batch.
    upto: Option<u64>,
    done: u64,
    /// Who flushes, and until when.
    claim: Option<(u64, u64)>,
}

#[derive(Debug, Clone)]
struct Waiting {
    key: String,
    change: Change,
    since_ms: u64,
}

impl Waiting {
    fn bytes(&self) -> u64 {
        let change = match &self.change {
            Change::Put(bytes) => bytes.len(),
            Change::Add(amount) => amount.to_string().len(),
        };
        (self.key.len() + change) as u64
    }

    fn queued(&self, number: u64) -> Queued {
        Queued { number, key: self.key.clone(), change: Ok(self.change.clone()) }
    }
}

impl Queue {
    fn append(&mut self, key: &str, change: &Change, now_ms: u64) -> Result<(), StoreError> {
        let number = (now_ms.saturating_mul(1_000)).max(self.last.unwrap_or(0) + 1);
        let (newest, sum) = self.by_key.get(key).copied().unwrap_or_default();
        let waits = match change {
            Change::Put(_) => (Some(number), sum),
            Change::Add(amount) => {
                let overflow = || StoreError::Failed("the sum of what waits has no room for more".to_owned());
                (newest, sum.checked_add(*amount).ok_or_else(overflow)?)
            }
        };
        let waiting = Waiting { key: key.to_owned(), change: change.clone(), since_ms: now_ms };
        self.by_key.insert(key.to_owned(), waits);
        self.bytes += waiting.bytes();
        self.last = Some(number);
        self.changes.insert(number, waiting);
        Ok(())
    }

    /// A change waits no more.
    fn forget(&mut self, number: u64) {
        let Some(waiting) = self.changes.get(&number) else { return };
        self.bytes -= waiting.bytes();
        if let Some((newest, sum)) = self.by_key.get_mut(&waiting.key) {
            match &waiting.change {
                Change::Put(_) if *newest == Some(number) => *newest = None,
                Change::Put(_) => {}
                Change::Add(amount) => *sum = sum.saturating_sub(*amount),
            }
            if newest.is_none() && *sum == 0 {
                self.by_key.remove(&waiting.key);
            }
        }
    }

    fn is_claimed_by(&self, token: u64, now_ms: u64) -> bool {
        self.claim.is_some_and(|(holder, until)| holder == token && now_ms < until)
    }

    fn next_batch(&mut self, flusher: Flusher, now_ms: u64) -> NextBatch {
        if let Some((holder, until)) = self.claim
            && holder != flusher.token
            && now_ms < until
        {
            return NextBatch::Claimed(Duration::from_millis(until - now_ms));
        }
        let upto = match self.upto {
            Some(upto) => upto,
            None => {
                let Some((_, first)) = self.changes.first_key_value() else { return NextBatch::Nothing(None) };
                let waited = Duration::from_millis(now_ms.saturating_sub(first.since_ms));
                if (self.changes.len() as u64) < flusher.most && waited < flusher.interval {
                    return NextBatch::Nothing(Some(flusher.interval - waited));
                }
                let mut bytes = 0;
                let mut end = 0;
                for (index, (number, waiting)) in (0..flusher.most.max(1)).zip(&self.changes) {
                    bytes += waiting.bytes();
                    if index > 0 && bytes > flusher.bytes {
                        break;
                    }
                    end = *number;
                }
                end
            }
        };
        let claim_ms = Millis::from(flusher.claim).0;
        self.claim = Some((flusher.token, now_ms.saturating_add(claim_ms)));
        self.upto = Some(upto);
        NextBatch::Sealed { upto, done: self.done, aside: self.aside.contains_key(&upto) }
    }

    fn page(&self, after: u64, upto: u64, bytes: u64) -> Vec<Queued> {
        let mut size = 0;
        let fits = |waiting: &Waiting| {
            let first = size == 0;
            size += waiting.bytes();
            first || size <= bytes
        };
        let mut fits = fits;
        let rows = self.changes.range(after.saturating_add(1)..=upto.max(after.saturating_add(1)));
        rows.take_while(|(number, waiting)| **number <= upto && fits(waiting))
            .map(|(number, waiting)| waiting.queued(*number))
            .collect()
    }

    fn settle(&mut self, upto: u64, written: bool) -> Settled {
        if self.upto != Some(upto) {
            return Settled::Other;
        }
        while let Some((number, _)) = self.changes.first_key_value()
            && *number <= upto
        {
            let number = *number;
            // What was set aside waits no more already. It is listed until somebody has seen it written.
            match self.aside.contains_key(&number) {
                true if written => drop(self.aside.remove(&number)),
                true => {}
                false => self.forget(number),
            }
            self.changes.remove(&number);
        }
        self.done = upto;
        self.upto = None;
        Settled::All
    }

    /// Whether the sealed batch is this one change, and this flusher's.
    fn has_alone(&self, token: u64, number: u64, now_ms: u64) -> bool {
        self.is_claimed_by(token, now_ms) && self.upto == Some(number)
    }
}

impl MemoryQueues {
    pub(super) fn new(time: Arc<dyn TimeSource>) -> Self {
        Self { queues: Mutex::default(), time }
    }

    fn with<'a, T: Send + 'a>(
        &self,
        queue: &str,
        act: impl FnOnce(&mut Queue, u64) -> Result<T, StoreError>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let now_ms = self.time.now_ms();
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(ready(act(queues.entry(queue.to_owned()).or_default(), now_ms)))
    }
}

impl Queues for MemoryQueues {
    fn begin<'a>(&'a self, queue: &'a str, after: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        self.with(queue, |queue, _| {
            // The time of a process begins at zero, and its numbers must not be those of an earlier one: 51 bits by chance.
            let last = queue.last.unwrap_or_else(|| chance::random() >> 13);
            queue.last = Some(last.max(after));
            Ok(())
        })
    }

    fn enqueue<'a>(
        &'a self,
        queue: &'a str,
        key: &'a Key,
        change: &'a Change,
        bounds: QueueBounds,
    ) -> BoxFuture<'a, Result<Enqueued, StoreError>> {
        self.with(queue, |queue, now_ms| {
            if queue.last.is_none() {
                return Ok(Enqueued::Unbegun);
            }
            let size = Waiting { key: key.name().to_string(), change: change.clone(), since_ms: 0 }.bytes();
            if queue.changes.len() as u64 >= bounds.changes || queue.bytes + size > bounds.bytes {
                return Ok(Enqueued::Full);
            }
            queue.append(key.name(), change, now_ms)?;
            Ok(Enqueued::Waiting(queue.changes.len() as u64))
        })
    }

    fn pending<'a>(&'a self, queue: &'a str, key: &'a Key) -> BoxFuture<'a, Result<Pending, StoreError>> {
        self.with(queue, |queue, _| {
            let (newest, add) = queue.by_key.get(&**key.name()).copied().unwrap_or_default();
            let put = newest.and_then(|number| match &queue.changes.get(&number)?.change {
                Change::Put(bytes) => Some(bytes.clone()),
                Change::Add(_) => None,
            });
            Ok(Pending { put, add })
        })
    }

    fn next_batch<'a>(&'a self, queue: &'a str, flusher: Flusher) -> BoxFuture<'a, Result<NextBatch, StoreError>> {
        self.with(queue, |queue, now_ms| Ok(queue.next_batch(flusher, now_ms)))
    }

    fn page<'a>(
        &'a self,
        queue: &'a str,
        after: u64,
        upto: u64,
        bytes: u64,
    ) -> BoxFuture<'a, Result<Vec<Queued>, StoreError>> {
        self.with(queue, |queue, _| Ok(queue.page(after, upto, bytes)))
    }

    fn keep_claim<'a>(&'a self, queue: &'a str, flusher: Flusher) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.with(queue, |queue, now_ms| {
            let ours = queue.is_claimed_by(flusher.token, now_ms);
            if ours {
                let claim_ms = Millis::from(flusher.claim).0;
                queue.claim = Some((flusher.token, now_ms.saturating_add(claim_ms)));
            }
            Ok(ours)
        })
    }

    fn give_up_claim<'a>(&'a self, queue: &'a str, token: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        self.with(queue, |queue, _| {
            queue.claim = queue.claim.filter(|(holder, _)| *holder != token);
            Ok(())
        })
    }

    fn settle<'a>(&'a self, queue: &'a str, upto: u64, written: bool) -> BoxFuture<'a, Result<Settled, StoreError>> {
        self.with(queue, |queue, _| Ok(queue.settle(upto, written)))
    }

    fn narrow<'a>(
        &'a self,
        queue: &'a str,
        token: u64,
        from: u64,
        upto: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.with(queue, |queue, now_ms| {
            let ours = queue.is_claimed_by(token, now_ms) && queue.upto == Some(from);
            if ours {
                queue.upto = Some(upto);
            }
            Ok(ours)
        })
    }

    fn set_aside<'a>(
        &'a self,
        queue: &'a str,
        token: u64,
        number: u64,
        reason: &'a str,
        most: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.with(queue, |queue, now_ms| {
            if !queue.has_alone(token, number, now_ms) {
                return Ok(false);
            }
            if queue.aside.contains_key(&number) {
                return Ok(true);
            }
            if queue.changes.range(..=number).count() != 1 {
                return Ok(false);
            }
            if queue.aside.len() as u64 >= most {
                let why = format!("{most} changes are set aside, and that is as many as may be");
                return Err(StoreError::Failed(why));
            }
            if let Some(waiting) = queue.changes.get(&number).cloned() {
                queue.forget(number);
                queue.aside.insert(number, (waiting, reason.to_owned()));
            }
            Ok(true)
        })
    }

    fn close_aside<'a>(&'a self, queue: &'a str, token: u64, number: u64) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.with(queue, |queue, now_ms| {
            let closes = queue.has_alone(token, number, now_ms) && queue.aside.contains_key(&number);
            if closes {
                queue.changes.remove(&number);
                queue.done = number;
                queue.upto = None;
            }
            Ok(closes)
        })
    }

    fn list_aside<'a>(&'a self, queue: &'a str, limit: usize) -> BoxFuture<'a, Result<Vec<SetAside>, StoreError>> {
        self.with(queue, |queue, _| {
            let listed = queue.aside.iter().take(limit).map(|(number, (waiting, reason))| SetAside {
                queued: waiting.queued(*number),
                reason: reason.clone(),
            });
            Ok(listed.collect())
        })
    }

    fn take_aside<'a>(
        &'a self,
        queue: &'a str,
        number: u64,
        back: bool,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        self.with(queue, |queue, now_ms| {
            // Its batch has not ended yet.
            if queue.upto == Some(number) {
                return Ok(None);
            }
            let Some((waiting, _)) = queue.aside.get(&number).cloned() else { return Ok(None) };
            if back {
                queue.append(&waiting.key, &waiting.change, now_ms)?;
            }
            queue.aside.remove(&number);
            Ok(Some(waiting.key))
        })
    }

    fn size<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<QueueSize, StoreError>> {
        self.with(queue, |queue, now_ms| {
            let since = queue.changes.first_key_value().map_or(now_ms, |(_, waiting)| waiting.since_ms);
            Ok(QueueSize {
                waiting: queue.changes.len() as u64,
                bytes: queue.bytes,
                oldest: Duration::from_millis(now_ms.saturating_sub(since)),
                set_aside: queue.aside.len() as u64,
            })
        })
    }

    fn risk<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<String>> {
        let why = "it is in the memory of this process: what waits is lost with it. Set REDIS_URL";
        Box::pin(ready(Some(why.to_owned())))
    }
}
