//! Clears, expires and listings by hand.

use std::sync::atomic::Ordering;

use super::CacheManager;
use crate::coherence::Token;
use crate::entry::Stamp;
use crate::error::{CacheError, StoreError};
use crate::pattern::Pattern;
use crate::store::{Clearing, Listed, NodeId, Receipt, Target};
use crate::tag::Tag;
use crate::telemetry::{ClearKind, ClearState};
use crate::tenant::Tenant;
use crate::time::Moment;

/// What a clear or an expire did, once the store has acknowledged it.
///
/// ```
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let policy = cache.policy("5m")?.tag("menu")?;
/// cache.set_many(&policy, &[("soup", 1), ("salad", 2)]).await?;
/// let receipt = cache.clear_tag("menu").await?;
/// assert_eq!(receipt.covered, 2);
/// assert!(!receipt.journaled, "the store has acknowledged it");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClearReceipt {
    /// What was cleared.
    pub targets: Vec<Target>,
    /// The clock after it, one per partition of the store.
    pub stamps: Vec<Stamp>,
    /// How many entries were behind the targets; see [`Receipt::covered`].
    pub covered: u64,
    /// How many nodes were told by a signal, this one included.
    pub nodes_told: u64,
    /// Whether it is in effect on all of them already.
    pub strict: bool,
    /// Whether the store has not acknowledged it yet: it waits in the journal and is retried, and until it is acknowledged this
    /// node serves nothing that it covers. Stamps and numbers are empty then.
    pub journaled: bool,
    /// The clock before it, one per partition of the store.
    pub(super) before: Vec<u64>,
}

/// What the client of a write gets whose clear is only journaled.
///
/// ```
/// use cache_middleware::{CacheManager, OnClearFailure};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Clients of writes get a 503 while Redis does not acknowledge: the write has happened all the same.
/// let cache = CacheManager::builder().on_clear_failure(OnClearFailure::Error).build().await?;
/// # let _ = cache;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnClearFailure {
    /// The response of the write: it has happened.
    #[default]
    Respond,
    /// A 503: the write has happened, and others may still be answered with what was before.
    Error,
}

impl ClearReceipt {
    fn new(targets: Vec<Target>, receipt: Receipt, strict: bool) -> Self {
        let Receipt { stamps, before, covered, told, .. } = receipt;
        Self { targets, stamps, covered, nodes_told: told, strict, journaled: false, before }
    }

    fn of_journal(targets: Vec<Target>) -> Self {
        Self { journaled: true, ..Self::new(targets, Receipt::default(), false) }
    }

    /// What a caller shows to any node that is to answer it with nothing older than this clear.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        Token::of(&self.stamps)
    }
}

/// All of these speak of the handle's tenant, or of what has no tenant. They return when the store has acknowledged:
/// from then on nobody is answered with what was cleared; or when it has not, and then [`ClearReceipt::journaled`] says so.
impl CacheManager {
    /// Clears every entry with a tag.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a tag, [`CacheError::Journal`] if it was not acknowledged and cannot be journaled.
    pub async fn clear_tag(&self, tag: &str) -> Result<ClearReceipt, CacheError> {
        self.clear_tags(&[tag]).await
    }

    /// Clears every entry with one or more of the tags, in one step.
    ///
    /// # Errors
    /// As [`CacheManager::clear_tag`].
    pub async fn clear_tags(&self, tags: &[&str]) -> Result<ClearReceipt, CacheError> {
        self.clear(self.tag_targets(tags)?).await
    }

    /// Clears every entry with a key: all its variants, and whichever handler named it.
    ///
    /// # Errors
    /// [`CacheError::Journal`] if it was not acknowledged and cannot be journaled.
    pub async fn clear_key(&self, key: &str) -> Result<ClearReceipt, CacheError> {
        self.clear(vec![Target::Key(self.owner(), key.to_owned())]).await
    }

    /// Clears every response of a route, named by its pattern as it is matched: `/api/v1/sessions/{id}`.
    ///
    /// # Errors
    /// [`CacheError::Journal`] if it was not acknowledged and cannot be journaled.
    pub async fn clear_route(&self, pattern: &str) -> Result<ClearReceipt, CacheError> {
        self.clear(vec![Target::Route(self.owner(), pattern.to_owned())]).await
    }

    /// Clears every entry whose key matches a glob, such as `org:42:*`.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a pattern, [`CacheError::Journal`] if it was not acknowledged and cannot be journaled.
    pub async fn clear_pattern(&self, pattern: &str) -> Result<ClearReceipt, CacheError> {
        self.clear(vec![Target::Pattern(self.owner(), Pattern::new(pattern)?)]).await
    }

