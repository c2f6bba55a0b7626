//! This node as one of the nodes that share a Redis: what it hears, whom it answers, and whom it waits for.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lru::LruCache;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::ear;
use super::router::{Map, Router, distinct};
use super::scripts::on;
use super::settings::Settings;
use super::site::Site;
use crate::entry::Stamp;
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{Due, Listener, Member, NodeId, Receipt, TakeOff, Woken};
use crate::time::Moment;

/// How many acknowledgements are remembered for clears whose own reply is still on its way.
const REMEMBERED_ACKS: usize = 8_192;

/// How often a node proves that it hears, if it has no L1 and only wants to be woken.
const SLOW_BEAT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct RedisMember {
    pub(super) shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the tasks and the rights of a member share.
#[derive(Debug)]
pub(super) struct Shared {
    id: NodeId,
    pub(super) settings: Arc<Settings>,
    router: Arc<Router>,
    listener: Arc<dyn Listener>,
    /// How long this node may serve from its memory after a proof; zero if it never does.
    pub(super) lease: Duration,
    /// How often it proves that it hears.
    pub(super) beat: Duration,
    pub(super) runtime: Handle,
    sessions: AtomicU64,
    numbers: AtomicU64,
    /// For each partition: whether signals and wake-ups are heard.
    hears: Vec<AtomicBool>,
    heard: Notify,
    /// For each partition: its incarnation, and since when this node knows of it.
    known: Mutex<Vec<Option<(u64, Moment)>>>,
    acked: Mutex<LruCache<(u16, NodeId), Stamp>>,
    acks: Notify,
    waiting: Mutex<HashMap<String, Vec<oneshot::Sender<Woken>>>>,
    /// The longest lease that a node of the fleet was seen to have, in milliseconds.
    longest_lease_ms: AtomicU64,
    /// Leases of other nodes, and since when they have not been renewed.
    seen: Mutex<HashMap<(u16, String), (String, Moment)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedisMember {
    pub(super) fn join(
        id: NodeId,
        router: Arc<Router>,
        settings: Arc<Settings>,
        listener: Arc<dyn Listener>,
        lease: Duration,
    ) -> Self {
        let partitions = usize::from(settings.layout.partition_count());
        let map = router.map().clone();
        let shared = Arc::new(Shared {
            id,
            settings,
            router,
            listener,
            lease,
            beat: if lease.is_zero() { SLOW_BEAT } else { lease / 4 },
            runtime: Handle::current(),
            sessions: AtomicU64::new(1),
            numbers: AtomicU64::new(1),
            hears: (0..partitions).map(|_| AtomicBool::new(false)).collect(),
            heard: Notify::new(),
            known: Mutex::new(vec![None; partitions]),
            acked: Mutex::new(LruCache::new(NonZeroUsize::new(REMEMBERED_ACKS).unwrap_or(NonZeroUsize::MIN))),
            acks: Notify::new(),
            waiting: Mutex::new(HashMap::new()),
            longest_lease_ms: AtomicU64::new(0),
            seen: Mutex::new(HashMap::new()),
        });
        let task = tokio::spawn(follow(shared.clone(), map));
        Self { shared, task }
    }
}

impl Drop for RedisMember {
    /// Leaves: nobody waits for a node that is gone.
    fn drop(&mut self) {
        self.task.abort();
        let shared = self.shared.clone();
        if shared.has_lease() {
            self.shared.runtime.spawn(async move {
                for partition in shared.settings.layout.partitions() {
                    let Ok(mut connection) = shared.router.connection(partition) else { continue };
                    let nodes = format!("{}n", shared.settings.layout.prefix(partition));
                    let _ = redis::cmd("HDEL").arg(nodes).arg(shared.id.to_string()).exec_async(&mut connection).await;
                }
            });
        }
    }
}

/// A place in the queue for a flight to land, given up when it is dropped.
pub(super) struct Queued {
    shared: Arc<Shared>,
    name: String,
    woken: oneshot::Receiver<Woken>,
}

impl Queued {
    pub(super) async fn woken(&mut self) -> Woken {
        (&mut self.woken).await.unwrap_or(Woken::LookAgain)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.woken.close();
        self.shared.leave_queue(&self.name);
    }
}

/// An ear for each site; it ends when it is dropped.
struct Ear(Arc<Site>, JoinHandle<()>);

impl Drop for Ear {
    fn drop(&mut self) {
        self.1.abort();
    }
}

/// Keeps an ear at every site of the map.
async fn follow(shared: Arc<Shared>, map: Arc<Map>) {
    let mut changes = map.changes();
    let mut ears: Vec<Ear> = Vec::new();
    loop {
        let sites = distinct(map.sites());
        let gone: Vec<Ear> = ears.extract_if(.., |ear| !sites.iter().any(|site| Arc::ptr_eq(site, &ear.0))).collect();
        for ear in gone {
            let partitions = ear.0.partitions.clone();
            drop(ear);
            // The session that comes next has a higher number: whatever the old one still says is not heard.
            let session = shared.next_session();
            for partition in partitions {
                shared.close(partition, session);
            }
        }
        for site in sites {
            if !ears.iter().any(|ear| Arc::ptr_eq(&site, &ear.0)) {
                ears.push(Ear(site.clone(), tokio::spawn(ear::hear(shared.clone(), site))));
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

impl Shared {
    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    pub(super) fn listener(&self) -> &Arc<dyn Listener> {
        &self.listener
    }

    pub(super) fn has_lease(&self) -> bool {
        !self.lease.is_zero()
    }

    pub(super) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn close(&self, partition: u16, session: u64) {
        self.hears[usize::from(partition)].store(false, Ordering::SeqCst);
        self.listener.closed(partition, session);
    }

    pub(super) fn prove(&self, partition: u16, session: u64, stamp: Stamp, since: Moment) {
        {
            let mut known = lock(&self.known);
            let slot = &mut known[usize::from(partition)];
            if slot.is_none_or(|(incarnation, _)| incarnation != stamp.incarnation) {
                *slot = Some((stamp.incarnation, Moment::now()));
            }
        }
        self.listener.proven(partition, session, stamp, since);
        if !self.hears[usize::from(partition)].swap(true, Ordering::SeqCst) {
            self.heard.notify_waiters();
        }
    }

    /// A message for this node alone: an acknowledgement, or the end of a flight it waits for.
    pub(super) fn take_note(&self, partition: u16, message: &str) {
        if let Some(words) = message.strip_prefix("ack ") {
            if let Some((node, at)) = ack_of(words) {
                let mut acked = lock(&self.acked);
                let newest = acked.get_or_insert_mut((partition, node), || at);
                // Clocks of another life of the store say nothing.
                if !newest.covers(at) {
                    *newest = at;
                }
                drop(acked);
                self.acks.notify_waiters();
            }
        } else if let Some((how, name)) = message.strip_prefix("landed ").and_then(|rest| rest.split_once(' ')) {
            let woken = if how == "gave-up" { Woken::GaveUp } else { Woken::LookAgain };
            for waiter in lock(&self.waiting).remove(name).into_iter().flatten() {
                let _ = waiter.send(woken);
            }
        }
    }

    /// Takes a place in the queue of those who wait for a flight.
    pub(super) fn queue(self: &Arc<Self>, name: &str) -> Queued {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).entry(name.to_owned()).or_default().push(sender);
        Queued { shared: self.clone(), name: name.to_owned(), woken: receiver }
    }

    fn leave_queue(&self, name: &str) {
        let mut waiting = lock(&self.waiting);
        if let Some(queue) = waiting.get_mut(name) {
            queue.retain(|waiter| !waiter.is_closed());
            if queue.is_empty() {
                waiting.remove(name);
            }
        }
    }

    pub(super) fn hears(&self, partition: u16) -> bool {
        self.hears[usize::from(partition)].load(Ordering::SeqCst)
    }

    pub(super) fn router(&self) -> &Router {
        &self.router
    }

    fn saw_lease(&self, lease: Duration) {
        self.longest_lease_ms.fetch_max(u64::try_from(lease.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }

    /// How long a node may serve after its last proof: what this one may, and what others were seen to.
    fn longest_lease(&self) -> Duration {
        let seen = Duration::from_millis(self.longest_lease_ms.load(Ordering::Relaxed));
        seen.max(self.lease).max(SLOW_BEAT)
    }

    fn has_acked(&self, due: &Due) -> bool {
        lock(&self.acked).get(&(due.partition, due.node)).is_some_and(|acked| acked.covers(due.at))
    }

    async fn dismiss(&self, partition: u16, nodes: &[(String, String)]) {
        let Ok(mut connection) = self.router.connection(partition) else { return };
        let mut invocation = on(&self.settings.scripts.dismiss, &self.settings.layout, partition);
        for (node, registered) in nodes {
            invocation.arg(node).arg(registered);
        }
        let _ = invocation.invoke_async::<u64>(&mut connection).await;
    }

    /// Forgets nodes that have not renewed their lease for long, by this node's own time: nobody else may ever wait for
    /// them, and then their rows would stay for ever.
    pub(super) async fn look_round(&self, partitions: &[u16]) {
        for partition in partitions {
            let Ok(mut connection) = self.router.connection(*partition) else { continue };
            let nodes = format!("{}n", self.settings.layout.prefix(*partition));
            let rows: Result<Vec<(String, String)>, _> =
                redis::cmd("HGETALL").arg(nodes).query_async(&mut connection).await;
            let Ok(rows) = rows else { continue };
            let now = Moment::now();
            let mut dead = Vec::new();
            {
                let mut seen = lock(&self.seen);
                seen.retain(|(p, node), _| p != partition || rows.iter().any(|(row, _)| row == node));
                for (node, registered) in rows {
                    let lease = lease_of(&registered);
                    self.saw_lease(lease);
                    let row = seen.entry((*partition, node.clone())).or_insert_with(|| (registered.clone(), now));
                    if row.0 != registered {
                        *row = (registered, now);
                    } else if now.since(row.1) > lease * 10 + Duration::from_secs(15) {
                        dead.push((node, registered));
                    }
                }
            }
            if !dead.is_empty() {
                self.dismiss(*partition, &dead).await;
            }
        }
    }
}

/// `<node> <incarnation> <clock>`
fn ack_of(words: &str) -> Option<(NodeId, Stamp)> {
    let mut words = words.split(' ');
    let mut hex = || u64::from_str_radix(words.next()?, 16).ok();
    let (node, incarnation) = (hex()?, hex()?);
    Some((NodeId(node), Stamp { incarnation, clock: words.next()?.parse().ok()? }))
}

/// The lease in `<milliseconds>:<number>`.
pub(super) fn lease_of(registered: &str) -> Duration {
    let milliseconds = registered.split(':').next().and_then(|text| text.parse().ok());
    // What cannot be read is waited for as long as a lease may be.
    milliseconds.map_or(crate::store::LONGEST_LEASE, Duration::from_millis).min(crate::store::LONGEST_LEASE)
}

impl Member for RedisMember {
    fn id(&self) -> NodeId {
        self.shared.id
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                let mut heard = std::pin::pin!(self.shared.heard.notified());
                heard.as_mut().enable();
                if self.shared.hears.iter().all(|hears| hears.load(Ordering::SeqCst)) {
                    return;
                }
                heard.await;
            }
        })
    }

    fn take_off<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<TakeOff<'a>, StoreError>> {
        Box::pin(super::flight::take_off(&self.shared, key))
    }

    fn settle<'a>(&'a self, receipt: &'a Receipt) -> BoxFuture<'a, ()> {
        Box::pin(settle(&self.shared, receipt))
    }
}

async fn settle(shared: &Arc<Shared>, receipt: &Receipt) {
    for due in &receipt.due {
        shared.saw_lease(due.lease);
    }
    let began = Moment::now();
    // After a loss of memory the list of nodes may be shorter than the truth, until all leases from before are over.
    let mut complete_at = Moment::ZERO;
    for (partition, stamp) in receipt.stamps.iter().enumerate() {
        let known = lock(&shared.known).get(partition).copied().flatten();
        let since = known.filter(|(known, _)| *known == stamp.incarnation).map_or(began, |(_, since)| since);
        complete_at = complete_at.max(since.after(shared.longest_lease()));
    }
    let mut due: Vec<&Due> = receipt.due.iter().filter(|due| due.node != shared.id).collect();
    loop {
        let acked = shared.acks.notified();
        tokio::pin!(acked);
        acked.as_mut().enable();
        due.retain(|due| !shared.has_acked(due));
        let now = Moment::now();
        // A little more, because no two clocks go equally fast.
        let until = due.iter().map(|due| began.after(due.lease + due.lease / 50 + Duration::from_millis(2))).max();
        let until = until.unwrap_or(Moment::ZERO).max(complete_at);
        if until <= now {
            break;
        }
        let _ = tokio::time::timeout(until.since(now), acked).await;
    }
    if due.is_empty() {
        return;
    }
    log::warn!("{} nodes did not acknowledge a clear within their lease", due.len());
    let gone: Vec<Due> = due.into_iter().cloned().collect();
    // Who clears does not wait for this as well.
    let forgetting = shared.clone();
    shared.runtime.spawn(async move {
        for due in gone {
            forgetting.dismiss(due.partition, &[(due.node.to_string(), due.registered)]).await;
        }
    });
}
