//! Policies: how long, for which statuses, and by what a response is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::ConfigError;

/// The largest body stored unless a policy says otherwise: 1 MiB (rule R9).
pub const DEFAULT_MAX_BODY: usize = 1 << 20;

/// The most bytes a policy may allow: what one Redis value of 512 MB holds is far more than a cache should move.
pub const LARGEST_MAX_BODY: usize = 64 << 20;

/// The longest TTL: 10 years.
pub const LONGEST_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// A time to live: by its name, or as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// A name registered with [`crate::CacheManagerBuilder::ttl`].
    Named(&'static str),
    /// A duration.
    For(Duration),
}

/// The statuses that a shared HTTP cache stores unless told otherwise: those that mean the same to everybody (R3).
pub const HTTP_STATUSES: [u16; 10] = [200, 203, 204, 301, 302, 303, 307, 308, 404, 410];

/// How long a response is fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// As long as the policy says.
    Ttl(Duration),
    /// As long as the response says (RFC 9111).
    ByResponse(HttpRules),
}

/// How the headers of responses are taken by a shared HTTP cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRules {
    /// The fields that go before `Cache-Control`, in their order (RFC 9213); names in lower case.
    pub targets: Vec<String>,
    /// How long entries are kept after their freshness, to be revalidated.
    pub keep: Duration,
    /// The longest windows of RFC 5861 that are granted.
    pub longest_stale: Duration,
    /// Whether `must-revalidate` lets responses to requests with credentials be stored (RFC 9111 section 3.5), as
    /// `public` and `s-maxage` do.
    pub trust_must_revalidate: bool,
    /// Whether the windows of RFC 5861 hold beside `s-maxage`, which forbids them by RFC 9111 section 5.2.2.10.
    pub s_maxage_allows_stale: bool,
    /// Whether a 304 changes the stored `Content-Type`.
    pub merge_content_type: bool,
}

impl Default for HttpRules {
    fn default() -> Self {
        Self {
            targets: vec!["app-cache-control".to_owned()],
            keep: Duration::from_secs(600),
            longest_stale: Duration::from_secs(24 * 3_600),
            trust_must_revalidate: false,
            s_maxage_allows_stale: false,
            merge_content_type: false,
        }
    }
}

/// How many entries a policy may have (R13): whoever can make up requests could fill the store with their responses. Beyond
/// a bound, responses pass and are not stored until others have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most variants of one target, where no identity is in the key.
    pub variants: u64,
    /// The most entries of one route, in each partition of the store.
    pub entries: u64,
}

impl Bounds {
    /// 32 variants, a million entries.
    pub const DEFAULT: Self = Self { variants: 32, entries: 1_000_000 };
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What the caches of others may do with a response, which no clear of this one reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Downstream {
    /// How long a client may use it without asking. `None`: it asks each time.
    pub client_ttl: Option<Duration>,
    /// How long a CDN may (`CDN-Cache-Control`, RFC 9213). `None`: what a client may.
    pub cdn_ttl: Option<Duration>,
    /// The fields that name its tags.
    pub tag_fields: TagFields,
}

/// The fields in which CDNs are told the tags of a response, so that their own clears reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TagFields {
    /// `Surrogate-Key`: separated by spaces.
    pub surrogate_key: bool,
    /// `Cache-Tag`: separated by commas.
    pub cache_tag: bool,
    /// `Edge-Cache-Tag`: separated by commas.
    pub edge_cache_tag: bool,
    /// `Cache-Groups`: a list of strings (RFC 9875).
    pub cache_groups: bool,
}

/// A coding that responses are stored in (RFC 9110 section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coding {
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
    /// `gzip`.
    Gzip,
}

impl Coding {
    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// What a response must be like to be stored, and for how long it is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRules {
    /// How long it is fresh.
    pub freshness: Freshness,
    /// The statuses that are stored; 200 unless said otherwise.
    pub statuses: Vec<u16>,
    /// The largest body that is stored.
    pub max_body: usize,
    /// Whether the response is the same for all callers, so that credentials in the request do not matter (R4).
    pub public: bool,
    /// The request headers that select a variant, in lower case.
    pub vary: Vec<String>,
    /// The cookies that are left out of what is stored; a response that sets others is not stored (R5).
    pub strip_cookies: Vec<String>,
    /// The codings it is stored in beside its own, the best first.
    pub compress: Vec<Coding>,
    /// The most variants of one target, and the most entries of one route.
    pub bounds: Bounds,
    /// What the caches of others may do with it.
    pub downstream: Downstream,
    /// How it is held in L1.
    pub holding: Holding,
}

