//! Intents: what writes are about to clear, so that a clear outlives the process that was to do it.
//!
//! They are all in partition 0: they are about no key.

use std::time::Duration;

use super::RedisStore;
use super::scripts::on;
use crate::error::StoreError;
use crate::store::{Overdue, Target, decode_targets, encode_targets};

const PARTITION: u16 = 0;
/// How many are carried out at a time, and how long a node has for that.
const AT_ONCE: usize = 16;
const CARRYING_OUT: Duration = Duration::from_secs(2);

impl RedisStore {
    pub(super) async fn do_intend(&self, number: u64, targets: &[Target], due: Duration) -> Result<(), StoreError> {
        let mut invocation = on(&self.settings.scripts.intend, &self.settings.layout, PARTITION);
        invocation.arg(number).arg(due.as_millis()).arg(encode_targets(targets));
        self.invoke::<u8>(PARTITION, invocation).await.map(|_| ())
    }

    pub(super) async fn do_withdraw(&self, number: u64) -> Result<(), StoreError> {
        let mut invocation = on(&self.settings.scripts.withdraw, &self.settings.layout, PARTITION);
        invocation.arg(number);
        self.invoke::<u64>(PARTITION, invocation).await.map(|_| ())
    }

    /// Targets that cannot be read are everything: a write has named them.
    pub(super) async fn do_overdue(&self) -> Result<Vec<Overdue>, StoreError> {
        let mut invocation = on(&self.settings.scripts.overdue, &self.settings.layout, PARTITION);
        invocation.arg(AT_ONCE).arg(CARRYING_OUT.as_millis());
        let overdue: Vec<(u64, Vec<u8>)> = self.invoke(PARTITION, invocation).await?;
        let targets = |bytes: Vec<u8>| decode_targets(&bytes).unwrap_or_else(|| vec![Target::All]);
        Ok(overdue.into_iter().map(|(number, bytes)| Overdue { number, targets: targets(bytes) }).collect())
    }
}