    /// Clears everything a tenant has.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a tenant name or another's than this handle's, [`CacheError::Journal`] if it
    /// was not acknowledged and cannot be journaled.
    pub async fn clear_tenant(&self, name: &str) -> Result<ClearReceipt, CacheError> {
        let tenant = Tenant::new(name)?;
        if self.tenant.as_ref().is_some_and(|own| *own != tenant) {
            return Err(CacheError::Invalid(format!("a handle of one tenant cannot clear another's ({name:?})")));
        }
        self.clear(vec![Target::Tenant(tenant)]).await
    }

    /// Clears everything: of the handle's tenant if it has one, of the whole store otherwise.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the handle is no tenant's while there are tenants, [`CacheError::Journal`] if it was not
    /// acknowledged and cannot be journaled.
    pub async fn clear_all(&self) -> Result<ClearReceipt, CacheError> {
        if self.tenant.is_none() && self.inner.knows_tenants.load(Ordering::Relaxed) {
            return Err(CacheError::Invalid(
                "clear_all on a handle of no tenant would clear every tenant's entries: take `clear_tenant(name)`, or \
                 `clear_every_tenant()` if that is meant"
                    .to_owned(),
            ));
        }
        self.clear(vec![self.whole()]).await
    }

    /// Clears the whole store: of every tenant, and of none.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] on a tenant's handle, [`CacheError::Journal`] if it was not acknowledged and cannot be journaled.
    pub async fn clear_every_tenant(&self) -> Result<ClearReceipt, CacheError> {
        if self.tenant.is_some() {
            return Err(CacheError::Invalid("a handle of one tenant cannot clear another's".to_owned()));
        }
        self.clear(vec![self.whole()]).await
    }

    /// All that is this handle's, and for a handle of no tenant all of the others as well.
    pub(super) fn whole(&self) -> Target {
        self.owner().map_or(Target::All, Target::Tenant)
    }

    /// All that is this handle's alone.
    pub(crate) fn all_of_owner(&self) -> Target {
        match self.owner() {
            Some(tenant) => Target::Tenant(tenant),
            None if self.inner.knows_tenants.load(Ordering::Relaxed) => Target::Pattern(None, Pattern::any()),
            None => Target::All,
        }
    }

    /// Makes every entry with one of the tags stale from now on: served within its windows and refreshed, or, without one,
    /// not served.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a tag, [`CacheError::Store`] if it was not acknowledged: an expire is not journaled.
    pub async fn expire_tags(&self, tags: &[&str]) -> Result<ClearReceipt, CacheError> {
        let targets = self.tag_targets(tags)?;
        let began = Moment::now();
        let expired = self.inner.store.expire(&targets, self.node()).await;
        self.count_clear((ClearKind::Expire, ClearState::Failed), &targets, began, expired.as_ref().ok());
        let receipt = expired?;
        self.heard(&receipt, &targets);
        self.wake_sweep(&receipt, &targets);
        Ok(ClearReceipt::new(targets, receipt, false))
    }

    /// The live entries behind a tag, at most `limit`, those that expire first.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a tag, [`CacheError::Store`] if the store did not answer.
    pub async fn entries(&self, tag: &str, limit: usize) -> Result<Vec<Listed>, CacheError> {
        let target = Target::Tag(self.owner(), Tag::new(tag)?);
        Ok(self.inner.store.entries(&target, limit).await?)
    }

    /// The entries that a clear of the tags would remove now, each once, at most `limit` of each tag.
    ///
    /// # Errors
    /// As [`CacheManager::entries`].
    pub async fn preview(&self, tags: &[&str], limit: usize) -> Result<Vec<Listed>, CacheError> {
        let mut all = Vec::new();
        for tag in tags {
            all.extend(self.entries(tag, limit).await?);
        }
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all.dedup_by(|a, b| a.key == b.key);
        Ok(all)
    }

    /// Clears targets of any kind in one step, whosever they are: for tools.
    ///
    /// # Errors
    /// [`CacheError::Journal`] if it was not acknowledged and cannot be journaled.
    pub async fn clear_targets(&self, targets: Vec<Target>) -> Result<ClearReceipt, CacheError> {
        self.clear(targets).await
    }

    /// Clears targets; nothing to clear is acknowledged at once.
    pub(crate) async fn clear(&self, targets: Vec<Target>) -> Result<ClearReceipt, CacheError> {
        let receipt = self.clear_quietly(ClearKind::Clear, targets).await?;
        if !receipt.journaled {
            self.tell_of_clear(&receipt.targets);
        }
        Ok(receipt)
    }

