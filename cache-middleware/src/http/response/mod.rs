//! May this response be stored, and how does it age? The refusals R3 to R6, R8, R10 and R11, each with its reason.

pub(in crate::http) mod capture;
pub(in crate::http) mod coding;
pub(in crate::http) mod derive;
pub(in crate::http) mod downstream;
pub(in crate::http) mod draft;
pub(in crate::http) mod error_response;
pub(in crate::http) mod freshness;
pub(in crate::http) mod respond;
pub(in crate::http) mod tags;
pub(in crate::http) mod validate;
pub(in crate::http) mod written;

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use self::freshness::{Arrival, Said, has_expired, lifetime};
use crate::entry::Lifetime;
use crate::http::field::cache_control::Directives;
use crate::http::request::{Asked, Fills, selection};
use crate::manager::Failure;
use crate::outcome::RefusalReason;
use crate::policy::{Freshness, StoreRules, is_negative};

/// What a response that may be stored is stored as.
#[derive(Debug)]
pub(in crate::http) struct Verdict {
    pub(in crate::http) life: Lifetime,
    /// The names of the request headers that it was selected by, if those are learned from responses.
    pub(in crate::http) selecting: Vec<Arc<str>>,
}

/// Judges a response. `identity` says whether the key holds who asks.
pub(in crate::http) fn judge<B>(
    response: &HttpResponse<B>,
    asked: &Asked,
    rules: &StoreRules,
    identity: bool,
    arrival: Arrival,
) -> Result<Verdict, RefusalReason> {
    if asked.fills != Fills::Yes {
        return Err(not_filling(asked.fills));
    }
    let (status, headers) = (response.status(), response.headers());
    let windows = &rules.route.windows;
    // An error is not stored (R8), but for one that says that there is nothing, where that is asked for.
    let negative =
        windows.negative_ttl.is_some() && is_negative(status.as_u16()) && rules.statuses.contains(&status.as_u16());
    if response.error().is_some() && !negative {
        return Err(RefusalReason::HandlerError);
    }
    let said = said_by(headers, &rules.freshness);
    if !rules.statuses.contains(&status.as_u16()) {
        // A 5xx made by hand is an error like a returned one: the next request may fare better.
        return Err(if status.is_server_error() { RefusalReason::HandlerError } else { RefusalReason::Status });
    }
    let directives = &said.directives;
    if directives.must_understand && !is_understood(status.as_u16()) {
        return Err(RefusalReason::MustUnderstand);
    }
    // A status that is understood may be stored whatever caches are told that do not know it (RFC 9111 section 5.2.2.3).
    if directives.no_store && !directives.must_understand {
        return Err(RefusalReason::NoStore);
    }
    if directives.private {
        return Err(RefusalReason::Private);
    }
    if sets_cookies(headers, &rules.strip_cookies) {
        return Err(RefusalReason::SetCookie);
    }
    let for_everybody = identity || rules.public || says_public(directives, &rules.freshness);
    if asked.has_credentials() && !for_everybody {
        return Err(RefusalReason::Credentials);
    }
    match &rules.freshness {
        Freshness::ByResponse(http) => {
            let selecting = selection::names(headers).ok_or(RefusalReason::Vary)?;
            Ok(Verdict { life: lifetime(headers, &said, http, arrival)?, selecting })
        }
        Freshness::Ttl(ttl) => {
            if directives.no_cache {
                return Err(RefusalReason::NoCache);
            }
            match directives.lifetime() {
                Some(lifetime) if lifetime.is_zero() => return Err(RefusalReason::MaxAge),
                None if has_expired(headers, arrival) => return Err(RefusalReason::Stale),
                _ => {}
            }
            let declared = |name: &Arc<str>| rules.vary.iter().any(|declared| **declared == **name);
            match selection::names(headers) {
                Some(names) if names.iter().all(declared) => {}
                _ => return Err(RefusalReason::Vary),
            }
            let life = Lifetime::by_policy(*ttl, windows, is_negative(status.as_u16()));
            Ok(Verdict { life, selecting: Vec::new() })
        }
    }
}

/// What a response says to a cache that takes its freshness from there.
fn said_by(headers: &HeaderMap, freshness: &Freshness) -> Said {
    match freshness {
        Freshness::ByResponse(http) => Said::by(headers, &http.targets),
        Freshness::Ttl(_) => Said::by(headers, &[]),
    }
}