/// How entries are held in the memory of nodes (L1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// The longest they are held; zero: not at all. `None`: what the manager says, 60 s by default.
    pub l1_ttl: Option<Duration>,
    /// Whether every clear that covers them waits until it is in effect on all nodes.
    pub strict: bool,
}

impl StoreRules {
    /// The defaults: status 200, 1 MiB, not public, no variants.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self {
            freshness: Freshness::Ttl(ttl),
            statuses: vec![200],
            max_body: DEFAULT_MAX_BODY,
            public: false,
            vary: Vec::new(),
            strip_cookies: Vec::new(),
            compress: Vec::new(),
            bounds: Bounds::default(),
            downstream: Downstream::default(),
            holding: Holding::default(),
        }
    }
}

/// Statuses that no policy may store: they are no final, complete answers (R3).
#[must_use]
pub const fn is_storable_status(status: u16) -> bool {
    matches!(status, 200..=599) && status != 206 && status != 304
}

/// Whether responses may be told apart by a request header (R6): by its name, and no credentials.
#[must_use]
pub fn is_vary_header(name: &str) -> bool {
    is_token(name) && !matches!(name, "cookie" | "authorization" | "proxy-authorization")
}

/// Whether a name is a token (RFC 9110 section 5.6.2), as those of header fields and cookies are; `*` is kept out.
pub(crate) fn is_token(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

/// The registered TTLs.
#[derive(Debug, Clone)]
pub(crate) struct TtlTable {
    named: BTreeMap<String, Duration>,
}

impl TtlTable {
    pub(crate) fn new(default: Duration) -> Self {
        Self { named: BTreeMap::from([("default".to_owned(), default)]) }
    }

    pub(crate) fn insert(&mut self, name: &str, duration: Duration) {
        self.named.insert(name.to_owned(), duration);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Duration> {
        self.named.get(name).copied()
    }

    /// Why there is no such name, with the one that was probably meant.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.named.keys().map(String::as_str).collect();
        let hint = hint(name, &known);
        format!("no TTL is registered under {name:?}{hint} Registered: {}", known.join(", "))
    }
}

/// Reads how long entries are held in L1: a duration as a TTL is one, or `0s` for not at all.
///
/// # Errors
/// What is wrong, and what is accepted.
pub fn parse_l1_ttl(text: &str) -> Result<Duration, ConfigError> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { parse_ttl(text) }
}

/// Reads a duration such as `5m`, `1h 30m` or `500ms`.
///
/// # Errors
/// What is wrong, and what is accepted.
pub fn parse_ttl(text: &str) -> Result<Duration, ConfigError> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration < Duration::from_millis(1) || duration > LONGEST_TTL => {
            Err(ConfigError::new(format!("{text:?} is out of range: a TTL is 1ms to 10 years")))
        }
        Ok(duration) => Ok(duration),
        Err(error) => {
            Err(ConfigError::new(format!("{text:?} is not a duration ({error}); write it as 30s, 5m, 1h 30m or 500ms")))
        }
    }
}

/// The candidate nearest to a word, as the end of a sentence.
pub(crate) fn hint(word: &str, candidates: &[&str]) -> String {
    nearest(word, candidates).map_or_else(|| ".".to_owned(), |near| format!("; did you mean {near:?}?"))
}

/// The candidate nearest to a word, if one is near enough to have been meant.
fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 6).max(2.min(word.len() / 2)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused_with_what_is_accepted() {
        assert_eq!(parse_ttl("1h 30m").unwrap(), Duration::from_secs(5_400));
        for bad in ["", "5", "five minutes", "-5m", "0s", "11years"] {
            let refused = parse_ttl(bad).unwrap_err().to_string();
            assert!(refused.contains(&format!("{bad:?}")), "{refused}");
        }
    }

    #[test]
    fn the_name_that_was_meant_is_found() {
        assert_eq!(nearest("sesion-list", &["session-detail", "session-list"]), Some("session-list"));
        assert_eq!(nearest("x", &["session-list"]), None);
    }
}
