//! One running handler per key on all nodes: a lock beside the entry, renewed while the handler runs.
//!
//! The lock decides who runs, never who may publish: that is for the lease and the marks (`docs/decisions/0001-…`).

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::layout::Layout;
use super::member::Shared;
use super::scripts::on;
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{FlightRight, Landing, TakeOff, Waiting, Woken};

/// How long a leader that is not heard of any more keeps the others waiting.
const LEASE: Duration = Duration::from_millis(1_000);
const RENEWAL: Duration = Duration::from_millis(250);

struct Right {
    shared: Arc<Shared>,
    partition: u16,
    flight: Landing,
    /// How it ended; until then, dropping it means that it was lost.
    how: &'static str,
    /// Renews the lease, also while the handler keeps its own thread busy.
    renewal: JoinHandle<()>,
}

impl std::fmt::Debug for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Right").field("flight", &self.flight).finish_non_exhaustive()
    }
}

pub(super) async fn take_off<'a>(shared: &'a Arc<Shared>, key: &'a Key) -> Result<TakeOff<'a>, StoreError> {
    let partition = shared.settings.layout.partition_of(key.name());
    let name = Layout::member(key.name()).into_owned();
    let token = format!("{}:{}", shared.id(), shared.next_number());
    let hears = shared.hears(partition);
    let mut invocation = on(&shared.settings.scripts.take_off, &shared.settings.layout, partition);
    invocation.arg(&name).arg(&token).arg(LEASE.as_millis());
    invocation.arg(if hears { shared.id().to_string() } else { String::new() });
    let (mut connection, call) = shared.router().call(partition)?;
    // In the queue before the question, so that no wake-up comes too early. Whoever is dropped before the answer may have
    // got the right without knowing, and gives it back.
    let queued = hears.then(|| shared.queue(&name));
    let mut unsure = Unsure { right: Some((shared.clone(), partition, name.clone(), token.clone())) };
    let (what, number) = call.ended(invocation.invoke_async::<(String, i64)>(&mut connection)).await?;
    unsure.right = None;
    if what == "lead" {
        let renewal = shared.runtime.spawn(renew(shared.clone(), partition, name.clone(), token.clone()));
        let right =
            Right { shared: shared.clone(), partition, flight: Landing::new(name, token), how: "lost", renewal };
        return Ok(TakeOff::Lead { right: Box::new(right), look_again: number > 0 });
    }
    // The lease of a leader that has died is over by then, and whoever asks first leads. A node that hears nothing asks
    // no more often.
    let patience = Duration::from_millis(u64::try_from(number).unwrap_or(0)) + Duration::from_millis(5);
    Ok(TakeOff::Wait(Waiting(Box::pin(async move {
        let mut queued = queued;
        let heard = async {
            match &mut queued {
                Some(queued) => queued.woken().await,
                None => std::future::pending().await,
            }
        };
        // Without Redis nobody can be woken by another node.
        tokio::select! {
            heard = tokio::time::timeout(patience, heard) => heard.unwrap_or(Woken::LookAgain),
            () = shared.router().gone(partition) => Woken::LookAgain,
        }
    }))))
}

/// A right that may have been granted.
struct Unsure {
    right: Option<(Arc<Shared>, u16, String, String)>,
}

impl Drop for Unsure {
    fn drop(&mut self) {
        if let Some((shared, partition, name, token)) = self.right.take() {
            land(&shared, partition, name, token, "lost");
        }
    }
}

async fn renew(shared: Arc<Shared>, partition: u16, name: String, token: String) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let Ok(mut connection) = shared.router().connection(partition) else { continue };
        let mut invocation = on(&shared.settings.scripts.stay_up, &shared.settings.layout, partition);
        invocation.arg(&name).arg(&token).arg(LEASE.as_millis());
        let _ = tokio::time::timeout(RENEWAL, invocation.invoke_async::<u8>(&mut connection)).await;
    }
}

/// Tells those who wait, in a task, because whoever drops a right must not wait for Redis.
fn land(shared: &Arc<Shared>, partition: u16, name: String, token: String, how: &'static str) {
    let Ok(mut connection) = shared.router().connection(partition) else { return };
    let settings = shared.settings.clone();
    shared.runtime.spawn(async move {
        let mut invocation = on(&settings.scripts.land, &settings.layout, partition);
        invocation.arg(name).arg(token).arg(how);
        let _ = invocation.invoke_async::<u64>(&mut connection).await;
    });
}

impl FlightRight for Right {
    fn landing(&self) -> Option<Landing> {
        Some(self.flight.clone())
    }

    fn land(mut self: Box<Self>, gave_up: bool) {
        self.how = if gave_up { "gave-up" } else { "landed" };
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        self.renewal.abort();
        if !self.flight.has_landed() {
            let (name, token) = (self.flight.name().to_owned(), self.flight.token().to_owned());
            land(&self.shared, self.partition, name, token, self.how);
        }
    }
}
