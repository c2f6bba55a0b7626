//! Settings of the middleware `CacheResponse`, and presets: the same settings kept by the manager under a name.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use actix_web::dev::ServiceRequest;

use crate::policy::{
    Bounds, Coding, DEFAULT_MAX_BODY, Downstream, Freshness, Holding, LARGEST_MAX_BODY, StoreRules, TagFields,
    TtlTable, is_storable_status, is_token, is_vary_header, parse_l1_ttl, parse_ttl,
};

type OfRequest<T> = Arc<dyn Fn(&ServiceRequest) -> T + Send + Sync>;

/// How responses of a service are cached. `M` is the manager, or nothing in a [`Preset`] that waits for one.
#[derive(Clone)]
#[must_use]
pub struct ResponseCaching<M> {
    pub(crate) manager: M,
    /// Where in the program it was made.
    pub(crate) place: &'static Location<'static>,
    /// What was wrong already when it was made.
    pub(crate) problem: Option<String>,
    pub(crate) ttl: String,
    pub(crate) key: Option<OfRequest<String>>,
    pub(crate) identity: Option<OfRequest<Option<String>>>,
    pub(crate) tags: Option<OfRequest<Vec<String>>>,
    pub(crate) condition: Option<OfRequest<bool>>,
    pub(crate) vary: Vec<String>,
    pub(crate) statuses: Vec<u16>,
    pub(crate) max_body: usize,
    pub(crate) public: bool,
    pub(crate) tenant_bound: bool,
    pub(crate) strip_cookies: Vec<String>,
    pub(crate) compress: Vec<Coding>,
    pub(crate) bounds: Bounds,
    pub(crate) client_ttl: Option<String>,
    pub(crate) cdn_ttl: Option<String>,
    pub(crate) tag_fields: TagFields,
    pub(crate) l1_ttl: Option<String>,
    pub(crate) strict: bool,
}

/// Settings of a [`crate::CacheResponse`] that the manager keeps under a name.
///
/// ```
/// use cache_middleware::{CacheManager, Preset};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder()
///     .ttl("session-list", "5m")
///     .preset("session-list", Preset::new("session-list").tags(|_| vec!["sessions".to_owned()]))
///     .build()
///     .await?;
/// let middleware = cache.preset("session-list"); // for `App::wrap`, `Scope::wrap`, `Resource::wrap`, `Route::wrap`
/// # let _ = middleware;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub type Preset = ResponseCaching<()>;

impl<M> fmt::Debug for ResponseCaching<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCaching").field("ttl", &self.ttl).field("vary", &self.vary).finish_non_exhaustive()
    }
}

impl Preset {
    /// Keeps responses for a TTL: a registered name, or a duration such as `5m`.
    #[track_caller]
    pub fn new(ttl: impl Into<String>) -> Self {
        Self::with_manager((), ttl.into())
    }
}

impl<M> ResponseCaching<M> {
    #[track_caller]
    pub(crate) fn with_manager(manager: M, ttl: String) -> Self {
        Self {
            manager,
            place: Location::caller(),
            problem: None,
            ttl,
            key: None,
            identity: None,
            tags: None,
            condition: None,
            vary: Vec::new(),
            statuses: vec![200],
            max_body: DEFAULT_MAX_BODY,
            public: false,
            tenant_bound: false,
            strip_cookies: Vec::new(),
            compress: Vec::new(),
            bounds: Bounds::DEFAULT,
            client_ttl: None,
            cdn_ttl: None,
            tag_fields: TagFields::default(),
            l1_ttl: None,
            strict: false,
        }
    }

    pub(crate) fn handed_to<N>(self, manager: N) -> ResponseCaching<N> {
        ResponseCaching {
            manager,
            place: self.place,
            problem: self.problem,
            ttl: self.ttl,
            key: self.key,
            identity: self.identity,
            tags: self.tags,
            condition: self.condition,
            vary: self.vary,
            statuses: self.statuses,
            max_body: self.max_body,
            public: self.public,
            tenant_bound: self.tenant_bound,
            strip_cookies: self.strip_cookies,
            compress: self.compress,
            bounds: self.bounds,
            client_ttl: self.client_ttl,
            cdn_ttl: self.cdn_ttl,
            tag_fields: self.tag_fields,
            l1_ttl: self.l1_ttl,
            strict: self.strict,
        }
    }

