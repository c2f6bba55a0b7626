//! The command line.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use cache_middleware::Coherence;

pub(crate) const USAGE: &str = "torture [--minutes N | --seconds N] [--seed N] [--mode bounded|strict] \
     [--redis single|cluster] [--nodes N]";

/// How long a node may serve after it has last proven that it hears.
const LEASE: Duration = Duration::from_secs(1);

pub(crate) enum Role {
    Driver(Settings),
    /// One of the processes that the driver starts.
    Node(NodeSettings),
}

pub(crate) struct Settings {
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
    pub(crate) mode: Mode,
    pub(crate) redis: Kind,
    pub(crate) nodes: usize,
}

pub(crate) struct NodeSettings {
    pub(crate) redis: String,
    pub(crate) database: SocketAddr,
    pub(crate) mode: Mode,
    /// Where its queue is; `None` for a node without one.
    pub(crate) queue: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Bounded,
    Strict,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Bounded { "bounded" } else { "strict" })
    }
}

impl Mode {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "bounded" => Ok(Self::Bounded),
            "strict" => Ok(Self::Strict),
            _ => Err(format!("--mode is bounded or strict, not {text:?}")),
        }
    }

    pub(crate) fn coherence(self) -> Coherence {
        if self == Self::Bounded { Coherence::Bounded(LEASE) } else { Coherence::Strict(LEASE) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Cluster,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Single { "single" } else { "cluster" })
    }
}

impl Settings {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Role, String> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut settings = Self {
            duration: Duration::from_secs(60),
            seed: since.map_or(1, |since| u64::from(since.subsec_nanos())),
            mode: Mode::Bounded,
            redis: Kind::Single,
            nodes: 3,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} takes a value"));
            let number = |text: String| text.parse::<u64>().map_err(|_| format!("{name} takes a number, not {text:?}"));
            match name.as_str() {
                "--minutes" => settings.duration = Duration::from_secs(60 * number(value()?)?),
                "--seconds" => settings.duration = Duration::from_secs(number(value()?)?),
                "--seed" => settings.seed = number(value()?)?,
                "--mode" => settings.mode = Mode::parse(&value()?)?,
                "--redis" => {
                    settings.redis = match value()?.as_str() {
                        "single" => Kind::Single,
                        "cluster" => Kind::Cluster,
                        other => return Err(format!("--redis is single or cluster, not {other:?}")),
                    };
                }
                "--nodes" => settings.nodes = usize::try_from(number(value()?)?.clamp(1, 64)).unwrap_or(3),
                "--node" => {
                    let (redis, database, mode, queue) = (value()?, value()?, value()?, value()?);
                    let queue = Some(queue).filter(|queue| queue != "-");
                    let database = database
                        .parse()
                        .map_err(|_| "--node takes Redis, database, mode, and queue or -".to_owned())?;
                    return Ok(Role::Node(NodeSettings { redis, database, mode: Mode::parse(&mode)?, queue }));
                }
                _ => return Err(format!("there is no option {name}")),
            }
        }
        Ok(Role::Driver(settings))
    }

    /// How long after its acknowledgement a clear may not yet be in effect on another node.
    pub(crate) fn bound(&self) -> Duration {
        if self.mode == Mode::Bounded { LEASE } else { Duration::ZERO }
    }
}
