//! Tests that need the machine to themselves, one after the other: what is timed, what tortures, what explores.

mod clears; // how long a clear takes, and how long it holds up others (P3)
mod failure_modes; // what each fault of Redis costs (P8)
mod model; // the protocol of coherence, explored exhaustively, and with each safeguard taken out
mod torture; // node processes under faults, every answer checked (P1, P8)

use tokio::sync::Mutex;

/// Held by the test whose turn it is.
static TURN: Mutex<()> = Mutex::const_new(());
