//! What may happen in the fleet, and what it does.

use super::state::{Action, Clearing, Entry, Held, Message, Node, Stamp, State, Value};

/// What may be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Safeguard {
    /// A fill is refused if a mark is newer than its lease.
    MarksInFills,
    /// A signal that does not follow the last one voids what is held.
    GapsInSignals,
    /// A proof with a clock that no signal told voids what is held.
    GapsInProofs,
    /// A proof is dated from before the question.
    ProofsAreOld,
    /// Trust ends.
    TrustEnds,
    /// What was read is not held if a clear that was heard of since covers it.
    LateReads,
    /// What was read before a gap, or before the session, is not held.
    Floor,
    /// A store that restarts is another.
    Incarnation,
    /// A new session begins with nothing.
    NewSession,
    /// A node's own clear is in effect on it when it is acknowledged.
    OwnClears,
    /// Signals that come before the first proof of their session count from there on.
    EarlySignals,
    /// A strict clear waits for acknowledgements.
    Acknowledgements,
    /// A strict clear waits for the lease of a node that does not acknowledge.
    Leases,
}

impl Safeguard {
    pub(super) const ALL: [Self; 13] = [
        Self::MarksInFills,
        Self::GapsInSignals,
        Self::GapsInProofs,
        Self::ProofsAreOld,
        Self::TrustEnds,
        Self::LateReads,
        Self::Floor,
        Self::Incarnation,
        Self::NewSession,
        Self::OwnClears,
        Self::EarlySignals,
        Self::Acknowledgements,
        Self::Leases,
    ];

    pub(super) fn is_for_strict(self) -> bool {
        matches!(self, Self::EarlySignals | Self::Acknowledgements | Self::Leases)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    Bounded,
    Strict,
}

/// How often each thing may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) clears: u8,
    pub(super) fills: u8,
    pub(super) reads: u8,
    pub(super) proofs: u8,
    pub(super) ticks: u8,
    pub(super) lost: u8,
    pub(super) restarts: u8,
    pub(super) reconnects: u8,
    pub(super) crashes: u8,
}

pub(super) struct Protocol {
    pub(super) mode: Mode,
    pub(super) without: Option<Safeguard>,
    pub(super) budget: Budget,
}

/// Ticks from a question to the end of the trust in its answer.
const LEASE: u8 = 1;

/// The tags of each key.
const TAGS: [[bool; 2]; 2] = [[true, false], [true, true]];

impl Protocol {
    fn has(&self, safeguard: Safeguard) -> bool {
        self.without != Some(safeguard)
    }

