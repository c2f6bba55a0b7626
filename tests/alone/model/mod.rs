//! The protocol of coherence as a model, explored exhaustively: two nodes, two keys, two tags, a store that restarts from a
//! snapshot, nodes that crash and connections that end, messages that are lost, late and out of order, slow handlers, late
//! answers. `docs/coherence.md` explains it with the same words.
//!
//! P1 holds in every state that can be reached, in both modes; and with any one safeguard taken out the checker finds a
//! state in which it does not.

mod protocol;
mod state;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::protocol::{Budget, Mode, Protocol, Safeguard};
use self::state::{Action, State};

/// A request that arrives in this state is answered with nothing that it must not be answered with.
const P1: &str = "P1: no answer is older than a clear that is in effect";

const ALIVE: &str = "a clear is acknowledged while a node serves from memory";

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.act(&mut next, action).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(P1, Protocol::holds),
            // A model in which nothing is ever held or cleared would prove nothing.
            Property::sometimes(ALIVE, |protocol: &Self, state: &State| {
                !state.acked.is_empty() && (0..2).any(|key| protocol.served(state, key).is_some())
            }),
        ]
    }
}

const CALM: Budget =
    Budget { clears: 1, fills: 1, reads: 1, proofs: 2, ticks: 2, lost: 0, restarts: 0, reconnects: 1, crashes: 0 };
const LOST: Budget = Budget { lost: 1, clears: 2, reads: 0, ticks: 1, ..CALM };

const ENDED: Budget = Budget { reconnects: 2, reads: 0, ..CALM };
const RESTARTED: Budget = Budget { restarts: 1, reconnects: 2, reads: 0, ..CALM };
const CRASHED: Budget = Budget { crashes: 1, reconnects: 2, reads: 0, ..CALM };

fn explore(mode: Mode, without: Option<Safeguard>, budget: Budget) -> (usize, Option<Vec<Action>>) {
    let protocol = Protocol { mode, without, budget };
    if without.is_some() {
        // Depth first: any counter-example will do.
        let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
        return (checker.unique_state_count(), checker.discovery(P1).map(stateright::Path::into_actions));
    }
    let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    checker.assert_any_discovery(ALIVE);
    (checker.unique_state_count(), checker.discovery(P1).map(stateright::Path::into_actions))
}

#[test]
fn p1_holds_in_every_state_that_can_be_reached() {
    let _alone = crate::TURN.blocking_lock();
    for mode in [Mode::Bounded, Mode::Strict] {
        for (what, budget) in [
            ("late answers", CALM),
            // Two clears make a gap; strict ones differ in what they wait for, which one shows.
            ("lost messages", if mode == Mode::Bounded { LOST } else { Budget { clears: 1, ..LOST } }),
            ("connections that end", ENDED),
            ("a store that restarts", RESTARTED),
            ("a node that crashes", CRASHED),
        ] {
            let (states, counter_example) = explore(mode, None, budget);
            println!("{mode:?}, {what}: {states} states");
            assert_eq!(counter_example, None, "{mode:?}, {what}");
            assert!(states > 10_000, "{states} states are too few to prove anything");
        }
    }
}

#[test]
fn p1_fails_without_any_one_safeguard() {
    let _alone = crate::TURN.blocking_lock();
    for safeguard in Safeguard::ALL {
        let mode = if safeguard.is_for_strict() { Mode::Strict } else { Mode::Bounded };
        let budget = match safeguard {
            Safeguard::GapsInSignals | Safeguard::GapsInProofs => LOST,
            Safeguard::NewSession => ENDED,
            Safeguard::Incarnation => RESTARTED,
            _ => CALM,
        };
        let (_, counter_example) = explore(mode, Some(safeguard), budget);
        let actions = counter_example.unwrap_or_else(|| panic!("nothing goes wrong without {safeguard:?}"));
        println!("without {safeguard:?}: {actions:?}");
    }
}
