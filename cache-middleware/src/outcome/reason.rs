//! The reasons, each with the token that it is written as.

use super::tokens::tokens;

tokens! {
    /// Why a request was not even looked up.
    ///
    /// At work: [`crate::outcome::Outcome`].
    #[non_exhaustive]
    pub BypassReason {
        /// `when` or `condition` was false.
        Condition = "condition",
        /// The request has a body (R7).
        RequestBody = "request-body",
        /// The request asks for another protocol (R7).
        Upgrade = "upgrade",
        /// The request has an `Expect` (R7).
        Expect = "expect",
        /// The request has an `If-Match` or `If-Unmodified-Since`, which only the handler can judge (RFC 9111 section
        /// 4.3.2).
        Precondition = "precondition",
        /// The request has a header that changes its method (R7).
        MethodOverride = "method-override",
        /// The request has a header that changes its URI (K5).
        UrlOverride = "url-override",
        /// No route matches: fallbacks are not cached (R1).
        UnmatchedRoute = "unmatched-route",
        /// The query is longer than 2 KiB (R13).
        QueryTooLong = "query-too-long",
        /// `Host` holds what no host name can (K1).
        HostInvalid = "host-invalid",
        /// The request line holds no path (K3).
        TargetInvalid = "target-invalid",
        /// The key is longer than 8 KiB (R13).
        KeyTooLong = "key-too-long",
        /// The tenant of the request is not a valid tenant name.
        TenantInvalid = "tenant-invalid",
        /// The app holds no `CacheManager`.
        NoManager = "no-manager",
        /// The store cannot be reached.
        StoreUnavailable = "store-unavailable",
    }
}

tokens! {
    /// Why a response was not stored.
    ///
    /// At work: [`crate::outcome::Outcome`].
    #[non_exhaustive]
    pub RefusalReason {
        /// Only GET fills (R2).
        Method = "head",
        /// The request is for a part of the response, and a part fills nothing (R7).
        Range = "range",
        /// The request says `no-store`.
        RequestNoStore = "request-no-store",
        /// The status is not one the policy stores (R3).
        Status = "status",
        /// The handler returned an error (R8).
        HandlerError = "handler-error",
        /// `unless` was true.
        Unless = "unless",
        /// The request carried credentials that the key does not hold (R4).
        Credentials = "credentials",
        /// The response sets a cookie (R5).
        SetCookie = "set-cookie",
        /// The response says `no-store` (R6).
        NoStore = "no-store",
        /// The response says `no-cache`, and entries are not revalidated.
        NoCache = "no-cache",
        /// The response says `private` (R6).
        Private = "private",
        /// The response says `must-understand`, and its status is not one that this cache knows.
        MustUnderstand = "must-understand",
        /// The response says `max-age=0`, or `s-maxage=0`.
        MaxAge = "max-age",
        /// The response does not say how long it is fresh, and nobody guesses.
        NoFreshness = "no-freshness",
        /// The handler has confirmed another response than the one that is stored (RFC 9111 section 4.3.4).
        ValidatorMismatch = "validator-mismatch",
        /// The response is stale already, and there is nothing to revalidate it by.
        Stale = "stale",
        /// The response varies by something that is not in the key, by `Vary`, by its coding, or by being for one origin
        /// (R6, R10, R11).
        Vary = "vary",
        /// The body is larger than the policy's limit (R9).
        BodyTooLarge = "body-too-large",
        /// The length of the body is not known before it ends (R9).
        StreamingBody = "streaming-body",
        /// The body ended with an error, or not at its length (R9).
        BodyIncomplete = "body-incomplete",
        /// As many variants of the target are stored as may be (R13).
        TooManyVariants = "too-many-variants",
        /// As many entries of the route are stored as may be (R13).
        TooManyEntries = "too-many-entries",
        /// The tenant has as many bytes as it may.
        TenantQuota = "tenant-quota",
        /// The handler read a request header that is not in the key (K4).
        UnkeyedHeader = "unkeyed-header",
        /// The key of the variant is longer than 8 KiB (R13).
        KeyTooLong = "key-too-long",
        /// More than 128 tags (R13).
        TooManyTags = "too-many-tags",
        /// A tag is empty, longer than 256 bytes, or holds a character that tags may not have (R13).
        TagInvalid = "tag-invalid",
        /// Another cache answered inside of this one, with tags that are not known here.
        CachedInside = "cached-inside",
        /// The TTL name is not registered, and the start was told not to check.
        TtlUnknown = "ttl-unknown",
        /// The value cannot be encoded.
        ValueEncoding = "value-encoding",
        /// A clear came while the handler ran (R14).
        Cleared = "cleared-meanwhile",
        /// A clear of this node that covers it has not been acknowledged yet.
        ClearPending = "clear-pending",
        /// Another node was running the handler for so long that this request ran its own.
        WaitedTooLong = "waited-too-long",
        /// It has a mark that was cleared so short a time ago that what the handler read may be older (`settle`).
        Settling = "settling",
        /// The lease is no longer known to the store.
        LeaseLost = "lease-lost",
        /// The store cannot be reached.
        StoreUnavailable = "store-unavailable",
    }
}

tokens! {
    /// Which time limit of a policy was over.
    ///
    /// At work: [`crate::outcome::Outcome`].
    #[non_exhaustive]
    pub TimeLimit {
        /// After which a stale entry is served.
        Soft = "soft-timeout",
        /// After which nobody waits any more.
        Hard = "hard-timeout",
    }
}

impl RefusalReason {
    /// Whether it says something about the request alone, and nothing about what is stored already.
    #[must_use]
    pub const fn is_of_request(self) -> bool {
        matches!(self, Self::Method | Self::RequestNoStore | Self::Credentials | Self::Range)
    }
}