/// Whether a response is for everybody by its own word, whatever credentials the request had (R4).
pub(in crate::http) fn is_public(headers: &HeaderMap, freshness: &Freshness) -> bool {
    says_public(&said_by(headers, freshness).directives, freshness)
}

fn says_public(directives: &Directives, freshness: &Freshness) -> bool {
    let trusts = matches!(freshness, Freshness::ByResponse(http) if http.trust_must_revalidate);
    directives.public || directives.s_maxage.is_some() || (directives.must_revalidate && trusts)
}

/// Whether a response sets a cookie that is not one of those to be left out (R5).
fn sets_cookies(headers: &HeaderMap, stripped: &[String]) -> bool {
    headers.contains_key("set-cookie2") || headers.get_all(header::SET_COOKIE).any(|line| !is_stripped(line, stripped))
}

/// Whether a `Set-Cookie` is one of those to be left out.
pub(in crate::http) fn is_stripped(line: &HeaderValue, stripped: &[String]) -> bool {
    let name = line.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    stripped.iter().any(|stripped| stripped.as_bytes() == name.trim_ascii())
}

/// What a status says that is no answer: the handler failed, or asks to come back. An entry is not wrong because of it, unless such a
/// status is stored.
pub(in crate::http) fn failure(status: StatusCode, rules: &StoreRules) -> Option<Failure> {
    let passing = matches!(status.as_u16(), 408 | 425 | 429);
    // Where the response's own headers grant the window, it is for the statuses that RFC 5861 section 4 names.
    let granted = matches!(rules.freshness, Freshness::Ttl(_)) || matches!(status.as_u16(), 500 | 502..=504);
    let stored = rules.statuses.contains(&status.as_u16());
    (!stored && (passing || status.is_server_error()))
        .then(|| Failure { status: Some(status.as_u16()), stale_stands_in: granted })
}

/// Why a request that is looked up does not fill.
pub(in crate::http) fn not_filling(fills: Fills) -> RefusalReason {
    match fills {
        Fills::NotNoStore => RefusalReason::RequestNoStore,
        Fills::NotRange => RefusalReason::Range,
        Fills::NotHead | Fills::Yes => RefusalReason::Method,
    }
}

