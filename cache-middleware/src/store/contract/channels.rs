//! Channels of messages. A store that has none has nothing to show.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::harness::Harness;
use crate::store::{Channels, Hearer, MessageText, Position, Pushed};

const C: &str = "crm:tenant:things";
/// A channel that nobody has told anything yet.
const HEARD: &str = "crm:hearing:things";
const ALL: u64 = 100;
static ANNOUNCED: Bytes = Bytes::from_static(b"{\"n\":0}");

fn text(number: u64) -> Bytes {
    format!("{{\"n\":{number}}}").into()
}

async fn publish(channels: &dyn Channels, number: u64, keep: u64) -> Position {
    channels.publish(C, &text(number), keep).await.expect("it is published")
}

/// The numbers of what is kept after a position, and what they say.
async fn kept(channels: &dyn Channels, after: Position) -> Vec<(Position, MessageText)> {
    channels.since(C, after).await.expect("an answer").kept
}

pub(super) async fn messages_have_positions_without_holes(store: Harness) {
    let Some(channels) = store.channels() else { return };
    let start = channels.since(C, Position::default()).await.expect("an answer").head;
    assert_eq!((start.number, start.check), (0, 0), "nothing was published");
    let mut positions = Vec::new();
    for number in 1..=3 {
        let at = publish(channels, number, ALL).await;
        assert_eq!((at.incarnation, at.number), (start.incarnation, number));
        positions.push(at);
    }
    assert_ne!(positions[0].check, positions[1].check);
    // From the one at the position on.
    let since = channels.since(C, positions[1]).await.expect("an answer");
    assert_eq!(since.head, positions[2]);
    assert_eq!(since.kept, [(positions[1], MessageText::Text(text(2))), (positions[2], MessageText::Text(text(3)))]);
    assert!(channels.since(C, since.head).await.expect("an answer").is_nothing(since.head));
    // Channels are apart.
    let other = channels.since("crm:tenant:others", Position::default()).await.expect("an answer");
    assert_eq!((other.head.number, other.kept.len()), (0, 0));
}

pub(super) async fn p9_as_many_messages_are_kept_as_were_asked_for(store: Harness) {
    let Some(channels) = store.channels() else { return };
    let start = channels.since(C, Position::default()).await.expect("an answer").head;
    for number in 1..=2_000 {
        publish(channels, number, 10).await;
    }
    let newest = kept(channels, Position { number: 1_995, ..start }).await;
    assert_eq!(newest.len(), 6);
    let oldest = kept(channels, start).await.first().map(|(at, _)| at.number);
    assert!(oldest.is_some_and(|oldest| oldest > 1_500), "{oldest:?} is kept of 2,000");
    // None at all: the count goes on.
    let at = publish(channels, 2_001, 0).await;
    assert_eq!(at.number, 2_001);
    assert_eq!(kept(channels, start).await, []);
}

pub(super) async fn what_another_life_of_the_store_has_said_says_nothing(store: Harness) {
    let Some(channels) = store.channels() else { return };
    let at = publish(channels, 1, ALL).await;
    for other in [Position { incarnation: at.incarnation ^ 1, ..at }, Position { check: at.check ^ 1, ..at }] {
        let since = channels.since(C, other).await.expect("an answer");
        assert!(!since.is_nothing(other), "it is not ours");
        assert_eq!(since.head, at);
    }
}

#[derive(Debug, Default)]
struct Ear(Mutex<Vec<Pushed>>);

impl Ear {
    fn heard(&self) -> Vec<Pushed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first such message, while something is done again and again.
    async fn first<F: Future>(&self, such: impl Fn(&Pushed) -> bool, again: impl Fn() -> F) -> Pushed {
        for _ in 0..1_000 {
            again().await;
            if let Some(found) = self.heard().into_iter().find(&such) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing is heard for 5 s");
    }
}

impl Hearer for Ear {
    fn heard(&self, pushed: Pushed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pushed);
    }

    fn hears(&self) {}
}

pub(super) async fn who_listens_hears_what_begins_so(store: Harness) {
    let Some(channels) = store.channels() else { return };
    let ear = Arc::new(Ear::default());
    let hearing = channels.listen("crm:", ear.clone());
    let of_channel = |pushed: &Pushed| pushed.channel == HEARD;
    // It may take a moment until it hears.
    let first = ear.first(of_channel, || channels.announce(HEARD, &ANNOUNCED)).await;
    assert_eq!(
        first,
        Pushed { channel: HEARD.to_owned(), position: None, payload: MessageText::Text(ANNOUNCED.clone()) }
    );
    let at = channels.publish(HEARD, &text(1), 0).await.expect("it is published");
    let last = ear.first(|pushed| of_channel(pushed) && pushed.position.is_some(), || ready(())).await;
    assert_eq!(
        last,
        Pushed { channel: HEARD.to_owned(), position: Some((at, 0)), payload: MessageText::Text(text(1)) }
    );
    drop(hearing);
}
