//! What a look at everything in a store has found.

use serde::Serialize;

/// So many problems of a kind are told by name.
#[cfg(feature = "redis")]
const MOST_TOLD: usize = 20;

/// What does not fit together.
///
/// ```
/// use cache_middleware::store::ProblemKind;
///
/// for kind in ProblemKind::ALL {
///     println!("{kind:?}: {}", kind.advice());
/// }
/// assert!(ProblemKind::Unreadable.advice().contains("CACHE_ENCRYPTION_KEY"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The index names an entry that is not there, and should be: a clear would look for it in vain.
    MemberWithoutEntry,
    /// An entry is not in the set of one of its tags: a clear of that tag frees it later than it could.
    EntryWithoutIndex,
    /// An entry without a time at which it ends.
    EntryWithoutTtl,
    /// A value in the place of an entry that is none, or cannot be opened with these keys.
    Unreadable,
    /// Keys of another version of the layout, which this one neither reads nor sweeps.
    OtherVersion,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::MemberWithoutEntry,
        Self::EntryWithoutIndex,
        Self::EntryWithoutTtl,
        Self::Unreadable,
        Self::OtherVersion,
    ];

    /// What it is, and what to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::MemberWithoutEntry => "the sweep removes it within seconds; if not, is a node running?",
            Self::EntryWithoutIndex => "clears cover it all the same; was the index changed by hand, or evicted?",
            Self::EntryWithoutTtl => "somebody has written or persisted it by hand: clear its key",
            Self::Unreadable => "it is a miss and is replaced; is CACHE_ENCRYPTION_KEY the one of the service?",
            Self::OtherVersion => "of an older or newer release: delete them when no node of it runs any more",
        }
    }
}

/// One kind of problem.
///
/// At work: [`Examination`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Problem {
    /// Which.
    pub kind: ProblemKind,
    /// How often it was found.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

/// What was looked at, and what was found.
///
/// ```no_run
/// use cache_middleware::store::{RedisStore, Store};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::builder("redis://127.0.0.1").connect().await?;
/// let found = store.examine(&|keys| println!("{keys} keys so far")).await?;
/// for problem in &found.problems {
///     println!("{} times {:?}: {}", problem.count, problem.kind, problem.kind.advice());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Examination {
    /// Keys that were looked at.
    pub keys: u64,
    /// Entries among them.
    pub entries: u64,
    /// Members of the index.
    pub index_members: u64,
    /// Clears whose entries are not all removed yet: what they cover is no problem.
    pub open_sweeps: u64,
    /// What does not fit together.
    pub problems: Vec<Problem>,
}

impl Examination {
    #[cfg(feature = "redis")]
    pub(super) fn found(&mut self, kind: ProblemKind, example: String) {
        let problem = match self.problems.iter_mut().position(|problem| problem.kind == kind) {
            Some(place) => &mut self.problems[place],
            None => {
                self.problems.push(Problem { kind, count: 0, examples: Vec::new() });
                let last = self.problems.len() - 1;
                &mut self.problems[last]
            }
        };
        problem.count += 1;
        if problem.examples.len() < MOST_TOLD {
            problem.examples.push(example);
        }
    }
}
