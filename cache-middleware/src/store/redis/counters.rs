//! Counters: one script each.

use std::time::Duration;

use super::RedisStore;
use super::layout::Layout;
use super::scripts::on;
use crate::error::StoreError;
use crate::key::Key;
use crate::store::Counted;

impl RedisStore {
    pub(super) async fn do_count(&self, key: &Key, by: i64, window: Duration) -> Result<Counted, StoreError> {
        let partition = self.settings.layout.partition_of(key.name());
        let mut invocation = on(&self.settings.scripts.count, &self.settings.layout, partition);
        invocation.arg(&*Layout::member(key.name())).arg(by).arg(window.as_millis().max(1));
        let (value, left): (i64, u64) = self.invoke(partition, invocation).await?;
        Ok(Counted { value, expires_in: Duration::from_millis(left) })
    }
}
