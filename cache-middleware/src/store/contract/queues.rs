//! Queues of changes. A store that keeps none has nothing to show.

use std::time::Duration;

use super::harness::Harness;
use crate::key::{Key, KeySpace};
use crate::store::{Change, Enqueued, Flusher, NextBatch, QueueBounds, QueueSize, Queued, Queues, Settled};

const Q: &str = "q";
const ROOM: QueueBounds = QueueBounds { changes: 100, bytes: 1_000 };

fn flusher(token: u64) -> Flusher {
    Flusher { token, claim: Duration::from_millis(400), most: 3, bytes: 1_000, interval: Duration::from_millis(300) }
}

/// Queues that know what they begin after.
async fn begun(store: &Harness) -> Option<&dyn Queues> {
    let queues = store.queues()?;
    let unbegun = queues.enqueue(Q, &key("a"), &text("1"), ROOM).await.expect("an answer");
    assert_eq!(unbegun, Enqueued::Unbegun);
    queues.begin(Q, 7).await.expect("it begins");
    Some(queues)
}

fn key(text: &str) -> Key {
    Key::new(None, KeySpace::Value, None, text)
}

fn text(text: &str) -> Change {
    Change::Put(text.as_bytes().to_vec().into())
}

async fn add(queues: &dyn Queues, of: &str, change: Change) -> u64 {
    match queues.enqueue(Q, &key(of), &change, ROOM).await.expect("an answer") {
        Enqueued::Waiting(waiting) => waiting,
        other => panic!("{of} is not taken: {other:?}"),
    }
}

async fn size(queues: &dyn Queues) -> QueueSize {
    queues.size(Q).await.expect("a size")
}

async fn sealed(queues: &dyn Queues, token: u64) -> (u64, Vec<Queued>) {
    match queues.next_batch(Q, flusher(token)).await.expect("an answer") {
        NextBatch::Sealed { upto, done, .. } => (done, pages(queues, upto, 1_000).await),
        other => panic!("{other:?} instead of a batch"),
    }
}

async fn pages(queues: &dyn Queues, upto: u64, bytes: u64) -> Vec<Queued> {
    let mut changes: Vec<Queued> = Vec::new();
    loop {
        let after = changes.last().map_or(0, |queued| queued.number);
        let page = queues.page(Q, after, upto, bytes).await.expect("a page");
        if page.is_empty() {
            return changes;
        }
        changes.extend(page);
    }
}

async fn settle(queues: &dyn Queues, upto: u64) -> bool {
    loop {
        match queues.settle(Q, upto, true).await.expect("an answer") {
            Settled::Some => {}
            settled => return settled == Settled::All,
        }
    }
}

fn keys(changes: &[Queued]) -> Vec<&str> {
    changes.iter().map(|queued| queued.key.strip_prefix("-/v/").expect("a name")).collect()
}

/// A batch is full or has waited; it stays the same until it is settled, whoever asks; and one flusher at a time has it.
pub(super) async fn a_batch_is_the_same_until_it_is_settled(store: Harness) {
    let Some(queues) = begun(&store).await else { return };
    assert_eq!(queues.next_batch(Q, flusher(1)).await.expect("an answer"), NextBatch::Nothing(None));
    assert_eq!(add(queues, "a", text("1")).await, 1);
    let NextBatch::Nothing(Some(wait)) = queues.next_batch(Q, flusher(1)).await.expect("an answer") else {
        panic!("it is not full, and has not waited");
    };
    assert!(wait <= Duration::from_millis(300), "{wait:?}");
    store.pass(Duration::from_millis(310)).await;
    let (after, first) = sealed(queues, 1).await;
    assert_eq!((after, keys(&first)), (0, vec!["a"]));
    for n in 0..5 {
        add(queues, "b", text(&n.to_string())).await;
    }
    assert!(matches!(queues.next_batch(Q, flusher(2)).await.expect("an answer"), NextBatch::Claimed(_)));
    assert_eq!(sealed(queues, 1).await.1, first);
    assert!(queues.keep_claim(Q, flusher(1)).await.expect("an answer"));
    assert!(!queues.keep_claim(Q, flusher(2)).await.expect("an answer"));
    store.pass(Duration::from_millis(410)).await;
    assert_eq!(sealed(queues, 2).await.1, first, "for who goes on too");
    assert!(!settle(queues, first[0].number + 1).await);
    assert!(settle(queues, first[0].number).await, "by whoever has written it");
    assert!(!settle(queues, first[0].number).await, "once");
    let (after, next) = sealed(queues, 2).await;
    assert_eq!((after, keys(&next)), (first[0].number, vec!["b"; 3]));
    assert!(next.windows(2).all(|pair| pair[0].number < pair[1].number) && next[0].number > after);
    queues.give_up_claim(Q, 2).await.expect("an answer");
    assert_eq!(sealed(queues, 3).await.1, next);
}

