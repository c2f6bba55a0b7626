//! What the nodes of a fleet tell each other through their store: signals of clears, and who hears them.
//!
//! A node that keeps entries in its own memory (L1) joins the fleet with [`super::Store::join`]. From then on the store
//! tells its [`Listener`] of every clear and, again and again, *proves* up to which clock and since when nothing was
//! missed. What a node makes of that is in `docs/coherence.md`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Receipt;
use crate::entry::Stamp;
use crate::error::StoreError;
use crate::key::Key;
use crate::time::Moment;

/// Which node of a fleet: a random number, drawn at its start. 0 is nobody.
///
/// At work: [`Member`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who clears, and whether every node must have heard of it.
///
/// At work: [`super::Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clearing {
    /// The node that clears.
    pub by: NodeId,
    /// Whether [`Member::settle`] shall wait for the other nodes.
    pub strict: bool,
    /// For how long after it fills are refused whose entries have a mark of the targets: what handlers read meanwhile may be
    /// older than the clear, where a database is read through replicas that lag.
    pub settle: Duration,
}

/// What a signal says was cleared.
///
/// At work: [`Member`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// What has this mark.
    Mark(String),
    /// What matches a pattern, or everything.
    Many,
}

/// A clear, as told to the other nodes.
///
/// At work: [`Member`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The clock before the clear: a node that has not seen it has missed a signal.
    pub before: u64,
    /// The clock after it, and the incarnation of both.
    pub at: Stamp,
    /// Whether who cleared waits for an acknowledgement.
    pub strict: bool,
    /// Who cleared.
    pub by: NodeId,
    /// What was cleared.
    pub told: Vec<Told>,
}

impl Signal {
    /// Reads `v2 <incarnation> <before> <clock> <strict> <who> <targets>`, as `scripts/parts/clears.lua` writes it; `None` for
    /// anything else.
    #[cfg(any(feature = "redis", test))]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(7, ' ');
        if fields.next()? != "v2" {
            return None;
        }
        let incarnation = u64::from_str_radix(fields.next()?, 16).ok()?;
        let before = fields.next()?.parse().ok()?;
        let clock = fields.next()?.parse().ok()?;
        let strict = match fields.next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let by = NodeId(u64::from_str_radix(fields.next()?, 16).ok()?);
        let mut rest = fields.next()?;
        let mut told = Vec::new();
        while !rest.is_empty() {
            let (head, after) = rest.split_once(':')?;
            let (kind, length) = head.split_at_checked(1)?;
            let (text, after) = after.split_at_checked(length.parse().ok()?)?;
            told.push(match kind {
                "m" => Told::Mark(text.to_owned()),
                "p" | "a" => Told::Many,
                _ => return None,
            });
            rest = after;
        }
        let at = Stamp { incarnation, clock };
        (before < clock).then_some(Self { before, at, strict, by, told })
    }
}

/// What a node makes of what its store tells it. Calls about one partition come one after another, in the order in which
/// the store did what they tell. They must not block.
///
/// At work: [`Member`].
pub trait Listener: fmt::Debug + Send + Sync + 'static {
    /// A clear. `late` is how long ago it was acknowledged, as well as that can be told.
    fn signal(&self, partition: u16, session: u64, signal: &Signal, late: Duration);

    /// Something that is no signal, in the place of one.
    fn malformed(&self, partition: u16, session: u64);

    /// At `since` or later the clock was `at`, and of this session's signals none before that is missing unless it never
    /// came. The first call of a session opens it; sessions are numbered upwards.
    fn proven(&self, partition: u16, session: u64, at: Stamp, since: Moment);

    /// The session has ended: from now on signals may be missed.
    fn closed(&self, partition: u16, session: u64);
}

/// How a flight elsewhere ended, or that it is time to ask again.
///
/// At work: [`Member`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// It landed, or its lease is over: look again.
    LookAgain,
    /// With a response that must not be shared: run the handler alone.
    GaveUp,
}

/// What a node becomes that asks to run the handler of a key.
///
/// At work: [`Member`].
#[derive(Debug)]
pub enum TakeOff<'a> {
    /// The leader, until the right is dropped.
    Lead {
        /// The right to lead.
        right: Box<dyn FlightRight + 'a>,
        /// Whether an entry may have appeared since the caller looked.
        look_again: bool,
    },
    /// One of those who wait for another node's leader.
    Wait(Waiting<'a>),
}

/// Waits until a flight on another node has ended, or the lease of its leader.
///
/// At work: [`Member`].
pub struct Waiting<'a>(pub BoxFuture<'a, Woken>);

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

