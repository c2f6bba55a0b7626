//! One method a setting. `CacheHttp` passes on those that responses leave open.

use std::sync::Arc;

use actix_web::dev::ServiceRequest;

use super::ResponseCaching;
use crate::policy::{Coding, EarlyRefresh};

impl<M> ResponseCaching<M> {
    /// The key, instead of scheme, host, path and query. Two routes that give the same key still never answer for each
    /// other. Values from the request go through [`crate::escape`] if they stand beside others.
    pub fn key(mut self, key: impl Fn(&ServiceRequest) -> String + Send + Sync + 'static) -> Self {
        self.options.key = Some(Arc::new(key));
        self
    }

    /// Who asks: becomes part of the key, and lets responses to requests with credentials be stored (rule R4). `None`
    /// means nobody, and then such a response is not stored.
    pub fn identity(mut self, identity: impl Fn(&ServiceRequest) -> Option<String> + Send + Sync + 'static) -> Self {
        self.options.identity = Some(Arc::new(identity));
        self
    }

    /// The tags. A handler can add more with the extractor [`crate::CacheTags`].
    pub fn tags(mut self, tags: impl Fn(&ServiceRequest) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.options.tags = Some(Arc::new(tags));
        self
    }

    /// Which requests are looked up at all.
    pub fn condition(mut self, condition: impl Fn(&ServiceRequest) -> bool + Send + Sync + 'static) -> Self {
        self.options.condition = Some(Arc::new(condition));
        self
    }

    /// The request headers that select a variant.
    pub fn vary<H: AsRef<str>>(mut self, headers: impl IntoIterator<Item = H>) -> Self {
        self.options.vary = headers.into_iter().map(|header| header.as_ref().to_ascii_lowercase()).collect();
        self
    }

