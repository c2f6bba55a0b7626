//! What there is in a moment: the store, the node that holds entries, what is on its way, and what may happen next.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) incarnation: u8,
    pub(super) clock: u8,
}

/// What the handler read: the version of each tag.
pub(super) type Value = [u8; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) lease: Stamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) value: Value,
    pub(super) as_of: u8,
    pub(super) life: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Node {
    pub(super) session: u8,
    /// Whether the session has been proven.
    pub(super) open: bool,
    pub(super) trusted_until: u8,
    pub(super) life: u8,
    pub(super) at: Stamp,
    pub(super) floor: u8,
    /// The newest clear of each tag that was heard of.
    pub(super) heard: [u8; 2],
    /// The last own clear in a life of the store that was not known yet, and when.
    pub(super) own: Option<(Stamp, u8)>,
    /// Signals of a session that has not been proven yet: clock before, stamp, tag.
    pub(super) early: Vec<(u8, Stamp, usize)>,
    pub(super) held: [Option<Held>; 2],
    /// An answer of the store that is on its way: key, value, and the clock at which nothing covered it.
    pub(super) reading: Option<(usize, Value, Stamp)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Clearing {
    pub(super) tag: usize,
    pub(super) version: u8,
    pub(super) at: Stamp,
    pub(super) since: u8,
    /// Whether the other node must have heard.
    pub(super) due: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Message {
    Signal { session: u8, before: u8, incarnation: u8, clock: u8, tag: usize },
    Proof { session: u8, incarnation: u8, clock: u8, asked: u8 },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct State {
    pub(super) now: u8,
    pub(super) at: Stamp,
    pub(super) marks: [u8; 2],
    pub(super) entries: [Option<Entry>; 2],
    /// The session that the store sends signals to, and whether the node holds a lease.
    pub(super) subscribed: Option<u8>,
    pub(super) leased: bool,
    /// The truth: a version for each tag.
    pub(super) written: [u8; 2],
    /// Clears that are acknowledged: tag, version, when, by whom.
    pub(super) acked: Vec<(usize, u8, u8, usize)>,
    /// The node that holds entries.
    pub(super) node: Node,
    /// Handlers that run, one on each node: the key, the lease, what was read.
    pub(super) filling: [Option<(usize, Stamp, Value)>; 2],
    /// Clears that were done and are not acknowledged yet, one on each node.
    pub(super) clearing: [Option<Clearing>; 2],
    /// Up to which clock the node has acknowledged.
    pub(super) heard: Stamp,
    /// Sorted: their order is no one's business.
    pub(super) messages: Vec<Message>,
    pub(super) used: Used,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Used {
    pub(super) clears: u8,
    pub(super) fills: u8,
    pub(super) reads: u8,
    pub(super) proofs: u8,
    pub(super) lost: u8,
    pub(super) restarts: u8,
    pub(super) reconnects: u8,
    pub(super) crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Tick,
    Reconnect,
    Prove,
    Deliver(Message),
    Lose(Message),
    StartFill(usize, usize),
    EndFill(usize),
    StartRead(usize),
    EndRead,
    Clear(usize, usize),
    Acknowledge(usize),
    Restart,
    Crash,
}

impl Node {
    /// Nothing that is held may be served any more, and nothing before the next proof.
    pub(super) fn void(&mut self) {
        self.life += 1;
        self.trusted_until = 0;
        self.held = [None, None];
    }

    /// Begins anew at a stamp, knowing nothing of what was before.
    pub(super) fn begin(&mut self, at: Stamp) {
        (self.at, self.floor) = (at, at.clock);
        if let Some((own, _)) = self.own
            && own.incarnation == at.incarnation
        {
            self.floor = self.floor.max(own.clock);
        }
    }

    pub(super) fn hear(&mut self, before: u8, at: Stamp, tag: usize, notices_gaps: bool) {
        if at.incarnation != self.at.incarnation {
            self.void();
            self.heard = [0, 0];
            self.begin(at);
            return;
        }
        self.heard[tag] = self.heard[tag].max(at.clock);
        if before > self.at.clock && notices_gaps {
            self.void();
            self.floor = at.clock;
        }
        self.at.clock = self.at.clock.max(at.clock);
    }
}

impl State {
    pub(super) fn send(&mut self, message: Message) {
        let place = self.messages.binary_search(&message).unwrap_or_else(|place| place);
        self.messages.insert(place, message);
    }

    pub(super) fn take(&mut self, message: Message) {
        if let Ok(place) = self.messages.binary_search(&message) {
            self.messages.remove(place);
        }
    }
}