/// The final statuses whose requirements on caches are met here: those of RFC 9110, but for parts, which are not stored.
const fn is_understood(status: u16) -> bool {
    matches!(status, 200..=205 | 300..=303 | 305..=308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::test::TestRequest;

    use super::*;
    use crate::http::field::date::Date;
    use crate::http::request;
    use crate::policy::HttpRules;

    fn asked(credentials: bool) -> Asked {
        let request = TestRequest::get();
        let request = if credentials { request.insert_header(("authorization", "x")) } else { request };
        request::judge(request.to_http_request().head(), false).unwrap()
    }

    fn verdict(
        response: &HttpResponse,
        rules: &StoreRules,
        credentials: bool,
        identity: bool,
    ) -> Option<RefusalReason> {
        let arrival = Arrival { at: Date::now(), delay: Duration::ZERO };
        judge(response, &asked(credentials), rules, identity, arrival).err()
    }

    fn by_ttl(response: &HttpResponse, credentials: bool, identity: bool) -> Option<RefusalReason> {
        let rules = StoreRules { vary: vec!["accept-language".to_owned()], ..StoreRules::new(Duration::from_secs(1)) };
        verdict(response, &rules, credentials, identity)
    }

    fn by_response(response: &HttpResponse, credentials: bool) -> Option<RefusalReason> {
        let freshness = Freshness::ByResponse(HttpRules::default());
        let rules = StoreRules { freshness, ..StoreRules::new(Duration::ZERO) };
        verdict(response, &rules, credentials, false)
    }

    fn with(name: &'static str, value: &'static str) -> HttpResponse {
        HttpResponse::Ok().insert_header((name, value)).finish()
    }

    #[test]
    fn r3_only_listed_statuses() {
        assert_eq!(by_ttl(&HttpResponse::Ok().finish(), false, false), None);
        assert_eq!(by_ttl(&HttpResponse::NotFound().finish(), false, false), Some(RefusalReason::Status));
        assert_eq!(by_ttl(&HttpResponse::PartialContent().finish(), false, false), Some(RefusalReason::Status));
    }

    #[test]
    fn r4_credentials_need_an_identity_or_a_public_answer() {
        assert_eq!(by_ttl(&HttpResponse::Ok().finish(), true, false), Some(RefusalReason::Credentials));
        assert_eq!(by_ttl(&HttpResponse::Ok().finish(), true, true), None);
        assert_eq!(by_ttl(&with("cache-control", "public"), true, false), None);
        assert_eq!(by_ttl(&with("cache-control", "S-MaxAge=5"), true, false), None);
        let revalidated = with("cache-control", "max-age=5, must-revalidate");
        assert_eq!(by_response(&revalidated, true), Some(RefusalReason::Credentials));
        let http = HttpRules { trust_must_revalidate: true, ..HttpRules::default() };
        let rules = StoreRules { freshness: Freshness::ByResponse(http), ..StoreRules::new(Duration::ZERO) };
        assert_eq!(verdict(&revalidated, &rules, true, false), None);
    }

    #[test]
    fn r5_and_r6_headers_refuse() {
        for (name, value, reason) in [
            ("set-cookie", "a=b", RefusalReason::SetCookie),
            ("set-cookie2", "a=b", RefusalReason::SetCookie),
            ("cache-control", "max-age=5, NO-STORE", RefusalReason::NoStore),
            ("cache-control", "private=\"x-user\"", RefusalReason::Private),
            ("cache-control", "no-cache", RefusalReason::NoCache),
            ("cache-control", "max-age=0", RefusalReason::MaxAge),
            ("cache-control", "max-age=60, s-maxage=0", RefusalReason::MaxAge),
            ("cache-control", "must-understand, private", RefusalReason::Private),
            ("vary", "*", RefusalReason::Vary),
            ("vary", "Accept-Language, Cookie", RefusalReason::Vary),
            ("vary", "authorization", RefusalReason::Vary),
            ("vary", "accept", RefusalReason::Vary),
            ("access-control-allow-origin", "https://a.example", RefusalReason::Vary),
            ("content-encoding", "gzip", RefusalReason::Vary),
        ] {
            assert_eq!(by_ttl(&with(name, value), false, false), Some(reason), "{name}: {value}");
        }
        assert_eq!(by_ttl(&with("vary", "Accept-Language,"), false, false), None);
        assert_eq!(by_ttl(&with("access-control-allow-origin", "*"), false, false), None);
        assert_eq!(by_ttl(&with("cache-control", "no-store, must-understand"), false, false), None);
    }

    #[test]
    fn r5_a_cookie_may_be_left_out() {
        let rules = StoreRules { strip_cookies: vec!["lang".to_owned()], ..StoreRules::new(Duration::from_secs(1)) };
        assert_eq!(verdict(&with("set-cookie", "lang=de; Path=/"), &rules, false, false), None);
        assert_eq!(verdict(&with("set-cookie", "sid=1"), &rules, false, false), Some(RefusalReason::SetCookie));
    }

    #[test]
    fn freshness_may_be_the_response_s_own_word() {
        assert_eq!(by_response(&HttpResponse::Ok().finish(), false), Some(RefusalReason::NoFreshness));
        assert_eq!(by_response(&with("cache-control", "max-age=5"), false), None);
        assert_eq!(by_response(&with("cache-control", "max-age=0"), false), Some(RefusalReason::Stale));
        let mut unknown = HttpResponse::build(actix_web::http::StatusCode::from_u16(299).unwrap());
        let unknown = unknown.insert_header(("cache-control", "max-age=5, must-understand")).finish();
        let freshness = Freshness::ByResponse(HttpRules::default());
        let rules = StoreRules { freshness, statuses: vec![200, 299], ..StoreRules::new(Duration::ZERO) };
        assert_eq!(verdict(&unknown, &rules, false, false), Some(RefusalReason::MustUnderstand));
    }

    #[test]
    fn r8_errors_are_never_stored() {
        let response = HttpResponse::from_error(actix_web::error::ErrorImATeapot("no"));
        assert_eq!(by_ttl(&response, false, false), Some(RefusalReason::HandlerError));
    }
}
