//! Signals and flights behind faults.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{Fault, Faults, Operation};
use crate::entry::Stamp;
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{Listener, Member, NodeId, Receipt, Signal, TakeOff};
use crate::time::Moment;

/// What a listener is told.
#[derive(Debug, Clone)]
enum Told {
    Signal(u16, u64, Signal, Duration),
    Malformed(u16, u64),
    Proven(u16, u64, Stamp, Moment),
    Closed(u16, u64),
}

/// Tells a listener what it is told, as faults have it. The order stays: a delay delays what comes after it too, as a
/// connection does.
#[derive(Debug)]
pub(super) struct ChaosListener {
    inner: Arc<dyn Listener>,
    faults: Arc<Faults>,
    later: mpsc::UnboundedSender<(Option<Duration>, Told)>,
}

impl ChaosListener {
    pub(super) fn new(inner: Arc<dyn Listener>, faults: Arc<Faults>) -> Self {
        let (later, mut told) = mpsc::unbounded_channel::<(Option<Duration>, Told)>();
        let listener = inner.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                while let Some((delay, told)) = told.recv().await {
                    if let Some(delay) = delay {
                        tokio::time::sleep(delay).await;
                    }
                    tell(&*listener, &told);
                }
            });
        }
        Self { inner, faults, later }
    }

    fn befall(&self, told: Told) {
        self.faults.count(Operation::Signal);
        match self.faults.of(Operation::Signal) {
            None => drop(self.later.send((None, told))),
            Some(Fault::Delay(by)) => drop(self.later.send((Some(by), told))),
            Some(Fault::Twice) => {
                drop(self.later.send((None, told.clone())));
                drop(self.later.send((None, told)));
            }
            Some(Fault::Error | Fault::Lost | Fault::Hang | Fault::Held) => {}
        }
    }
}

fn tell(listener: &dyn Listener, told: &Told) {
    match told {
        Told::Signal(partition, session, signal, late) => listener.signal(*partition, *session, signal, *late),
        Told::Malformed(partition, session) => listener.malformed(*partition, *session),
        Told::Proven(partition, session, at, since) => listener.proven(*partition, *session, *at, *since),
        Told::Closed(partition, session) => listener.closed(*partition, *session),
    }
}

impl Listener for ChaosListener {
    fn signal(&self, partition: u16, session: u64, signal: &Signal, late: Duration) {
        self.befall(Told::Signal(partition, session, signal.clone(), late));
    }

    fn malformed(&self, partition: u16, session: u64) {
        self.befall(Told::Malformed(partition, session));
    }

    fn proven(&self, partition: u16, session: u64, at: Stamp, since: Moment) {
        self.befall(Told::Proven(partition, session, at, since));
    }

    /// Nobody's message: it is the node itself that notices.
    fn closed(&self, partition: u16, session: u64) {
        if self.later.send((None, Told::Closed(partition, session))).is_err() {
            self.inner.closed(partition, session);
        }
    }
}

/// A member whose flights take off as faults have it.
#[derive(Debug)]
pub(super) struct ChaosMember {
    inner: Arc<dyn Member>,
    faults: Arc<Faults>,
}

impl ChaosMember {
    pub(super) fn new(inner: Arc<dyn Member>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }
}

impl Member for ChaosMember {
    fn id(&self) -> NodeId {
        self.inner.id()
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        self.inner.ready()
    }

    fn take_off<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<TakeOff<'a>, StoreError>> {
        Box::pin(self.faults.befall(Operation::TakeOff, || self.inner.take_off(key)))
    }

    fn settle<'a>(&'a self, receipt: &'a Receipt) -> BoxFuture<'a, ()> {
        self.inner.settle(receipt)
    }
}