/// A flight that its store may land together with the fill of its entry ([`super::Filling::landing`]).
///
/// At work: [`Member`].
#[derive(Debug, Clone)]
pub struct Landing(Arc<Flying>);

#[derive(Debug)]
struct Flying {
    name: String,
    token: String,
    has_landed: AtomicBool,
}

impl Landing {
    /// Of a flight that its store knows by these.
    #[must_use]
    pub fn new(name: String, token: String) -> Self {
        Self(Arc::new(Flying { name, token, has_landed: AtomicBool::new(false) }))
    }

    /// What is flown for, as the store names it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Who flies.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.0.token
    }

    /// It has landed: whoever has the right need not say so again.
    pub fn landed(&self) {
        self.0.has_landed.store(true, Ordering::Relaxed);
    }

    /// Whether it has landed with a fill.
    #[must_use]
    pub fn has_landed(&self) -> bool {
        self.0.has_landed.load(Ordering::Relaxed)
    }
}

/// The right to run the handler of a key, on behalf of all nodes, for as long as it is kept. Dropped without [`FlightRight::land`], it wakes those
/// who wait, and one of them leads.
///
/// At work: [`Member`].
pub trait FlightRight: fmt::Debug + Send + Sync {
    /// The flight, if its store can land it with a fill.
    fn landing(&self) -> Option<Landing> {
        None
    }

    /// Ends the flight: those who wait look again, or run alone if the response must not be shared.
    fn land(self: Box<Self>, gave_up: bool);
}

/// This node, as one of the nodes that share a store. It leaves the fleet when it is dropped.
///
/// ```no_run
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use cache_middleware::entry::Stamp;
/// use cache_middleware::key::{Key, KeySpace};
/// use cache_middleware::store::{Listener, RedisStore, Signal, Store, TakeOff, Woken};
/// use cache_middleware::time::Moment;
///
/// /// A node without a memory of its own has nothing to clear in it.
/// #[derive(Debug)]
/// struct NoMemory;
///
/// impl Listener for NoMemory {
///     fn signal(&self, _: u16, _: u64, signal: &Signal, _: Duration) {
///         println!("{} has cleared {:?}", signal.by, signal.told);
///     }
///     fn malformed(&self, _: u16, _: u64) {}
///     fn proven(&self, _: u16, _: u64, _: Stamp, _: Moment) {}
///     fn closed(&self, _: u16, _: u64) {}
/// }
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::builder("redis://127.0.0.1").connect().await?;
/// let member = store.join(Arc::new(NoMemory), Duration::ZERO).ok_or("others share it")?;
/// match member.take_off(&Key::new(None, KeySpace::Value, None, "menu")).await? {
///     TakeOff::Lead { right, .. } => right.land(false), // after the handler and the fill
///     TakeOff::Wait(waiting) => assert_eq!(waiting.0.await, Woken::LookAgain),
/// }
/// # Ok(())
/// # }
/// ```
pub trait Member: fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn id(&self) -> NodeId;

    /// Waits until it hears of every partition for the first time.
    fn ready(&self) -> BoxFuture<'_, ()>;

    /// Asks for the right to run the handler of a key (promise P6 across nodes).
    fn take_off<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<TakeOff<'a>, StoreError>>;

    /// Waits until the nodes that [`Receipt::due`] names have acknowledged the clear, or can no longer serve what it
    /// covers because their lease is over. Never longer than the longest of these leases.
    fn settle<'a>(&'a self, receipt: &'a Receipt) -> BoxFuture<'a, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_scripts_write_and_nothing_else() {
        let text = "v2 00000000000000ff 7 9 1 000000000000000a m9:t/-/a b:cp2:k*a0:";
        let expected = Signal {
            before: 7,
            at: Stamp { incarnation: 255, clock: 9 },
            strict: true,
            by: NodeId(10),
            told: vec![Told::Mark("t/-/a b:c".to_owned()), Told::Many, Told::Many],
        };
        assert_eq!(Signal::parse(text), Some(expected));
        for bad in [
            "",
            "v1 ff 7 9 1 a a0:",
            "v2 ff 7 9 2 a a0:",
            "v2 ff 9 9 0 a a0:",
            "v2 ff 7 9 0 a x1:t",
            "v2 ff 7 9 0 a m9:t",
            "v2 ff 7 9 0 a m",
            "v2 ff 7 9 0 a m1:é",
            "v2 zz 7 9 0 a ",
            "v2 ff 7 9 0",
        ] {
            assert_eq!(Signal::parse(bad), None, "{bad}");
        }
    }
}