/// Numbers go on after what a sink knows, whatever the clock says; and one change that was set aside, and is written after all, is
/// set aside no more.
pub(super) async fn numbers_go_on(store: Harness) {
    let Some(queues) = begun(&store).await else { return };
    add(queues, "a", Change::Add(3)).await;
    let far = (1 << 52) + 5;
    queues.begin(Q, far).await.expect("it begins");
    queues.begin(Q, 9).await.expect("and never goes back");
    add(queues, "b", text("1")).await;
    store.pass(Duration::from_millis(310)).await;
    let (_, batch) = sealed(queues, 1).await;
    assert!(batch[0].number > 7 && batch[0].number < far && batch[1].number == far + 1, "{batch:?}");
    assert_eq!(pages(queues, batch[1].number, 1).await, batch, "a page has one change at least");
    assert!(queues.narrow(Q, 1, batch[1].number, batch[0].number).await.expect("an answer"));
    assert!(queues.set_aside(Q, 1, batch[0].number, "no", 1).await.expect("an answer"));
    assert!(settle(queues, batch[0].number).await);
    assert_eq!(queues.pending(Q, &key("a")).await.expect("an answer").add, 0, "it is taken away once");
    let has = size(queues).await;
    assert_eq!((has.waiting, has.set_aside), (1, 0));
    assert!(queues.list_aside(Q, 10).await.expect("a list").is_empty());
    // One from the future has not to wait for it.
    let (done, rest) = sealed(queues, 1).await;
    assert_eq!((done, keys(&rest)), (batch[0].number, vec!["b"]));
}

/// What waits is told by key, and leaves with its batch.
pub(super) async fn what_waits_is_told_by_key(store: Harness) {
    let Some(queues) = begun(&store).await else { return };
    let pending = async |of: &str| queues.pending(Q, &key(of)).await.expect("an answer");
    for (amount, value) in [(5, "old"), (-7, "new"), (0, "newest")] {
        add(queues, "a", Change::Add(amount)).await;
        add(queues, "a", text(value)).await;
    }
    let waits = pending("a").await;
    assert_eq!((waits.put.as_deref(), waits.add), (Some(&b"newest"[..]), -2));
    assert_eq!(pending("b").await, crate::store::Pending::default());
    // The first three: 5, "old", -7.
    let (_, batch) = sealed(queues, 1).await;
    assert!(settle(queues, batch[2].number).await);
    let waits = pending("a").await;
    assert_eq!((waits.put.as_deref(), waits.add), (Some(&b"newest"[..]), 0));
    let (_, batch) = sealed(queues, 1).await;
    assert!(settle(queues, batch[2].number).await);
    assert_eq!(pending("a").await, crate::store::Pending::default());
    let size = size(queues).await;
    assert_eq!((size.waiting, size.bytes, size.oldest), (0, 0, Duration::ZERO));
    add(queues, "a", Change::Add(i64::MAX)).await;
    assert!(queues.enqueue(Q, &key("a"), &Change::Add(1), ROOM).await.is_err(), "a sum has an end");
    assert_eq!(self::size(queues).await.waiting, 1, "and then nothing was done");
}