    /// Node 0 holds entries and hears; node 1 stands for all others. Both run handlers and clear.
    pub(super) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend([
            Action::Tick,
            Action::Restart,
            Action::Reconnect,
            Action::Prove,
            Action::Crash,
            Action::EndRead,
        ]);
        for node in 0..2 {
            actions.extend([Action::EndFill(node), Action::Acknowledge(node)]);
            for index in 0..2 {
                actions.extend([Action::StartFill(node, index), Action::Clear(node, index)]);
            }
        }
        actions.extend([Action::StartRead(0), Action::StartRead(1)]);
        for message in &state.messages {
            actions.push(Action::Deliver(*message));
            // A proof that is lost is one that was not asked for.
            if matches!(message, Message::Signal { .. }) {
                actions.push(Action::Lose(*message));
            }
        }
    }

    /// Does something; says whether it was possible.
    pub(super) fn act(&self, state: &mut State, action: Action) -> bool {
        let within = |used: &mut u8, bound: u8| {
            *used += 1;
            *used <= bound
        };
        let budget = &self.budget;
        match action {
            Action::Tick => {
                state.now += 1;
                state.now <= budget.ticks
            }
            Action::Reconnect => {
                let own = &mut state.node;
                own.session += 1;
                own.open = false;
                own.early.clear();
                if self.has(Safeguard::NewSession) {
                    own.void();
                }
                state.subscribed = Some(own.session);
                within(&mut state.used.reconnects, budget.reconnects)
            }
            Action::Prove => {
                let Some(session) = state.subscribed else { return false };
                state.leased = true;
                let Stamp { incarnation, clock } = state.at;
                state.send(Message::Proof { session, incarnation, clock, asked: state.now });
                within(&mut state.used.proofs, budget.proofs)
            }
            Action::Deliver(message) => {
                state.take(message);
                self.deliver(state, message);
                true
            }
            Action::Lose(message) => {
                state.take(message);
                within(&mut state.used.lost, budget.lost)
            }
            Action::StartFill(node, key) => {
                let (lease, value) = (state.at, state.written);
                let possible = state.filling[node].is_none();
                state.filling[node] = Some((key, lease, value));
                possible && within(&mut state.used.fills, budget.fills)
            }
            Action::EndFill(node) => self.end_fill(state, node),
            Action::StartRead(key) => {
                let Some(value) = self.in_store(state, key) else { return false };
                let possible = state.node.reading.is_none();
                state.node.reading = Some((key, value, state.at));
                possible && within(&mut state.used.reads, budget.reads)
            }
            Action::EndRead => self.end_read(&mut state.node),
            Action::Clear(node, tag) => {
                if state.clearing[node].is_some() {
                    return false;
                }
                self.clear(state, node, tag);
                within(&mut state.used.clears, budget.clears)
            }
            Action::Acknowledge(node) => self.acknowledge(state, node),
            Action::Restart => {
                // From a snapshot that has the entries and not the last marks; connections are gone, leases too.
                if self.has(Safeguard::Incarnation) {
                    state.at.incarnation += 1;
                }
                state.marks = [0, 0];
                state.subscribed = None;
                state.leased = false;
                within(&mut state.used.restarts, budget.restarts)
            }
            Action::Crash => {
                let session = state.node.session;
                // Whoever waits for a response of it waits in vain; what it has written stays written.
                state.node = Node { session, ..Node::default() };
                (state.subscribed, state.filling[0], state.clearing[0]) = (None, None, None);
                within(&mut state.used.crashes, budget.crashes)
            }
        }
    }

    fn end_fill(&self, state: &mut State, node: usize) -> bool {
        let Some((key, lease, value)) = state.filling[node].take() else { return false };
        let covered = (0..2).any(|tag| TAGS[key][tag] && state.marks[tag] > lease.clock);
        if lease.incarnation != state.at.incarnation || (covered && self.has(Safeguard::MarksInFills)) {
            return true;
        }
        state.entries[key] = Some(Entry { value, lease });
        if node == 0 && state.node.reading.is_none() {
            // The reply, on its way.
            state.node.reading = Some((key, value, state.at));
        }
        true
    }

    fn end_read(&self, node: &mut Node) -> bool {
        let Some((key, value, at)) = node.reading.take() else { return false };
        let known = node.session > 0 && at.incarnation == node.at.incarnation;
        let behind = at.clock < node.floor && self.has(Safeguard::Floor);
        let covered = (0..2).any(|tag| TAGS[key][tag] && node.heard[tag] > at.clock);
        if known && !behind && !(covered && self.has(Safeguard::LateReads)) {
            // Without the guard, what was heard of before is not looked at again.
            let as_of = if self.has(Safeguard::LateReads) { at.clock } else { at.clock.max(node.at.clock) };
            node.held[key] = Some(Held { value, as_of, life: node.life });
        }
        true
    }

    fn clear(&self, state: &mut State, node: usize, tag: usize) {
        state.written[tag] += 1;
        let before = state.at.clock;
        state.at.clock += 1;
        let Stamp { incarnation, clock } = state.at;
        state.marks[tag] = clock;
        if let Some(session) = state.subscribed {
            state.send(Message::Signal { session, before, incarnation, clock, tag });
        }
        let due = self.mode == Mode::Strict && node == 1 && state.leased;
        state.clearing[node] = Some(Clearing { tag, version: state.written[tag], at: state.at, since: state.now, due });
    }

    fn acknowledge(&self, state: &mut State, node: usize) -> bool {
        let now = state.now;
        let Some(Clearing { tag, version, at, since, due }) = state.clearing[node] else { return false };
        let own = &mut state.node;
        let heard = state.heard >= at || !self.has(Safeguard::Acknowledgements);
        let over = now >= since + LEASE || !self.has(Safeguard::Leases);
        // After a loss of memory there may be leases that are not known.
        let complete = self.mode == Mode::Bounded || state.used.restarts == 0 || now >= since + LEASE;
        if (due && !heard && !over) || !complete {
            return false;
        }
        state.clearing[node] = None;
        if node == 0 && self.has(Safeguard::OwnClears) {
            if own.at.incarnation == at.incarnation {
                own.heard[tag] = own.heard[tag].max(at.clock);
            } else {
                own.void();
                let known = own.own.map(|(known, _)| known).filter(|known| known.incarnation == at.incarnation);
                own.own = Some((known.unwrap_or(at).max(at), now));
            }
        }
        state.acked.push((tag, version, now, node));
        true
    }

    fn deliver(&self, state: &mut State, message: Message) {
        let node = &mut state.node;
        match message {
            Message::Signal { session, before, incarnation, clock, tag } => {
                if session != node.session {
                    return;
                }
                let at = Stamp { incarnation, clock };
                if node.open {
                    node.hear(before, at, tag, self.has(Safeguard::GapsInSignals));
                } else if self.has(Safeguard::EarlySignals) {
                    node.early.push((before, at, tag));
                    node.early.sort_unstable();
                }
                // Acknowledged: a node that is not open serves nothing, and may say so.
                state.heard = state.heard.max(at);
            }
            Message::Proof { session, incarnation, clock, asked } => {
                if session != node.session {
                    return;
                }
                let at = Stamp { incarnation, clock };
                if node.own.is_some_and(|(own, when)| own.incarnation != incarnation && asked <= when) {
                    return;
                }
                if !node.open || at.incarnation != node.at.incarnation {
                    let keep = !self.has(Safeguard::NewSession) && at.incarnation == node.at.incarnation;
                    if !keep {
                        node.void();
                    }
                    if at.incarnation != node.at.incarnation {
                        node.heard = [0, 0];
                    }
                    node.open = true;
                    node.begin(at);
                    for (before, signal, tag) in std::mem::take(&mut node.early) {
                        if signal.incarnation != at.incarnation || signal.clock > at.clock {
                            node.hear(before, signal, tag, self.has(Safeguard::GapsInSignals));
                        }
                    }
                } else if at.clock > node.at.clock {
                    if self.has(Safeguard::GapsInProofs) {
                        node.void();
                        node.floor = at.clock;
                    }
                    node.at.clock = at.clock;
                }
                let dated = if self.has(Safeguard::ProofsAreOld) { asked } else { state.now };
                node.trusted_until = node.trusted_until.max(dated + LEASE);
            }
        }
    }

    /// What the store would answer a read with.
    fn in_store(&self, state: &State, key: usize) -> Option<Value> {
        let Entry { value, lease } = state.entries[key]?;
        let covered = (0..2).any(|tag| TAGS[key][tag] && state.marks[tag] > lease.clock);
        (lease.incarnation == state.at.incarnation && !covered).then_some(value)
    }

    /// What node 0 would answer a request with from its memory.
    pub(super) fn served(&self, state: &State, key: usize) -> Option<Value> {
        let own = &state.node;
        let held = own.held[key]?;
        let trusted = state.now < own.trusted_until || (!self.has(Safeguard::TrustEnds) && own.trusted_until > 0);
        let covered = (0..2).any(|tag| TAGS[key][tag] && own.heard[tag] > held.as_of);
        (trusted && held.life == own.life && !covered).then_some(held.value)
    }

    /// Whether every answer that could be given now may be given.
    pub(super) fn holds(&self, state: &State) -> bool {
        let bound = if self.mode == Mode::Bounded { LEASE } else { 0 };
        let older = |value: Value, key: usize, in_memory: bool| {
            state.acked.iter().any(|(tag, version, when, by)| {
                let in_effect = !in_memory || *by == 0 || state.now >= when + bound;
                TAGS[key][*tag] && value[*tag] < *version && in_effect
            })
        };
        (0..2).all(|key| {
            self.in_store(state, key).is_none_or(|value| !older(value, key, false))
                && self.served(state, key).is_none_or(|value| !older(value, key, true))
        })
    }
}
