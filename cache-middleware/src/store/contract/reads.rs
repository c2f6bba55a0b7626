//! Reads and fills.

use std::time::Duration;

use super::harness::{Harness, Spec, tag};
use crate::key::KeySpace;
use crate::store::{Filled, Freshness, Target};

pub(super) async fn an_empty_store_has_nothing(store: Harness) {
    assert!(store.found(&Spec::new("a")).await.is_none());
    assert_eq!(store.size().await.entries, 0);
    assert_eq!(store.clear(tag("t")).await.covered, 0);
}

pub(super) async fn what_was_filled_is_read(store: Harness) {
    let spec = Spec::new("a").tags(&["t"]);
    store.fill(&spec, "1").await;
    let found = store.found(&spec).await.expect("the entry");
    assert_eq!(found.entry.key, *spec.key.name());
    assert!(found.age < Duration::from_secs(5), "{:?}", found.age);
    assert!(matches!(found.freshness, Freshness::Fresh(left) if left <= Duration::from_secs(60)));
    assert_eq!(store.value(&spec).await.as_deref(), Some("1"));
}

pub(super) async fn p7_keys_are_apart(store: Harness) {
    let long = "x".repeat(2_000);
    let specs = [
        Spec::new("a"),
        Spec::new("b"),
        Spec::of(Some("a"), "a"),
        Spec::of(Some("b"), "a"),
        Spec::new("a").keyed(KeySpace::Value, None),
        Spec::new("a").keyed(KeySpace::Named("one"), None),
        Spec::new("a").keyed(KeySpace::Named("two"), None),
        Spec::new("a").keyed(KeySpace::Request, Some("de")),
        Spec::new("a").keyed(KeySpace::Request, Some("en")),
        // Equal up to where names are cut.
        Spec::new(&format!("{long}1")),
        Spec::new(&format!("{long}2")),
    ];
    for (number, spec) in specs.iter().enumerate() {
        store.fill(spec, &number.to_string()).await;
    }
    for (number, spec) in specs.iter().enumerate() {
        assert_eq!(store.value(spec).await, Some(number.to_string()), "{spec:?}");
    }
}

pub(super) async fn an_entry_ends_with_its_time(store: Harness) {
    let spec = Spec::new("a").ttl(Duration::from_millis(300));
    store.fill(&spec, "1").await;
    assert_eq!(store.value(&spec).await.as_deref(), Some("1"));
    store.pass(Duration::from_millis(400)).await;
    assert!(store.found(&spec).await.is_none());
}

pub(super) async fn a_later_fill_replaces(store: Harness) {
    let spec = Spec::new("a").tags(&["t"]);
    store.fill(&spec, "1").await;
    store.fill(&spec, "2").await;
    assert_eq!(store.value(&spec).await.as_deref(), Some("2"));
    assert_eq!(store.size().await.entries, 1);
    assert_eq!(store.listed(&tag("t")).await.len(), 1);
}

pub(super) async fn an_expired_entry_is_stale(store: Harness) {
    let (with, without) = (Spec::new("a").tags(&["t"]), Spec::new("b").tags(&["u"]));
    store.fill(&with, "1").await;
    store.fill(&without, "2").await;
    store.pass(Duration::from_millis(200)).await;
    assert_eq!(store.expire(tag("t")).await.covered, 1);
    store.pass(Duration::from_millis(50)).await;
    for swept in [false, true] {
        let freshness = store.found(&with).await.map(|found| found.freshness);
        // Stale since it was expired, not since it was stored.
        let Some(Freshness::Stale(since)) = freshness else { panic!("swept: {swept}: {freshness:?}") };
        assert!(since >= Duration::from_millis(49) && since < Duration::from_millis(190), "swept: {swept}: {since:?}");
        assert_eq!(store.value(&without).await.as_deref(), Some("2"));
        store.sweep().await;
    }
    assert_eq!(store.size().await.open_sweeps, 0);
    // The index still reaches it.
    assert_eq!(store.listed(&tag("t")).await.len(), 1);
    store.fill(&with, "3").await;
    assert_eq!(store.value(&with).await.as_deref(), Some("3"));
}

/// Under one clock there may have been several fills: which of them is there is told by the version.
pub(super) async fn p1_a_renewal_replaces_only_what_was_read(store: Harness) {
    let spec = Spec::new("a").tags(&["t"]);
    let lease = store.lease(&spec).await;
    store.fill_under(lease, &spec, "1").await;
    let read = store.found(&spec).await.expect("the entry");
    assert_eq!(store.found(&spec).await.expect("the entry").version, read.version);
    store.fill_under(lease, &spec, "2").await;
    let renewed = spec.clone().replacing(read.version);
    assert_eq!(store.fill_under(lease, &renewed, "1").await, Filled::Superseded);
    assert_eq!(store.value(&spec).await.as_deref(), Some("2"));
    let read = store.found(&spec).await.expect("the entry");
    assert!(matches!(store.fill_under(lease, &spec.clone().replacing(read.version), "3").await, Filled::Stored(_)));
    assert_eq!(store.value(&spec).await.as_deref(), Some("3"));
    let read = store.found(&spec).await.expect("the entry");
    store.clear(tag("t")).await;
    let lease = store.lease(&spec).await;
    assert_eq!(store.fill_under(lease, &spec.clone().replacing(read.version), "4").await, Filled::Superseded);
    assert_eq!(store.value(&spec).await, None);
}

pub(super) async fn several_keys_are_read_as_each_alone(store: Harness) {
    let specs: Vec<Spec> = (0..40).map(|n| Spec::new(&format!("k{n}")).tags(&["t"])).collect();
    assert!(store.values(&specs).await.iter().all(Option::is_none), "of an empty store");
    for (n, spec) in specs.iter().enumerate().filter(|(n, _)| n % 3 > 0) {
        store.fill(spec, &n.to_string()).await;
    }
    store.clear(Target::Key(None, "k7".to_owned())).await;
    for swept in [false, true] {
        for (n, value) in store.values(&specs).await.into_iter().enumerate() {
            let expected = (n % 3 > 0 && n != 7).then(|| n.to_string());
            assert_eq!(value, expected, "{n}, swept: {swept}");
        }
        store.sweep().await;
    }
    assert!(store.values(&[]).await.is_empty());
}