/// A batch is narrowed to one change, and that is set aside and comes back, by who has the batch alone.
pub(super) async fn a_change_is_set_aside_and_comes_back(store: Harness) {
    let Some(queues) = begun(&store).await else { return };
    for of in ["a", "b", "c"] {
        add(queues, of, text(of)).await;
    }
    let (_, batch) = sealed(queues, 1).await;
    let (first, last) = (batch[0].number, batch[2].number);
    assert!(!queues.narrow(Q, 2, last, first).await.expect("an answer"), "another's");
    assert!(!queues.set_aside(Q, 1, last, "no", 1).await.expect("an answer"), "it is not alone");
    assert!(queues.narrow(Q, 1, last, first).await.expect("an answer"));
    assert_eq!(keys(&sealed(queues, 1).await.1), ["a"]);
    assert!(!queues.set_aside(Q, 2, first, "no", 1).await.expect("an answer"), "another's");
    for _ in 0..2 {
        assert!(queues.set_aside(Q, 1, first, "no", 1).await.expect("an answer"), "again is as once");
    }
    assert_eq!(queues.take_aside(Q, first, true).await.expect("an answer"), None, "its batch has not ended");
    assert!(!queues.close_aside(Q, 2, first).await.expect("an answer"), "another's");
    assert!(queues.close_aside(Q, 1, first).await.expect("an answer"));
    assert_eq!(queues.pending(Q, &key("a")).await.expect("an answer").put, None);
    let aside = queues.list_aside(Q, 10).await.expect("a list");
    assert_eq!(aside.len(), 1);
    assert_eq!((&aside[0].queued, aside[0].reason.as_str()), (&batch[0], "no"));
    store.pass(Duration::from_millis(310)).await;
    let (_, rest) = sealed(queues, 1).await;
    assert_eq!(keys(&rest), ["b", "c"]);
    assert!(queues.narrow(Q, 1, rest[1].number, rest[0].number).await.expect("an answer"));
    assert!(queues.set_aside(Q, 1, rest[0].number, "no", 1).await.is_err(), "there is no room");
    let has = size(queues).await;
    assert_eq!((has.waiting, has.set_aside), (2, 1));
    assert_eq!(queues.take_aside(Q, first, true).await.expect("an answer").as_deref(), Some("-/v/a"));
    assert_eq!(queues.take_aside(Q, first, true).await.expect("an answer"), None, "once");
    let has = size(queues).await;
    assert_eq!((has.waiting, has.set_aside), (3, 0));
    assert_eq!(queues.pending(Q, &key("a")).await.expect("an answer").put.as_deref(), Some(&b"a"[..]));
}

pub(super) async fn p9_queues_are_bounded(store: Harness) {
    let Some(queues) = begun(&store).await else { return };
    let bounds = QueueBounds { changes: 2, bytes: 41 };
    let put = async |value: &str| queues.enqueue(Q, &key("a"), &text(value), bounds).await.expect("an answer");
    assert_eq!(put(&"x".repeat(30)).await, Enqueued::Waiting(1));
    assert_eq!(put(&"x".repeat(30)).await, Enqueued::Full, "41 bytes");
    assert_eq!(put("x").await, Enqueued::Waiting(2));
    assert_eq!(put("x").await, Enqueued::Full, "2 changes");
    // A batch has no more bytes than it may, but one change at least.
    let narrow = Flusher { bytes: 10, interval: Duration::ZERO, ..flusher(1) };
    let NextBatch::Sealed { upto, .. } = queues.next_batch(Q, narrow).await.expect("an answer") else {
        panic!("there is a batch");
    };
    assert_eq!(pages(queues, upto, 1_000).await.len(), 1);
}