    /// The statuses that are stored. Default: 200 only.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.options.statuses = statuses.into_iter().collect();
        self
    }

    /// The largest body that is stored, in bytes. Default 1 MiB; larger ones pass through.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.options.max_body = bytes;
        self
    }

    /// Says that the responses are the same for all callers, whatever credentials their requests carry.
    pub fn public(mut self) -> Self {
        self.options.public = true;
        self
    }

    /// Runs nothing for a request without a tenant: it is answered 400. The builder must know `tenant_of`.
    pub fn tenant_bound(mut self) -> Self {
        self.options.tenant_bound = true;
        self
    }

    /// Leaves cookies of these names out of what is stored, instead of refusing the responses that set them (rule R5).
    /// Nobody but the caller whose request ran the handler is ever given one.
    pub fn strip_cookies<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.options.strip_cookies = names.into_iter().map(Into::into).collect();
        self
    }

    /// Stores responses in these codings beside their own bytes, the best first, and serves them to who accepts them (feature
    /// `compress`). Each coding is made once, and each has an `ETag` of its own. Bodies that are small or do not get smaller
    /// stay as they are, and so do those that say `no-transform`.
    pub fn compress(mut self, codings: impl IntoIterator<Item = Coding>) -> Self {
        self.options.compress = codings.into_iter().collect();
        self
    }

    /// The most variants of one target. Default 32; responses to more pass and are not stored (rule R13).
    pub fn max_variants(mut self, count: u64) -> Self {
        self.options.bounds.variants = count;
        self
    }

    /// The most entries of one route, in each partition of the store. Default a million; responses beyond it pass and are
    /// not stored (rule R13).
    pub fn max_entries(mut self, count: u64) -> Self {
        self.options.bounds.entries = count;
        self
    }

    /// How long a client may use a response without asking: a duration such as `30s`. No clear reaches what clients hold, so
    /// by default they ask each time, which costs a 304.
    pub fn client_ttl(mut self, duration: impl Into<String>) -> Self {
        self.options.client_ttl = Some(duration.into());
        self
    }

    /// How long a CDN may use a response without asking, if that is not as long as clients may (`CDN-Cache-Control`, RFC
    /// 9213). Responses for one caller alone say `private` instead.
    pub fn cdn_ttl(mut self, duration: impl Into<String>) -> Self {
        self.options.cdn_ttl = Some(duration.into());
        self
    }

    /// Names the tags in `Surrogate-Key`, as Fastly and Varnish read them.
    pub fn surrogate_key(mut self) -> Self {
        self.options.tag_fields.surrogate_key = true;
        self
    }

    /// Names the tags in `Cache-Tag`, as Cloudflare reads them.
    pub fn cache_tag(mut self) -> Self {
        self.options.tag_fields.cache_tag = true;
        self
    }

    /// Names the tags in `Edge-Cache-Tag`, as Akamai reads them.
    pub fn edge_cache_tag(mut self) -> Self {
        self.options.tag_fields.edge_cache_tag = true;
        self
    }

    /// Names the tags in `Cache-Groups` (RFC 9875).
    pub fn cache_groups(mut self) -> Self {
        self.options.tag_fields.cache_groups = true;
        self
    }

    /// The longest a response is held in the memory of a node (L1): a duration such as `10s`, or `0s` for not at all.
    pub fn l1_ttl(mut self, duration: impl Into<String>) -> Self {
        self.options.l1_ttl = Some(duration.into());
        self
    }

    /// Has every clear that covers a response wait until it is in effect on all nodes, whatever their coherence is.
    pub fn strict(mut self) -> Self {
        self.options.strict = true;
        self
    }

    /// How long after its TTL a response is served while a refresh runs in the background: a duration such as `30s` (RFC 5861
    /// section 3). Default: not at all. A clear ends it; `expire_tags` begins it.
    pub fn stale(mut self, duration: impl Into<String>) -> Self {
        self.options.stale = Some(duration.into());
        self
    }

    /// How long after its TTL a response is served if the handler fails, or is late: a duration such as `10m` (RFC 5861
    /// section 4). Default: not at all.
    pub fn stale_if_error(mut self, duration: impl Into<String>) -> Self {
        self.options.stale_if_error = Some(duration.into());
        self
    }

    /// When a response that is still fresh is made anew in the background: after a part of its TTL, such as `0.8`, or by
    /// chance, [`EarlyRefresh::XFETCH`].
    pub fn early_refresh(mut self, when: impl Into<EarlyRefresh>) -> Self {
        self.options.early_refresh = Some(when.into());
        self
    }

    /// Lets the TTL of each entry follow what is learned of its key, between bounds such as `10s..10m`: longer for what costs more and
    /// changes less without a clear, shorter for what is asked for more. It begins with the TTL of the policy. Default: it does
    /// not.
    pub fn adaptive_ttl(mut self, bounds: impl Into<String>) -> Self {
        self.options.adaptive_ttl = Some(bounds.into());
        self
    }

    /// By how much of it a TTL is shortened at most, by chance: `0.1` for up to a tenth.
    pub fn jitter(mut self, part: f64) -> Self {
        self.options.jitter = part;
        self
    }

    /// Stores answers that say that there is nothing (404 and 410, or the statuses from 400 on that [`Self::statuses`] names) for
    /// so long, also where the handler returned them as an error: a duration such as `5s`.
    pub fn negative_ttl(mut self, duration: impl Into<String>) -> Self {
        self.options.negative_ttl = Some(duration.into());
        self
    }

    /// How long a request waits for the handler while there is a stale response to serve, within its windows. The handler goes on
    /// in the background.
    pub fn soft_timeout(mut self, duration: impl Into<String>) -> Self {
        self.options.soft_timeout = Some(duration.into());
        self
    }

    /// How long a request waits for the handler at all: then it is answered with a stale response, if there is one within its
    /// windows, or with a 504. The handler goes on in the background.
    pub fn hard_timeout(mut self, duration: impl Into<String>) -> Self {
        self.options.hard_timeout = Some(duration.into());
        self
    }

    /// Headers of a request that its background refresh carries beside those that select the response (rule S6). Where they
    /// matter to key, identity, tags or condition and are not named, the request waits for the handler instead. Credentials are
    /// refused without an [`Self::identity`]: a refresh is made for everybody then.
    pub fn refresh_with<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.options.refresh_with = names.into_iter().map(|name| name.as_ref().to_ascii_lowercase()).collect();
        self
    }

    /// Counts how often responses are found, as data of a type, and says which part of them should be:
    /// [`crate::CacheManager::hit_ratios`] tells both.
    pub fn counted_as(mut self, data_type: impl Into<String>, target: f64) -> Self {
        self.options.counted_as = Some((data_type.into(), target));
        self
    }
}
