//! One running handler per key on all nodes: a lock beside the entry, renewed while the handler runs.
//!
//! The lock decides who runs, never who may publish: that is for the lease and the marks (`docs/decisions/0001-…`).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::layout::Layout;
use super::member::Shared;
use super::scripts::on;
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{FlightRight, TakeOff, Waiting, Woken};

/// How long a leader that is not heard of any more keeps the others waiting.
const LEASE: Duration = Duration::from_millis(1_000);
const RENEWAL: Duration = Duration::from_millis(300);

struct Right {
    shared: Arc<Shared>,
    partition: u16,
    name: String,
    token: String,
    /// How it ended; until then, dropping it means that it was lost.
    landed: &'static str,
}

impl std::fmt::Debug for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Right").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(super) async fn take_off<'a>(shared: &'a Arc<Shared>, key: &'a Key) -> Result<TakeOff<'a>, StoreError> {
    let partition = shared.settings.layout.partition_of(key.name());
    let name = Layout::member(key.name());
    let token = format!("{}:{}", shared.id(), shared.next_number());
    // In the queue before the question, so that no wake-up comes too early.
    let hears = shared.hears(partition);
    let woken = hears.then(|| shared.queue(&name));
    let mut invocation = on(&shared.settings.scripts.take_off, &shared.settings.layout, partition);
    invocation.arg(&name).arg(&token).arg(LEASE.as_millis());
    invocation.arg(if hears { shared.id().to_string() } else { String::new() });
    let mut connection = shared.router().connection(partition)?;
    let answer = invocation.invoke_async::<(String, i64)>(&mut connection).await;
    let (what, number) = answer.map_err(|error| shared.router().report(partition, &error))?;
    if what == "lead" {
        drop(woken);
        shared.leave_queue(&name);
        let right = Right { shared: shared.clone(), partition, name, token, landed: "lost" };
        return Ok(TakeOff::Lead { right: Box::new(right), look_again: number > 0 });
    }
    // The lease of a leader that has died is over by then, and whoever asks first leads. A node that hears nothing asks
    // no more often.
    let patience = Duration::from_millis(u64::try_from(number).unwrap_or(0)) + Duration::from_millis(5);
    Ok(TakeOff::Wait(Waiting(Box::pin(async move {
        let heard = async {
            match woken {
                Some(woken) => woken.await.unwrap_or(Woken::LookAgain),
                None => std::future::pending().await,
            }
        };
        let woken = tokio::time::timeout(patience, heard).await.unwrap_or(Woken::LookAgain);
        shared.leave_queue(&name);
        woken
    }))))
}

impl FlightRight for Right {
    fn keep(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                let Ok(mut connection) = self.shared.router().connection(self.partition) else { continue };
                let mut invocation =
                    on(&self.shared.settings.scripts.stay_up, &self.shared.settings.layout, self.partition);
                invocation.arg(&self.name).arg(&self.token).arg(LEASE.as_millis());
                let _ = invocation.invoke_async::<u8>(&mut connection).await;
            }
        })
    }

    fn land(mut self: Box<Self>, gave_up: bool) {
        self.landed = if gave_up { "gave-up" } else { "landed" };
    }
}

impl Drop for Right {
    /// Tells those who wait, in a task, because whoever drops it must not wait for Redis.
    fn drop(&mut self) {
        let Ok(mut connection) = self.shared.router().connection(self.partition) else { return };
        let (shared, partition) = (self.shared.clone(), self.partition);
        let (name, token, landed) = (std::mem::take(&mut self.name), std::mem::take(&mut self.token), self.landed);
        self.shared.runtime.spawn(async move {
            let mut invocation = on(&shared.settings.scripts.land, &shared.settings.layout, partition);
            invocation.arg(name).arg(token).arg(landed);
            let _ = invocation.invoke_async::<u64>(&mut connection).await;
        });
    }
}
