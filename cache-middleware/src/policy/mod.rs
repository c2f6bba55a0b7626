//! Policies: how long, for which statuses, and by what a response is kept.

mod adaptive;
mod ttl;
mod windows;

use std::time::Duration;

pub use adaptive::AdaptiveTtl;
pub use ttl::{LONGEST_SETTLE, LONGEST_TTL, Ttl, parse_l1_ttl, parse_ttl};
pub(crate) use ttl::{TtlTable, duration_of, hint, parse_settle, too_long};
pub(crate) use windows::is_negative;
pub use windows::{EarlyRefresh, TimeLimits, Windows};

/// The largest body stored unless a policy says otherwise: 1 MiB (rule R9).
pub const DEFAULT_MAX_BODY: usize = 1 << 20;

/// The most bytes a policy may allow: what one Redis value of 512 MB holds is far more than a cache should move.
pub const LARGEST_MAX_BODY: usize = 64 << 20;

/// The statuses that a shared HTTP cache stores unless told otherwise: those that mean the same to everybody (R3).
pub const HTTP_STATUSES: [u16; 10] = [200, 203, 204, 301, 302, 303, 307, 308, 404, 410];

/// How long a response is fresh.
///
/// At work: [`HttpRules`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// As long as the policy says.
    Ttl(Duration),
    /// As long as the response says (RFC 9111).
    ByResponse(HttpRules),
}

/// How the headers of responses are taken by a shared HTTP cache.
///
/// ```
/// use cache_middleware::policy::{Freshness, HttpRules};
///
/// let rules = HttpRules { trust_must_revalidate: true, ..HttpRules::default() };
/// assert_eq!(rules.keep.as_secs(), 600);
/// let by_response = Freshness::ByResponse(rules);
/// assert!(!matches!(by_response, Freshness::Ttl(_)));
/// ```
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
///
/// At work: [`RoutePolicy`].
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

    /// Those of one caller's entries: where an identity is in the key, every caller has variants of their own.
    pub(crate) fn with_identity(self, identity: bool) -> Self {
        Self { variants: if identity { self.entries } else { self.variants }, ..self }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What the caches of others may do with a response, which no clear of this one reaches.
///
/// At work: [`RoutePolicy`].
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
///
/// At work: [`RoutePolicy`].
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
///
/// ```
/// use cache_middleware::Coding;
///
/// assert_eq!([Coding::Brotli, Coding::Zstd, Coding::Gzip].map(Coding::token), ["br", "zstd", "gzip"]);
/// ```
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
///
/// ```
/// use std::time::Duration;
///
/// use cache_middleware::policy::StoreRules;
///
/// let rules = StoreRules::new(Duration::from_secs(300));
/// assert_eq!((rules.statuses.as_slice(), rules.max_body, rules.public), (&[200][..], 1 << 20, false));
/// ```
#[derive(Debug, Clone, PartialEq)]
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
    /// What is needed before a request is looked up.
    pub route: RoutePolicy,
}

/// What of a policy is the same for all requests and needed before one is looked up.
///
/// ```
/// use std::time::Duration;
///
/// use cache_middleware::policy::{Bounds, Downstream, RoutePolicy, TagFields, TimeLimits, Windows};
///
/// let policy = RoutePolicy {
///     bounds: Bounds { variants: 8, ..Bounds::DEFAULT },
///     windows: Windows { stale_if_error: Duration::from_secs(600), ..Windows::DEFAULT },
///     limits: TimeLimits { hard: Some(Duration::from_secs(2)), ..TimeLimits::DEFAULT },
///     downstream: Downstream { tag_fields: TagFields { cache_tag: true, ..TagFields::DEFAULT }, ..Downstream::DEFAULT },
///     ..RoutePolicy::DEFAULT
/// };
/// assert_eq!(policy.bounds.entries, 1_000_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RoutePolicy {
    /// The most variants of one target, and the most entries of one route.
    pub bounds: Bounds,
    /// What the caches of others may do with a response.
    pub downstream: Downstream,
    /// How it is held in L1.
    pub holding: Holding,
    /// How it ages beyond its TTL.
    pub windows: Windows,
    /// How long requests wait for it.
    pub limits: TimeLimits,
}

/// How entries are held in the memory of nodes (L1).
///
/// At work: [`RoutePolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// The longest they are held; zero: not at all. `None`: what the manager says, 60 s by default.
    pub l1_ttl: Option<Duration>,
    /// Whether every clear that covers them waits until it is in effect on all nodes.
    pub strict: bool,
}

impl Downstream {
    /// They ask each time, and are told no tags.
    pub const DEFAULT: Self = Self { client_ttl: None, cdn_ttl: None, tag_fields: TagFields::DEFAULT };
}

impl TagFields {
    /// None of them.
    pub const DEFAULT: Self =
        Self { surrogate_key: false, cache_tag: false, edge_cache_tag: false, cache_groups: false };
}

impl Holding {
    /// As the manager says.
    pub const DEFAULT: Self = Self { l1_ttl: None, strict: false };
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
            route: RoutePolicy::default(),
        }
    }
}

impl RoutePolicy {
    /// The defaults of its parts.
    pub const DEFAULT: Self = Self {
        bounds: Bounds::DEFAULT,
        downstream: Downstream::DEFAULT,
        holding: Holding::DEFAULT,
        windows: Windows::DEFAULT,
        limits: TimeLimits::DEFAULT,
    };

    /// What of it contradicts itself.
    pub(crate) fn problem(&self) -> Option<String> {
        self.windows.problem().or_else(|| self.limits.problem())
    }
}

/// Headers by which nothing may vary, because they say who asks (R6).
pub(crate) fn is_credential(name: &str) -> bool {
    matches!(name, "cookie" | "authorization" | "proxy-authorization" | "x-api-key" | "x-auth-token")
}

/// Statuses that no policy may store: they are no final, complete answers (R3).
///
/// ```
/// use cache_middleware::policy::{is_storable_status, is_vary_header};
///
/// assert!(is_storable_status(404) && !is_storable_status(206));
/// assert!(is_vary_header("accept-language") && !is_vary_header("authorization") && !is_vary_header("*"));
/// ```
#[must_use]
pub const fn is_storable_status(status: u16) -> bool {
    matches!(status, 200..=599) && status != 206 && status != 304
}

/// Whether responses may be told apart by a request header (R6): by its name, and no credentials, which would stand in keys.
///
/// At work: [`is_storable_status`].
#[must_use]
pub fn is_vary_header(name: &str) -> bool {
    is_token(name) && !is_credential(name)
}

/// Whether a name is a token (RFC 9110 section 5.6.2), as those of header fields and cookies are; `*` is kept out.
pub(crate) fn is_token(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

/// What is wrong with a part of the reads that should be hits.
pub(crate) fn hit_target_problem(target: f64) -> Option<String> {
    let is_part = target > 0.0 && target <= 1.0;
    (!is_part).then(|| format!("a hit ratio is above 0 and at most 1, such as 0.85, not {target}"))
}
