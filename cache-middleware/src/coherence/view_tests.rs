use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::view::{Heard, Hold, View};
use crate::entry::{MarkList, Stamp};
use crate::store::{NodeId, Signal, Told};
use crate::tag::{Mark, Tag};
use crate::time::Moment;

const BOUND: Duration = Duration::from_secs(1);

fn at(incarnation: u64, clock: u64) -> Stamp {
    Stamp { incarnation, clock }
}

fn marks() -> MarkList {
    [Mark::tag(None, &Tag::new("t").unwrap())].iter().collect()
}

fn told() -> Vec<Told> {
    marks().iter().map(|mark| Told::Mark(mark.id.to_owned())).collect()
}

fn signal(before: u64, at: Stamp) -> Signal {
    Signal { before, at, strict: false, by: NodeId(1), told: told() }
}

/// A view that was proven at 10 s of incarnation 1 and clock 10, and an entry that it holds.
fn proven() -> (View, Hold) {
    let view = View::new(64);
    view.proven(1, at(1, 10), Moment(10_000_000_000), BOUND);
    let hold = view.admit(at(1, 10), &marks()).unwrap();
    (view, hold)
}

#[test]
fn trust_ends_when_the_bound_has_passed_since_before_the_question() {
    let (view, hold) = proven();
    assert!(view.allows(&hold, Moment(10_999_999_999)));
    assert!(!view.allows(&hold, Moment(11_000_000_000)));
    // A proof that is older than one before adds nothing.
    view.proven(1, at(1, 10), Moment(9_000_000_000), BOUND);
    assert!(view.allows(&hold, Moment(10_999_999_999)));
}

#[test]
fn a_clear_covers_what_was_read_before_it_and_nothing_else() {
    let (view, hold) = proven();
    let now = Moment(10_500_000_000);
    assert_eq!(view.signal(1, &signal(10, at(1, 20))), Heard::InOrder);
    assert!(!view.allows(&hold, now));
    assert!(view.admit(at(1, 19), &marks()).is_none());
    let newer = view.admit(at(1, 20), &marks()).unwrap();
    assert!(view.allows(&newer, now));
    // The same one again, late.
    assert_eq!(view.signal(1, &signal(10, at(1, 20))), Heard::InOrder);
    assert!(view.allows(&newer, now));
}

#[test]
fn what_is_heard_before_the_first_proof_of_a_session_counts_from_there_on() {
    let view = View::new(64);
    view.signal(2, &signal(5, at(1, 10)));
    view.signal(2, &signal(10, at(1, 20)));
    // The question was answered between the two.
    view.proven(2, at(1, 10), Moment(10_000_000_000), BOUND);
    assert!(view.has_seen(at(1, 20)));
    assert!(view.admit(at(1, 15), &marks()).is_none());
    // A session that was closed is not heard any more.
    view.closed(2);
    assert_eq!(view.proven(2, at(1, 20), Moment(10_000_000_000), BOUND), Heard::Ignored);
    assert!(!view.is_trusted(Moment(10_000_000_001)));
}

#[test]
fn an_own_clear_in_a_life_that_is_not_known_yet_counts_when_it_is() {
    let (view, _) = proven();
    view.own(at(2, 7), &told(), Moment(10_100_000_000));
    // The answer to a question from before it, of the life before.
    assert_eq!(view.proven(1, at(1, 10), Moment(10_050_000_000), BOUND), Heard::Ignored);
    assert!(!view.is_trusted(Moment(10_100_000_001)));
    view.proven(1, at(2, 5), Moment(10_050_000_000), BOUND);
    assert!(view.admit(at(2, 6), &marks()).is_none());
    assert!(view.admit(at(2, 7), &marks()).is_some());
}

/// Fails when `allows` reads the life before the table (which is emptied for another life).
#[test]
fn an_emptied_table_brings_nothing_back() {
    for round in 0..2_000 {
        let (view, hold) = proven();
        view.own(at(1, 20), &told(), Moment(10_000_000_000));
        let (view, go) = (Arc::new(view), Arc::new(AtomicBool::new(false)));
        let reader = std::thread::spawn({
            let (view, go, hold) = (view.clone(), go.clone(), hold.clone());
            move || {
                while !go.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
                (0..200).any(|_| view.allows(&hold, Moment(10_000_000_001)))
            }
        });
        go.store(true, Ordering::SeqCst);
        view.signal(1, &signal(20, at(2, 1)));
        view.proven(1, at(2, 1), Moment(10_000_000_000), BOUND);
        assert!(!reader.join().unwrap(), "round {round}");
    }
}
