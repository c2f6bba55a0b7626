//! The data of one type, of one tenant.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CacheError;
use crate::key::Key;
use crate::manager::{CacheManager, ClearReceipt, HitCounts, ValuePolicy, WrittenThrough};
use crate::tag::escape;
use crate::tenant::Tenant;

/// The data of a type in a cache. What is kept is named by the parts of its id, from the whole to the part: a user, then a session of
/// hers. Its key is `{type}:{tenant}:{part}:{part}`, and each beginning of the id is a tag, `{type}:{part}`, so that all sessions of
/// a user are cleared at once. Clones share everything.
///
/// [`crate::DataStrategy`] makes one.
///
/// ```
/// use cache_middleware::{CacheManager, DataSet, DataStrategy};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let acme = CacheManager::builder().build().await?.tenant("acme")?;
/// let sessions: DataSet<String> = DataStrategy::sessions().of(&acme)?;
/// assert_eq!(sessions.key(&["user123", "s1"]), "session:acme:user123:s1");
///
/// sessions.write(&["user123", "s1"], async || Ok::<_, std::io::Error>("phone".to_owned())).await?;
/// sessions.write(&["user123", "s2"], async || Ok::<_, std::io::Error>("laptop".to_owned())).await?;
/// assert_eq!(sessions.get(&["user123", "s1"]).await?.as_deref(), Some("phone"));
///
/// sessions.clear(&["user123"]).await?; // a new password: all of hers
/// assert_eq!(sessions.get(&["user123", "s2"]).await?, None);
/// # Ok(())
/// # }
/// ```
pub struct DataSet<T> {
    pub(super) shared: Arc<Shared>,
    pub(super) of: PhantomData<fn() -> T>,
}

pub(super) struct Shared {
    pub(super) data_type: String,
    pub(super) cache: CacheManager,
    pub(super) policy: ValuePolicy,
    pub(super) hits: Arc<HitCounts>,
}

impl<T> Clone for DataSet<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for DataSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { data_type, cache, .. } = &*self.shared;
        f.debug_struct("DataSet").field("data_type", data_type).field("cache", cache).finish_non_exhaustive()
    }
}

impl<T> DataSet<T> {
    /// The key of an id: `session:acme:user123:sess456`, or `session:user123:sess456` for no tenant. Parts are escaped, so that none
    /// is taken for two.
    #[must_use]
    pub fn key(&self, id: &[&str]) -> String {
        let Shared { data_type, cache, .. } = &*self.shared;
        let tenant = cache.current_tenant().map(Tenant::as_str);
        let parts = tenant.into_iter().chain(id.iter().copied()).map(escape);
        std::iter::once(data_type.clone()).chain(parts).collect::<Vec<String>>().join(":")
    }

    /// The tag of all whose id begins so: `session:user123`; `session` for all of them.
    #[must_use]
    pub fn tag(&self, beginning: &[&str]) -> String {
        let parts = beginning.iter().map(|part| escape(part));
        std::iter::once(self.shared.data_type.clone()).chain(parts).collect::<Vec<String>>().join(":")
    }

    /// How they are kept.
    #[must_use]
    pub fn policy(&self) -> &ValuePolicy {
        &self.shared.policy
    }

    /// Clears all whose id begins so: one session, or those of a user.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the id has no part, or is too long for a tag; [`CacheError::Journal`] if it was not acknowledged and
    /// cannot be journaled.
    pub async fn clear(&self, beginning: &[&str]) -> Result<ClearReceipt, CacheError> {
        if beginning.is_empty() {
            let why = "an id without parts is everybody's: `clear_all` clears all of them, if that is meant";
            return Err(CacheError::Invalid(why.to_owned()));
        }
        self.shared.cache.clear_tag(&self.tag(beginning)).await
    }

    /// Clears all of the tenant's.
    ///
    /// # Errors
    /// [`CacheError::Journal`] if it was not acknowledged and cannot be journaled.
    pub async fn clear_all(&self) -> Result<ClearReceipt, CacheError> {
        self.shared.cache.clear_tag(&self.tag(&[])).await
    }

    fn key_of(&self, id: &[&str]) -> Key {
        self.shared.cache.value_key(&self.key(id))
    }

    /// The policy of one, with the tags of all beginnings of its id.
    fn policy_of(&self, id: &[&str]) -> Result<ValuePolicy, CacheError> {
        (0..=id.len()).try_fold(self.shared.policy.clone(), |policy, parts| policy.tag(&self.tag(&id[..parts])))
    }
}

impl<T: Serialize + DeserializeOwned> DataSet<T> {
    /// The value of an id, if there is one: for what is only ever written, such as sessions. Its TTL begins anew, if that slides.
    ///
    /// # Errors
    /// [`CacheError::Store`] if the store does not tell, as when Redis is away: who has a session is not known then.
    pub async fn get(&self, id: &[&str]) -> Result<Option<T>, CacheError> {
        let Shared { cache, policy, hits, .. } = &*self.shared;
        let found = cache.try_get_with(&self.key(id), policy).await?;
        hits.count(found.is_some());
        Ok(found)
    }

    /// The value of an id, or what `fetch` brings, which is then kept. What is stale within its window, or due for a refresh, is
    /// fetched anew in the background.
    ///
    /// # Errors
    /// Those of `fetch`, if there was nothing to answer with.
    pub async fn get_or_fetch<E, F>(&self, id: &[&str], fetch: impl FnOnce() -> F + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let Shared { cache, hits, .. } = &*self.shared;
        let Ok(policy) = self.policy_of(id) else {
            log::warn!("{:?} is too long for a tag, and is not cached", self.tag(id));
            return fetch().await;
        };
        let found = cache.refreshed_and_outcome(&self.key_of(id), &policy, fetch).await;
        let (value, outcome) = found.inspect_err(|_| hits.count(false))?;
        hits.note(&outcome);
        Ok(value)
    }

    /// Writes through: `write` writes to the source and gives back what is there now; then it is kept, and the other nodes are told,
    /// before this returns. [`CacheManager::write_through`] says what happens if a half fails.
    ///
    /// # Errors
    /// Those of `write`.
    pub async fn write<E>(
        &self,
        id: &[&str],
        write: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<WrittenThrough<T>, E> {
        let Shared { cache, policy, .. } = &*self.shared;
        // Without tags it is not stored: nothing would clear it.
        let policy = self.policy_of(id).unwrap_or_else(|_| policy.clone().max_bytes(0));
        cache.write_through(&self.key(id), &policy, write).await
    }
}
