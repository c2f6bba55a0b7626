//! Clears, and the races between a clear and a fill (promises P1 and P2).
//!
//! Each of these fails when `fill` stops comparing the marks (take out the loop over `m` and `s` in `fill.lua`, or the
//! two lines with `marked(..)` in `memory/state.rs`), or when reads stop comparing them while a sweep is open.

use std::time::Duration;

use super::harness::{Harness, Spec, pattern, tag};
use crate::key::KeySpace;
use crate::store::{Filled, Target};
use crate::tenant::Tenant;

fn targets() -> Vec<(&'static str, Target)> {
    vec![
        ("tag", tag("t")),
        ("key", Target::Key(None, "a".to_owned())),
        ("route", Target::Route(None, "/route".to_owned())),
        ("pattern", pattern("a*")),
        ("all", Target::All),
    ]
}

pub(super) async fn p1_each_target_clears_what_it_names_and_nothing_else(store: Harness) {
    let named = Spec::new("a").tags(&["t", "shared"]);
    let variant = named.clone().keyed(KeySpace::Named("handler"), Some("de"));
    let other = Spec::new("b").tags(&["shared"]).route("/other");
    for (name, target) in targets() {
        for swept in [false, true] {
            for spec in [&named, &variant, &other] {
                store.fill(spec, "1").await;
            }
            store.clear(target.clone()).await;
            if swept {
                store.sweep().await;
            }
            assert!(store.found(&named).await.is_none(), "{name}, swept: {swept}");
            assert!(store.found(&variant).await.is_none(), "{name}, swept: {swept}");
            assert_eq!(store.found(&other).await.is_none(), name == "all", "{name}, swept: {swept}");
        }
    }
}

pub(super) async fn p1_a_fill_that_began_before_a_clear_is_refused(store: Harness) {
    let spec = Spec::new("a").tags(&["t"]);
    for (name, target) in targets() {
        for swept in [false, true] {
            let lease = store.lease(&spec).await;
            store.clear(target.clone()).await;
            if swept {
                store.sweep().await;
            }
            assert_eq!(store.fill_under(lease, &spec, "old").await, Filled::Cleared, "{name}, swept: {swept}");
            assert!(store.found(&spec).await.is_none(), "{name}");
        }
    }
}

pub(super) async fn p1_a_fill_that_began_after_a_clear_is_stored(store: Harness) {
    let spec = Spec::new("a").tags(&["t"]);
    for (name, target) in targets() {
        store.fill(&spec, "old").await;
        store.clear(target).await;
        store.fill(&spec, "new").await;
        assert_eq!(store.value(&spec).await.as_deref(), Some("new"), "{name}, before the sweep");
        store.sweep().await;
        assert_eq!(store.value(&spec).await.as_deref(), Some("new"), "{name}, after the sweep");
    }
}

pub(super) async fn p1_a_clear_of_something_else_refuses_nothing(store: Harness) {
    let spec = Spec::new("a").tags(&["t"]);
    let acme = Tenant::new("acme").expect("a tenant name");
    for target in
        [tag("u"), Target::Key(None, "b".to_owned()), Target::Route(None, "/other".to_owned()), Target::Tenant(acme)]
    {
        let lease = store.lease(&spec).await;
        store.clear(target).await;
        assert!(matches!(store.fill_under(lease, &spec, "1").await, Filled::Stored(_)));
    }
}

/// More than any store removes in one step.
const MANY: usize = 1_500;

async fn fill_many(store: &Harness, value: &str) -> Vec<Spec> {
    let specs: Vec<Spec> = (0..MANY).map(|n| Spec::new(&format!("many:{n}")).tags(&["t"])).collect();
    for spec in &specs {
        store.fill(spec, value).await;
    }
    specs
}

pub(super) async fn p1_a_clear_during_a_sweep_is_not_lost(store: Harness) {
    let specs = fill_many(&store, "1").await;
    store.clear(tag("t")).await;
    assert!(store.sweep_once().await, "there is more to sweep");
    // Some are filled again, and cleared again while the first sweep is open.
    let again: Vec<&Spec> = specs.iter().step_by(3).collect();
    for spec in &again {
        store.fill(spec, "2").await;
    }
    store.clear(tag("t")).await;
    for swept in [false, true] {
        for spec in &specs {
            assert!(store.found(spec).await.is_none(), "swept: {swept}");
        }
        store.sweep().await;
    }
    assert_eq!(store.size().await, crate::store::StoreSize::default());
}