    /// The key, instead of scheme, host, path and query. Two routes that give the same key still never answer for each
    /// other. Values from the request go through [`crate::escape`] if they stand beside others.
    pub fn key(mut self, key: impl Fn(&ServiceRequest) -> String + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Who asks: becomes part of the key, and lets responses to requests with credentials be stored (rule R4). `None`
    /// means nobody, and then such a response is not stored.
    pub fn identity(mut self, identity: impl Fn(&ServiceRequest) -> Option<String> + Send + Sync + 'static) -> Self {
        self.identity = Some(Arc::new(identity));
        self
    }

    /// The tags. A handler can add more with the extractor [`crate::CacheTags`].
    pub fn tags(mut self, tags: impl Fn(&ServiceRequest) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.tags = Some(Arc::new(tags));
        self
    }

    /// Which requests are looked up at all.
    pub fn condition(mut self, condition: impl Fn(&ServiceRequest) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// The request headers that select a variant.
    pub fn vary<H: AsRef<str>>(mut self, headers: impl IntoIterator<Item = H>) -> Self {
        self.vary = headers.into_iter().map(|header| header.as_ref().to_ascii_lowercase()).collect();
        self
    }

    /// The statuses that are stored. Default: 200 only.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// The largest body that is stored, in bytes. Default 1 MiB; larger ones pass through.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Says that the responses are the same for all callers, whatever credentials their requests carry.
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Runs nothing for a request without a tenant: it is answered 400. The builder must know `tenant_of`.
    pub fn tenant_bound(mut self) -> Self {
        self.tenant_bound = true;
        self
    }

    /// Leaves cookies of these names out of what is stored, instead of refusing the responses that set them (rule R5).
    /// Nobody but the caller whose request ran the handler is ever given one.
    pub fn strip_cookies<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.strip_cookies = names.into_iter().map(Into::into).collect();
        self
    }

    /// Stores responses in these codings beside their own bytes, the best first, and serves them to who accepts them (feature
    /// `compress`). Each coding is made once, and each has an `ETag` of its own. Bodies that are small or do not get smaller
    /// stay as they are, and so do those that say `no-transform`.
    pub fn compress(mut self, codings: impl IntoIterator<Item = Coding>) -> Self {
        self.compress = codings.into_iter().collect();
        self
    }

    /// The most variants of one target. Default 32; responses to more pass and are not stored (rule R13).
    pub fn max_variants(mut self, count: u64) -> Self {
        self.bounds.variants = count;
        self
    }

    /// The most entries of one route, in each partition of the store. Default a million; responses beyond it pass and are
    /// not stored (rule R13).
    pub fn max_entries(mut self, count: u64) -> Self {
        self.bounds.entries = count;
        self
    }

    /// How long a client may use a response without asking: a duration such as `30s`. No clear reaches what clients hold, so
    /// by default they ask each time, which costs a 304.
    pub fn client_ttl(mut self, duration: impl Into<String>) -> Self {
        self.client_ttl = Some(duration.into());
        self
    }

    /// How long a CDN may use a response without asking, if that is not as long as clients may (`CDN-Cache-Control`, RFC
    /// 9213). Responses for one caller alone say `private` instead.
    pub fn cdn_ttl(mut self, duration: impl Into<String>) -> Self {
        self.cdn_ttl = Some(duration.into());
        self
    }

    /// Names the tags in `Surrogate-Key`, as Fastly and Varnish read them.
    pub fn surrogate_key(mut self) -> Self {
        self.tag_fields.surrogate_key = true;
        self
    }

    /// Names the tags in `Cache-Tag`, as Cloudflare reads them.
    pub fn cache_tag(mut self) -> Self {
        self.tag_fields.cache_tag = true;
        self
    }

    /// Names the tags in `Edge-Cache-Tag`, as Akamai reads them.
    pub fn edge_cache_tag(mut self) -> Self {
        self.tag_fields.edge_cache_tag = true;
        self
    }

    /// Names the tags in `Cache-Groups` (RFC 9875).
    pub fn cache_groups(mut self) -> Self {
        self.tag_fields.cache_groups = true;
        self
    }

    /// The longest a response is held in the memory of a node (L1): a duration such as `10s`, or `0s` for not at all.
    pub fn l1_ttl(mut self, duration: impl Into<String>) -> Self {
        self.l1_ttl = Some(duration.into());
        self
    }

    /// Has every clear that covers a response wait until it is in effect on all nodes, whatever their coherence is.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }
}

impl<M> ResponseCaching<M> {
    /// The storing rules these settings stand for, or what is wrong with them.
    pub(crate) fn rules(&self, ttls: &TtlTable) -> Result<StoreRules, String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let ttl = match ttls.get(&self.ttl) {
            Some(duration) => duration,
            None if self.ttl.starts_with(|c: char| c.is_ascii_digit()) => {
                parse_ttl(&self.ttl).map_err(|error| error.problems().join("; "))?
            }
            None => return Err(ttls.unknown(&self.ttl)),
        };
        if self.statuses.is_empty() {
            return Err("statuses is empty: no response would ever be stored".to_owned());
        }
        if let Some(status) = self.statuses.iter().find(|status| !is_storable_status(**status)) {
            return Err(format!("the status {status} cannot be stored: 200 to 599 can, except 206 and 304"));
        }
        if self.max_body == 0 || self.max_body > LARGEST_MAX_BODY {
            return Err(format!("max_body is 1 to {LARGEST_MAX_BODY} bytes, not {}", self.max_body));
        }
        if !self.compress.is_empty() {
            if !cfg!(feature = "compress") {
                return Err("compress needs the feature `compress` of cache-middleware".to_owned());
            }
            let twice =
                self.compress.iter().enumerate().find(|(index, coding)| self.compress[..*index].contains(coding));
            if let Some((_, coding)) = twice {
                return Err(format!("compress names {:?} twice", coding.token()));
            }
            if self.vary.iter().any(|header| header == "accept-encoding") {
                return Err("vary by \"accept-encoding\" is refused beside compress, which sees to it".to_owned());
            }
        }
        for (name, most) in [("max_variants", self.bounds.variants), ("max_entries", self.bounds.entries)] {
            if most == 0 {
                return Err(format!("{name} is 1 at least: with 0 no response would ever be stored"));
            }
        }
        if let Some(name) = self.strip_cookies.iter().find(|name| !is_token(name)) {
            return Err(format!("strip_cookies: {name:?} is not the name of a cookie"));
        }
        if let Some(header) = self.vary.iter().find(|header| !is_vary_header(header)) {
            return Err(format!(
                "vary by {header:?} is refused: name a request header; `*` matches nothing, and credentials belong into \
                 the key as identity"
            ));
        }
        let l1_ttl = self.l1_ttl.as_deref().map(parse_l1_ttl).transpose();
        let l1_ttl = l1_ttl.map_err(|error| format!("l1_ttl: {}", error.problems().join("; ")))?;
        let duration = |name: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(parse_ttl).transpose();
            parsed.map_err(|error| format!("{name}: {}", error.problems().join("; ")))
        };
        let downstream = Downstream {
            client_ttl: duration("client_ttl", &self.client_ttl)?,
            cdn_ttl: duration("cdn_ttl", &self.cdn_ttl)?,
            tag_fields: self.tag_fields,
        };
        Ok(StoreRules {
            freshness: Freshness::Ttl(ttl),
            statuses: self.statuses.clone(),
            max_body: self.max_body,
            public: self.public,
            vary: self.vary.clone(),
            strip_cookies: self.strip_cookies.clone(),
            compress: self.compress.clone(),
            bounds: self.bounds,
            downstream,
            holding: Holding { l1_ttl, strict: self.strict },
        })
    }
}
