//! A store under test, with the steps its tests are made of.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::entry::{Entry, Lifetime, Payload};
use crate::key::{Key, KeySpace};
use crate::pattern::Pattern;
use crate::store::{
    Bound, Channels, Clearing, Filled, Filling, Found, Freshness, Lease, NodeId, Queues, Receipt, Store, StoreSize,
    Target, Usage,
};
use crate::tag::{Mark, Tag};
use crate::tenant::Tenant;

type PassTime = Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// An empty store under test, and a way to let its time pass.
///
/// At work: [`crate::store::contract`].
pub struct Harness {
    store: Arc<dyn Store>,
    pass_time: PassTime,
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What an entry of a test is stored under.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) key: Key,
    tenant: Option<Tenant>,
    route: &'static str,
    tags: Vec<&'static str>,
    ttl: Duration,
    filling: Filling,
}

impl Spec {
    pub(super) fn new(text: &str) -> Self {
        Self::of(None, text)
    }

    pub(super) fn of(tenant: Option<&str>, text: &str) -> Self {
        let tenant = tenant.map(|name| Tenant::new(name).expect("a tenant name"));
        Self {
            key: Key::new(tenant.as_ref(), KeySpace::Request, None, text),
            tenant,
            route: "/route",
            tags: Vec::new(),
            ttl: Duration::from_secs(60),
            filling: Filling::default(),
        }
    }

    pub(super) fn keyed(mut self, space: KeySpace<'_>, variant: Option<&str>) -> Self {
        self.key = Key::new(self.tenant.as_ref(), space, variant, self.key.text());
        self
    }

    pub(super) fn tags(mut self, tags: &[&'static str]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    pub(super) fn route(mut self, route: &'static str) -> Self {
        self.route = route;
        self
    }

    /// Allows so many entries with a tag.
    pub(super) fn at_most(mut self, most: u64, tag: &str) -> Self {
        let mark = Mark::tag(self.tenant.as_ref(), &Tag::new(tag).expect("a tag"));
        self.filling.bounds.push(Bound { mark: mark.id, most });
        self
    }

    pub(super) fn replacing(mut self, version: u64) -> Self {
        self.filling.replaces = Some(version);
        self
    }

    pub(super) fn quota(mut self, bytes: u64) -> Self {
        self.filling.quota = Some(bytes);
        self
    }

    pub(super) fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }
}

pub(super) fn tag(text: &str) -> Target {
    Target::Tag(None, Tag::new(text).expect("a tag"))
}

pub(super) fn pattern(text: &str) -> Target {
    Target::Pattern(None, Pattern::new(text).expect("a pattern"))
}

impl Harness {
    /// Wraps an empty store; `pass_time` lets its time pass by moving its clock or by waiting.
    pub fn new(
        store: impl Store,
        pass_time: impl Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self { store: Arc::new(store), pass_time: Box::new(pass_time) }
    }

    pub(super) async fn pass(&self, time: Duration) {
        (self.pass_time)(time).await;
    }

    pub(super) fn queues(&self) -> Option<&dyn Queues> {
        self.store.queues()
    }

    pub(super) fn channels(&self) -> Option<&dyn Channels> {
        self.store.channels()
    }

    pub(super) async fn lease(&self, spec: &Spec) -> Lease {
        self.store.lease(&spec.key).await.expect("a lease")
    }

    pub(super) async fn fill_under(&self, lease: Lease, spec: &Spec, value: &str) -> Filled {
        let mut marks: Vec<Mark> =
            spec.tags.iter().map(|tag| Mark::tag(spec.tenant.as_ref(), &Tag::new(tag).expect("a tag"))).collect();
        marks.push(Mark::route(spec.tenant.as_ref(), spec.route));
        marks.push(spec.key.mark().clone());
        marks.extend(spec.tenant.as_ref().map(Mark::tenant));
        let entry = Arc::new(Entry {
            stamp: lease.stamp,
            key: spec.key.name().clone(),
            marks: marks.iter().collect(),
            stored_at_ms: self.store.now_ms(&spec.key),
            life: Lifetime::fresh(spec.ttl),
            payload: Payload::Value(value.to_owned().into()),
        });
        self.store.fill(&spec.key, &entry, &spec.filling).await.expect("a fill")
    }

    pub(super) async fn fill(&self, spec: &Spec, value: &str) {
        let lease = self.lease(spec).await;
        let filled = self.fill_under(lease, spec, value).await;
        assert!(matches!(filled, Filled::Stored(_)), "{filled:?} instead of a stored {spec:?}");
    }

    pub(super) async fn found(&self, spec: &Spec) -> Option<Found> {
        self.store.read(&spec.key).await.expect("a look-up").found
    }

    /// The value of a fresh entry.
    pub(super) async fn value(&self, spec: &Spec) -> Option<String> {
        Self::value_in(self.found(spec).await)
    }

    /// The values of several, read at once.
    pub(super) async fn values(&self, specs: &[Spec]) -> Vec<Option<String>> {
        let keys: Vec<&Key> = specs.iter().map(|spec| &spec.key).collect();
        let looked_up = self.store.read_many(&keys).await;
        looked_up.into_iter().map(|lookup| Self::value_in(lookup.expect("a look-up").found)).collect()
    }

    fn value_in(found: Option<Found>) -> Option<String> {
        let found = found.filter(|found| matches!(found.freshness, Freshness::Fresh(_)))?;
        match &found.entry.payload {
            Payload::Value(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Payload::Response(_) | Payload::Selector(_) => None,
        }
    }

    pub(super) async fn usage(&self, tenant: &str) -> Usage {
        self.store.usage(&Tenant::new(tenant).expect("a tenant name")).await.expect("a usage")
    }

    pub(super) async fn clear(&self, target: Target) -> Receipt {
        self.store.clear(&[target], Clearing::default()).await.expect("a clear")
    }

    pub(super) async fn clear_settling(&self, target: Target, settle: Duration) {
        let clearing = Clearing { settle, ..Clearing::default() };
        self.store.clear(&[target], clearing).await.expect("a clear");
    }

    pub(super) async fn expire(&self, target: Target) -> Receipt {
        self.store.expire(&[target], NodeId::default()).await.expect("an expire")
    }

    /// One step; says whether there is more to do.
    pub(super) async fn sweep_once(&self) -> bool {
        self.store.sweep().await.expect("a step of the sweep").more
    }

    pub(super) async fn sweep(&self) {
        for _ in 0..100_000 {
            if !self.sweep_once().await {
                return;
            }
        }
        panic!("the sweep does not end");
    }

    pub(super) async fn size(&self) -> StoreSize {
        self.store.size().await.expect("a size")
    }

    pub(super) async fn listed(&self, target: &Target) -> Vec<String> {
        let mut names: Vec<String> = self
            .store
            .entries(target, 1_000)
            .await
            .expect("a listing")
            .into_iter()
            .map(|listed| listed.key.to_string())
            .collect();
        names.sort();
        names
    }
}
