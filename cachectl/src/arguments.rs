//! What is asked on the command line.

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

const AFTER: &str = "\
Exit codes: 0 done, 1 it could not be done, 2 wrong usage, 3 something was found (doctor, --verify, degraded health),
4 unhealthy.

The connection is set up by the variables of the service: REDIS_URL, or REDIS_HOST, REDIS_PORT and REDIS_PASSWORD;
CACHE_NAMESPACE, CACHE_ENCRYPTION_KEY, CACHE_REDIS_TIMEOUT, REDIS_TLS_CA, REDIS_TLS_CERT, REDIS_TLS_KEY.";

/// Looks into, clears and examines a running cache in Redis.
#[derive(Debug, Parser)]
#[command(name = "cachectl", version, after_help = AFTER)]
pub(crate) struct Arguments {
    /// The Redis, such as redis://127.0.0.1:6379; otherwise REDIS_URL.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// The namespace of the service; otherwise CACHE_NAMESPACE, or `cache`.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The tenant whose tags and keys are meant; without it those of no tenant.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Prints JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How Redis is, and how much is in it.
    Stats,
    /// Tags and how many entries they have, the largest first.
    Tags {
        /// How many are looked at.
        #[arg(long, default_value_t = 10_000)]
        most: usize,
    },
    /// The live entries behind a tag.
    Entries {
        /// Such as `teacher:7`.
        tag: String,
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// What is stored under a key: as `entries` prints it, or as a key template names it.
    Show {
        /// The key.
        #[arg(allow_hyphen_values = true)]
        key: String,
    },
    /// What a clear would remove now.
    Preview {
        #[command(flatten)]
        what: What,
    },
    /// Clears: says what it would do, and does it with --yes.
    Clear {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        how: How,
    },
    /// Makes stale: says what it would do, and does it with --yes.
    Expire {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        how: How,
    },
    /// Clears and signals of all nodes as they happen, until it is interrupted.
    Watch {
        /// Ends after so many.
        #[arg(long)]
        count: Option<u64>,
    },
    /// The verdict on Redis, with reasons.
    Health,
    /// Looks at every key: does the index fit the entries?
    Doctor,
    /// Prints a completion script for a shell.
    Completions {
        /// Which.
        shell: Shell,
    },
}

/// What is cleared or expired: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct What {
    /// Every entry with one of the tags; may be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Every variant of the keys, as key templates name them; may be given several times.
    #[arg(long = "key", value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) keys: Vec<String>,
    /// Everything that the tenant of --tenant has.
    #[arg(long, requires = "tenant")]
    pub(crate) whole_tenant: bool,
}

/// How it is done.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Does it. Without it only says what would be done.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Looks again when it is done, and fails if something older is still there.
    #[arg(long, requires = "yes")]
    pub(crate) verify: bool,
}
