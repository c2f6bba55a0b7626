//! The tag index: exact, enumerable, and clean after itself (promises P3 and P4).

use std::time::Duration;

use super::harness::{Harness, Spec, pattern, tag};
use crate::key::KeySpace;
use crate::store::{Filled, StoreSize, Target, Usage};
use crate::tag::Tag;
use crate::tenant::Tenant;

async fn fill_many(store: &Harness, count: usize, tags: &[&'static str], ttl: Duration) {
    for n in 0..count {
        store.fill(&Spec::new(&format!("many:{n}")).tags(tags).ttl(ttl), "1").await;
    }
}

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn p3_a_large_tag_is_cleared_before_it_is_swept(store: Harness) {
    fill_many(&store, 3_000, &["t"], MINUTE).await;
    let receipt = store.clear(tag("t")).await;
    assert_eq!(receipt.covered, 3_000);
    assert!(store.size().await.entries > 1_000, "the clear itself removes no more than a small tag has");
    for n in 0..3_000 {
        assert!(store.found(&Spec::new(&format!("many:{n}"))).await.is_none());
    }
    store.sweep().await;
    assert_eq!(store.size().await, StoreSize::default());
}

pub(super) async fn p4_every_tag_reaches_the_entry(store: Harness) {
    let spec = Spec::new("a").tags(&["t", "u", "v"]);
    for tag_text in ["t", "u", "v"] {
        store.fill(&spec, "1").await;
        assert_eq!(store.clear(tag(tag_text)).await.covered, 1, "{tag_text}");
        store.sweep().await;
        assert!(store.found(&spec).await.is_none(), "{tag_text}");
    }
}

pub(super) async fn p4_clearing_one_tag_leaves_no_member_in_the_others(store: Harness) {
    fill_many(&store, 300, &["t", "u"], MINUTE).await;
    store.clear(tag("t")).await;
    store.sweep().await;
    assert_eq!(store.size().await, StoreSize::default());
}

pub(super) async fn p4_expired_entries_leave_no_members(store: Harness) {
    fill_many(&store, 600, &["t", "u"], Duration::from_millis(100)).await;
    store.pass(Duration::from_millis(200)).await;
    store.sweep().await;
    // Sets that were visited a moment ago are due again within a second.
    store.pass(Duration::from_millis(1_200)).await;
    store.sweep().await;
    assert_eq!(store.size().await, StoreSize::default());
}

pub(super) async fn p4_a_refill_with_other_tags_leaves_the_old_ones(store: Harness) {
    store.fill(&Spec::new("a").tags(&["old", "kept"]), "1").await;
    let refilled = Spec::new("a").tags(&["kept", "new"]);
    store.fill(&refilled, "2").await;
    assert_eq!(store.listed(&tag("old")).await, Vec::<String>::new());
    assert_eq!(store.listed(&tag("kept")).await.len(), 1);
    store.clear(tag("old")).await;
    store.sweep().await;
    assert_eq!(store.value(&refilled).await.as_deref(), Some("2"));
    store.clear(tag("new")).await;
    assert!(store.found(&refilled).await.is_none());
}

pub(super) async fn p4_an_entry_with_a_short_life_takes_no_other_along(store: Harness) {
    let (long, short) =
        (Spec::new("long").tags(&["t"]), Spec::new("short").tags(&["t"]).ttl(Duration::from_millis(100)));
    store.fill(&long, "1").await;
    store.fill(&short, "2").await;
    store.pass(Duration::from_millis(200)).await;
    store.sweep().await;
    assert_eq!(store.clear(tag("t")).await.covered, 1);
    assert!(store.found(&long).await.is_none());
}

pub(super) async fn p4_entries_are_listed_by_what_clears_them(store: Harness) {
    let (a, b) = (Spec::new("a").tags(&["t"]), Spec::new("b").tags(&["t", "u"]).route("/other"));
    for spec in [&a, &b] {
        store.fill(spec, "1").await;
    }
    let (a, b) = (a.key.name().to_string(), b.key.name().to_string());
    assert_eq!(store.listed(&tag("t")).await, [a.clone(), b.clone()]);
    assert_eq!(store.listed(&tag("u")).await, std::slice::from_ref(&b));
    assert_eq!(store.listed(&Target::Route(None, "/other".to_owned())).await, std::slice::from_ref(&b));
    assert_eq!(store.listed(&Target::Key(None, "a".to_owned())).await, std::slice::from_ref(&a));
    store.clear(tag("u")).await;
    assert_eq!(store.listed(&tag("t")).await, [a]);
}

pub(super) async fn a_pattern_is_swept_and_closed(store: Harness) {
    fill_many(&store, 300, &["t"], MINUTE).await;
    store.fill(&Spec::new(&format!("many:{}", "x".repeat(2_000))).tags(&["t"]), "1").await;
    store.fill(&Spec::new("few:1").tags(&["t"]), "1").await;
    store.clear(pattern("many:*")).await;
    assert!(store.size().await.open_sweeps > 0);
    store.sweep().await;
    let size = store.size().await;
    assert_eq!((size.entries, size.open_sweeps), (1, 0));
    assert_eq!(store.listed(&tag("t")).await.len(), 1);
}

pub(super) async fn everything_is_swept_after_a_clear_of_all(store: Harness) {
    fill_many(&store, 300, &["t"], MINUTE).await;
    store.clear(Target::All).await;
    store.fill(&Spec::new("after").tags(&["t"]), "1").await;
    store.sweep().await;
    let size = store.size().await;
    assert_eq!((size.entries, size.index_members, size.open_sweeps), (1, 2, 0));
}

pub(super) async fn p9_bounds_on_marks_are_kept(store: Harness) {
    // Variants of one key are in one partition, and bounds are those of a partition.
    let spec = |variant: &str| {
        let spec = Spec::new("a").keyed(KeySpace::Request, Some(variant)).tags(&["free", "few"]);
        spec.at_most(9, "free").at_most(2, "few")
    };
    for text in ["a", "b"] {
        store.fill(&spec(text), "1").await;
    }
    let lease = store.lease(&spec("c")).await;
    assert_eq!(store.fill_under(lease, &spec("c"), "1").await, Filled::Full(1));
    assert_eq!(store.value(&spec("c")).await, None);
    store.fill(&spec("a"), "2").await; // it is there already
    store.clear(tag("few")).await;
    store.fill(&spec("c"), "1").await;
}

pub(super) async fn p7_what_a_tenant_has_is_counted(store: Harness) {
    let spec = |text: &str| Spec::of(Some("acme"), text).tags(&["t"]);
    let acme = Tenant::new("acme").expect("a tenant");
    assert_eq!(store.usage("acme").await, Usage::default());
    store.fill(&spec("a"), &"x".repeat(10_000)).await;
    store.fill(&Spec::of(Some("globex"), "a").tags(&["t"]), "x").await;
    let first = store.usage("acme").await;
    assert!(first.entries == 1 && first.bytes > 10_000, "{first:?}");
    store.fill(&spec("a"), "x").await;
    let smaller = store.usage("acme").await;
    assert!(smaller.entries == 1 && smaller.bytes + 9_000 < first.bytes, "{smaller:?} after {first:?}");
    store.fill(&spec("b"), "x").await;
    assert_eq!(store.usage("acme").await, Usage { entries: 2, bytes: smaller.bytes * 2 });
    store.clear(Target::Tag(Some(acme.clone()), Tag::new("t").expect("a tag"))).await;
    store.sweep().await;
    assert_eq!(store.usage("acme").await, Usage::default());
    assert_eq!(store.usage("globex").await.entries, 1);
    store.fill(&spec("a").ttl(Duration::from_secs(1)), "x").await;
    store.pass(Duration::from_secs(2)).await;
    store.sweep().await;
    assert_eq!(store.usage("acme").await, Usage::default());
    store.fill(&spec("a"), "x").await;
    store.clear(Target::Tenant(acme)).await;
    store.sweep().await;
    assert_eq!(store.usage("acme").await, Usage::default());
}

pub(super) async fn p9_a_tenant_s_bytes_are_bounded(store: Harness) {
    // Variants of one key are in one partition, and so is a quota.
    let spec = |variant: &str| Spec::of(Some("acme"), "a").keyed(KeySpace::Request, Some(variant)).tags(&["t"]);
    store.fill(&spec("1"), &"x".repeat(5_000)).await;
    let quota = store.usage("acme").await.bytes + 4_000;
    let (second, large) = (spec("2").quota(quota), "x".repeat(5_000));
    let lease = store.lease(&second).await;
    assert_eq!(store.fill_under(lease, &second, &large).await, Filled::OverQuota);
    assert_eq!(store.value(&second).await, None);
    store.fill(&second, "small").await;
    store.fill(&spec("1").quota(quota), &large).await; // in its own place
    store.fill(&Spec::new("free").quota(1), &large).await; // no tenant's
}
