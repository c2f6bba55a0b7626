//! How typed values are kept.

use std::borrow::Cow;
use std::time::Duration;

use super::look::VALUES;
use super::{Asking, Sliding};
use crate::error::CacheError;
use crate::key::Key;
use crate::policy::{AdaptiveTtl, DEFAULT_MAX_BODY, EarlyRefresh, Holding, LONGEST_TTL, Windows};
use crate::tag::Tag;

/// What is told of a TTL that is to do both.
const SLIDES_OR_ADAPTS: &str =
    "a TTL either slides or adapts: it cannot follow both who accesses it and what is learned";

/// How long a value is kept, and what clears it.
///
/// ```
/// # use cache_middleware::CacheManager;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().ttl("session-list", "5m").build().await?;
/// let policy = cache.policy("session-list")?.tag("teacher:7")?;
/// let sessions: Vec<String> =
///     cache.get_or_set("sessions:teacher:7", &policy, async || Ok::<_, std::io::Error>(vec!["maths".into()])).await?;
/// assert_eq!(sessions, ["maths"]);
/// assert_eq!(cache.get::<Vec<String>>("sessions:teacher:7").await, Some(sessions));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ValuePolicy {
    pub(super) ttl: Duration,
    pub(super) tags: Vec<Tag>,
    pub(super) max_bytes: usize,
    pub(super) holding: Holding,
    pub(super) windows: Windows,
    pub(super) durable: bool,
    /// What its values are counted as.
    counted_as: Cow<'static, str>,
    /// The longest that a value is kept whose TTL slides.
    sliding: Option<Duration>,
}

impl ValuePolicy {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            tags: Vec::new(),
            max_bytes: DEFAULT_MAX_BODY,
            holding: Holding::default(),
            windows: Windows::default(),
            durable: false,
            counted_as: Cow::Borrowed(VALUES),
            sliding: None,
        }
    }

    /// The most bytes of JSON a value may have. Default 1 MiB; larger ones are returned and not stored.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The longest a value is held in the memory of a node (L1); zero: not at all. Default: what the manager says.
    #[must_use]
    pub fn l1_ttl(mut self, duration: Duration) -> Self {
        self.holding.l1_ttl = Some(duration);
        self
    }

    /// Has every clear that covers a value wait until it is in effect on all nodes, whatever their coherence is.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.holding.strict = true;
        self
    }

    /// How long after its TTL a value is served while somebody fetches it anew (RFC 5861 section 3). A clear ends it;
    /// `expire_tags` begins it.
    #[must_use]
    pub fn stale(mut self, duration: Duration) -> Self {
        self.windows.stale = duration.min(LONGEST_TTL);
        self
    }

    /// How long after its TTL a value is served if fetching it fails (RFC 5861 section 4).
    #[must_use]
    pub fn stale_if_error(mut self, duration: Duration) -> Self {
        self.windows.stale_if_error = duration.min(LONGEST_TTL);
        self
    }

    /// When a value that is still fresh is fetched anew: after a part of its TTL, such as `0.8`, or by chance,
    /// [`EarlyRefresh::XFETCH`].
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the part is not above 0 and below 1.
    pub fn early_refresh(mut self, when: impl Into<EarlyRefresh>) -> Result<Self, CacheError> {
        self.windows.early_refresh = Some(when.into());
        self.checked()
    }

    /// Lets the TTL of each value follow what is learned of its key, between bounds: longer for what costs more and changes less
    /// without a clear, shorter for what is asked for more. It begins with the TTL of the policy.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the TTL is not within the bounds, or slides.
    pub fn adaptive_ttl(mut self, shortest: Duration, longest: Duration) -> Result<Self, CacheError> {
        if self.sliding.is_some() {
            return Err(CacheError::Invalid(SLIDES_OR_ADAPTS.to_owned()));
        }
        let bounds = AdaptiveTtl { shortest, longest };
        self.windows.adaptive_ttl = Some(bounds);
        bounds.problem(self.ttl).map_or(Ok(self), |problem| Err(CacheError::Invalid(problem)))
    }

    /// By how much of it a TTL is shortened at most, by chance: `0.1` for up to a tenth.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a part from 0 to 1.
    pub fn jitter(mut self, part: f64) -> Result<Self, CacheError> {
        self.windows.jitter = part;
        self.checked()
    }

    /// How long a value is fresh that says that there is nothing: one that is encoded as `null`, such as `None`.
    #[must_use]
    pub fn negative_ttl(mut self, duration: Duration) -> Self {
        self.windows.negative_ttl = Some(duration.min(LONGEST_TTL));
        self
    }

    /// Has each access begin the TTL anew, for `longest` after the value was stored at most: for sessions. Accesses are
    /// [`crate::CacheManager::get_with`], [`crate::CacheManager::get_or_set`] and [`crate::CacheManager::get_or_refresh`] under this policy. A TTL of which
    /// less than a tenth is over is not begun anew, so a value ends between nine tenths of its TTL and the whole of it after its last
    /// access.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if `longest` is shorter than the TTL, so that it would never slide, or if the TTL adapts.
    pub fn sliding(mut self, longest: Duration) -> Result<Self, CacheError> {
        if longest < self.ttl {
            let ttl = self.ttl;
            return Err(CacheError::Invalid(format!(
                "a TTL of {ttl:?} does not slide for {longest:?}: give it longer"
            )));
        }
        if self.windows.adaptive_ttl.is_some() {
            return Err(CacheError::Invalid(SLIDES_OR_ADAPTS.to_owned()));
        }
        self.sliding = Some(longest.min(LONGEST_TTL));
        Ok(self)
    }

    /// Has [`crate::CacheManager::write_through`] record in the store what it is about to replace, before it writes: if this process is
    /// killed in the middle, another node clears it. One more round trip.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    pub(crate) fn with(self, holding: Holding, windows: Windows) -> Self {
        Self { holding, windows, ..self }
    }

    /// Has its values be counted as something of their own.
    pub(crate) fn counted_as(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { counted_as: name.into(), ..self }
    }

    /// How long a value is fresh.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(super) fn asking<'a>(&'a self, key: &'a Key) -> Asking<'a> {
        let sliding = self.sliding.map(|longest| Sliding { ttl: self.ttl, longest });
        let route = &*self.counted_as;
        Asking {
            route,
            refreshes: true,
            probes: true,
            windows: &self.windows,
            sliding,
            ..Asking::new(key, self.holding)
        }
    }

    fn checked(self) -> Result<Self, CacheError> {
        self.windows.problem().map_or(Ok(self), |problem| Err(CacheError::Invalid(problem)))
    }

    /// Adds a tag.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if it is not a tag.
    pub fn tag(mut self, tag: &str) -> Result<Self, CacheError> {
        self.tags.push(Tag::new(tag)?);
        Ok(self)
    }
}
