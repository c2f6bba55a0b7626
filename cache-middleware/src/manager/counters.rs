//! Counters that end.

use std::time::Duration;

use super::CacheManager;
use crate::error::CacheError;
use crate::policy::LONGEST_TTL;
use crate::store::Counted;

impl CacheManager {
    /// Adds to a counter of this handle's tenant, or of none. It begins at 0 and ends a window after its first addition, at
    /// most 10 years; `by` 0 only reads it. Counters are apart from values: neither clears nor `get` reach them.
    ///
    /// ```
    /// # use cache_middleware::CacheManager;
    /// # use std::time::Duration;
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = CacheManager::builder().build().await?;
    /// for expected in 1..=3 {
    ///     assert_eq!(cache.count("logins:7", 1, Duration::from_secs(60)).await?.value, expected);
    /// }
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the key is too long, [`CacheError::Store`] if the store did not answer: it may have counted
    /// or not.
    pub async fn count(&self, key: &str, by: i64, window: Duration) -> Result<Counted, CacheError> {
        let key = self.checked_key(key)?;
        Ok(self.inner.store.count(&key, by, window.min(LONGEST_TTL)).await?)
    }
}
