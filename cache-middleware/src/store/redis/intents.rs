//! Intents: what writes are about to clear, so that a clear outlives the process that was to do it.
//!
//! They are all in partition 0: they are about no key.

use std::time::Duration;

use super::RedisStore;
use super::scripts::on;
use crate::error::StoreError;
use crate::store::{Overdue, Target, decode_targets, encode_targets};
use crate::time::Millis;

const PARTITION: u16 = 0;
/// How many are carried out at a time, and how long a node has for that.
const AT_ONCE: usize = 64;
const CARRYING_OUT: Duration = Duration::from_secs(2);

impl RedisStore {
    pub(super) async fn do_intend(
        &self,
        number: u64,
        targets: &[Target],
        settle: Duration,
        due: Duration,
    ) -> Result<(), StoreError> {
        let mut invocation = on(&self.settings.scripts.intend, &self.settings.layout, PARTITION);
        let settle_ms = Millis::from(settle).0;
        let recorded = [&settle_ms.to_be_bytes()[..], &encode_targets(targets)].concat();
        invocation.arg(number).arg(due.as_millis()).arg(recorded);
        self.invoke::<u8>(PARTITION, invocation).await.map(|_| ())
    }

    pub(super) async fn do_withdraw(&self, number: u64, carried_out: bool) -> Result<(), StoreError> {
        let mut invocation = on(&self.settings.scripts.withdraw, &self.settings.layout, PARTITION);
        invocation.arg(number).arg(u8::from(carried_out)).arg(CARRYING_OUT.as_millis());
        self.invoke::<u64>(PARTITION, invocation).await.map(|_| ())
    }

    /// Targets that cannot be read are everything: a write has named them.
    pub(super) async fn do_overdue(&self) -> Result<Vec<Overdue>, StoreError> {
        let mut invocation = on(&self.settings.scripts.overdue, &self.settings.layout, PARTITION);
        invocation.arg(AT_ONCE).arg(CARRYING_OUT.as_millis());
        let overdue: Vec<(u64, Vec<u8>)> = self.invoke(PARTITION, invocation).await?;
        let read = |(number, bytes): (u64, Vec<u8>)| {
            let recorded = bytes.split_first_chunk::<8>();
            let read =
                recorded.and_then(|(settle, targets)| Some((u64::from_be_bytes(*settle), decode_targets(targets)?)));
            let (settle_ms, targets) = read.unwrap_or_else(|| (0, vec![Target::All]));
            Overdue { number, targets, settle: Duration::from_millis(settle_ms) }
        };
        Ok(overdue.into_iter().map(read).collect())
    }
}