pub(super) async fn p1_a_refill_during_a_sweep_stays(store: Harness) {
    let specs = fill_many(&store, "1").await;
    store.clear(tag("t")).await;
    let mut more = true;
    for (number, spec) in specs.iter().enumerate() {
        store.fill(spec, "2").await;
        if more && number % 100 == 0 {
            more = store.sweep_once().await;
        }
    }
    store.sweep().await;
    for spec in &specs {
        assert_eq!(store.value(spec).await.as_deref(), Some("2"));
    }
    assert_eq!(store.listed(&tag("t")).await.len(), 1_000, "the listing's limit");
}

pub(super) async fn p1_an_expire_refuses_fills_that_began_before_it(store: Harness) {
    let spec = Spec::new("a").tags(&["t"]);
    let lease = store.lease(&spec).await;
    store.expire(tag("t")).await;
    assert_eq!(store.fill_under(lease, &spec, "old").await, Filled::Cleared);
    assert!(store.found(&spec).await.is_none());
}

pub(super) async fn p1_a_clear_ends_what_was_expired(store: Harness) {
    let spec = Spec::new("a").tags(&["t", "u"]);
    for swept in [false, true] {
        store.fill(&spec, "1").await;
        store.expire(tag("t")).await;
        store.clear(tag("u")).await;
        if swept {
            store.sweep().await;
        }
        assert!(store.found(&spec).await.is_none(), "swept: {swept}");
    }
}

pub(super) async fn p1_while_a_clear_settles_nothing_it_covers_is_stored(store: Harness) {
    let (covered, other) = (Spec::new("a").tags(&["t"]), Spec::new("b").tags(&["u"]));
    store.clear_settling(tag("t"), Duration::from_millis(300)).await;
    // A clear of the same that settles for less takes nothing back.
    store.clear_settling(tag("t"), Duration::from_millis(1)).await;
    let lease = store.lease(&covered).await;
    assert_eq!(store.fill_under(lease, &covered, "old").await, Filled::Settling);
    assert!(store.found(&covered).await.is_none());
    store.fill(&other, "1").await;
    store.pass(Duration::from_millis(350)).await;
    store.fill(&covered, "2").await;
}

pub(super) async fn p2_the_clock_moves_with_every_clear_and_only_then(store: Harness) {
    let spec = Spec::new("a").tags(&["t"]);
    let mut before = store.lease(&spec).await.stamp;
    for (name, target) in targets() {
        store.fill(&spec, "1").await;
        assert_eq!(store.lease(&spec).await.stamp, before, "a fill moves no clock");
        let receipt = store.clear(target).await;
        let after = store.lease(&spec).await.stamp;
        assert_eq!(after.incarnation, before.incarnation);
        assert!(after.clock > before.clock, "{name}");
        assert!(receipt.stamps.contains(&after), "{name}");
        before = after;
    }
}

pub(super) async fn p7_tenants_clear_only_their_own(store: Harness) {
    let (acme, globex) = (Spec::of(Some("acme"), "a").tags(&["t"]), Spec::of(Some("globex"), "a").tags(&["t"]));
    let nobody = Spec::new("a").tags(&["t"]);
    let owner = Tenant::new("acme").ok();
    let acme_tag = crate::tag::Tag::new("t").expect("a tag");
    for target in [
        Target::Tag(owner.clone(), acme_tag),
        Target::Key(owner.clone(), "a".to_owned()),
        Target::Route(owner.clone(), "/route".to_owned()),
        Target::Pattern(owner.clone(), crate::pattern::Pattern::new("*").expect("a pattern")),
        Target::Tenant(owner.expect("a tenant")),
    ] {
        for spec in [&acme, &globex, &nobody] {
            store.fill(spec, "1").await;
        }
        store.clear(target.clone()).await;
        store.sweep().await;
        assert!(store.found(&acme).await.is_none(), "{target:?}");
        assert!(store.found(&globex).await.is_some(), "{target:?}");
        assert!(store.found(&nobody).await.is_some(), "{target:?}");
    }
}