    /// Clears, and tells nobody who would warm what was cleared: the caller of a replacement puts it anew by itself.
    pub(super) async fn clear_quietly(
        &self,
        kind: ClearKind,
        targets: Vec<Target>,
    ) -> Result<ClearReceipt, CacheError> {
        if targets.is_empty() {
            return Ok(ClearReceipt::new(targets, Receipt::default(), false));
        }
        let began = Moment::now();
        let mut guard = JournaledUnlessAcknowledged { manager: self, kind, began, targets: &targets, settled: false };
        let result = self.inner.store.clear(&targets, self.clearing()).await;
        self.count_clear((kind, ClearState::Journaled), &targets, began, result.as_ref().ok());
        if let Ok(receipt) = &result {
            self.heard(receipt, &targets);
            self.wake_sweep(receipt, &targets);
        }
        guard.settled = true;
        let result = result.map_err(|error| (self.inner.journal.add(&targets, self.settle), error));
        drop(guard);
        let receipt = match result {
            Ok(receipt) => receipt,
            Err((number, error)) => {
                log::warn!("a clear is journaled, and will be retried until it is acknowledged: {error}");
                return match self.inner.journal.write(number, targets.clone()).await {
                    Ok(()) => Ok(ClearReceipt::of_journal(targets)),
                    Err(error) => Err(CacheError::Journal(error.to_string())),
                };
            }
        };
        let strict = self.settled(&receipt).await;
        Ok(ClearReceipt::new(targets, receipt, strict))
    }

    /// Has the sweep look for what is left of a clear, unless it has found nothing.
    fn wake_sweep(&self, receipt: &Receipt, targets: &[Target]) {
        let walks = targets.iter().any(|target| matches!(target, Target::Pattern(..) | Target::All));
        if walks || receipt.covered > 0 {
            self.inner.keeper.wake();
        }
    }

    /// Clears targets for somebody who tries again until it is acknowledged: it is not journaled.
    pub(crate) async fn clear_or_fail(&self, targets: &[Target]) -> Result<(), StoreError> {
        let began = Moment::now();
        let cleared = self.inner.store.clear(targets, self.clearing()).await;
        self.count_clear((ClearKind::Clear, ClearState::Failed), targets, began, cleared.as_ref().ok());
        if let Ok(receipt) = &cleared {
            self.heard(receipt, targets);
            self.wake_sweep(receipt, targets);
        }
        self.inner.local_clock.fetch_add(1, Ordering::SeqCst);
        self.settled(&cleared?).await;
        self.tell_of_clear(targets);
        Ok(())
    }

    /// Waits until a clear is in effect on all nodes, if it or an entry asks for that; says whether it is strict.
    async fn settled(&self, receipt: &Receipt) -> bool {
        // An entry may ask for it too (`Holding::strict`): then there are nodes to wait for. A store that has lost its memory
        // has forgotten that one did; for a moment after that, every clear waits that may have to.
        let strict = self.clearing().strict || !receipt.due.is_empty();
        let waits = strict || self.inner.knows_strict.load(Ordering::Relaxed);
        if let Some(member) = self.inner.member.as_ref().filter(|_| waits) {
            member.settle(receipt).await;
        }
        strict
    }

    pub(super) fn clearing(&self) -> Clearing {
        let strict = self.strict || self.is_strict();
        Clearing { by: self.node(), strict, settle: self.settle }
    }

    fn node(&self) -> NodeId {
        self.inner.member.as_ref().map_or_else(NodeId::default, |member| member.id())
    }

    /// In effect on this node, before anybody learns that it is acknowledged.
    fn heard(&self, receipt: &Receipt, targets: &[Target]) {
        if let Some(l1) = &self.inner.l1 {
            l1.views().own(&receipt.stamps, targets);
        }
    }

    pub(super) fn owner(&self) -> Option<Tenant> {
        self.tenant.clone()
    }

    fn tag_targets(&self, tags: &[&str]) -> Result<Vec<Target>, CacheError> {
        tags.iter().map(|tag| Ok(Target::Tag(self.owner(), Tag::new(tag)?))).collect()
    }

    /// The targets of tags and keys named by an annotation or an event.
    pub(crate) fn targets(&self, tags: Vec<Tag>, keys: Vec<String>) -> Vec<Target> {
        let tags = tags.into_iter().map(|tag| Target::Tag(self.owner(), tag));
        tags.chain(keys.into_iter().map(|key| Target::Key(self.owner(), key))).collect()
    }
}

/// A clear whose caller goes away before the store has answered may or may not have happened: it is journaled like one that
/// failed.
struct JournaledUnlessAcknowledged<'a> {
    manager: &'a CacheManager,
    kind: ClearKind,
    began: Moment,
    targets: &'a [Target],
    settled: bool,
}

impl Drop for JournaledUnlessAcknowledged<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.manager.count_clear((self.kind, ClearState::Journaled), self.targets, self.began, None);
            let (journal, targets) = (self.manager.inner.journal.clone(), self.targets.to_vec());
            let number = journal.add(&targets, self.manager.settle);
            // Whoever drops cannot wait. Without a runtime the process is about to end.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    if let Err(error) = journal.write(number, targets).await {
                        log::error!("the journal cannot be written: {error}");
                    }
                });
            }
        }
        // Flights that took off before this moment are not joined after it, even without a store to ask.
        self.manager.inner.local_clock.fetch_add(1, Ordering::SeqCst);
    }
}
