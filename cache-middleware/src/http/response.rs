//! May this response be stored? The refusals R3 to R6, R8 and R9, each with its reason.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap};

use super::request::{Asked, Fills, directives};
use crate::outcome::RefusalReason;
use crate::policy::StoreRules;

/// Judges the head of a response. `identity` says whether the key holds who asks.
pub(super) fn judge<B>(
    response: &HttpResponse<B>,
    asked: &Asked,
    rules: &StoreRules,
    identity: bool,
) -> Result<(), RefusalReason> {
    if asked.fills != Fills::Yes {
        return Err(not_filling(asked.fills));
    }
    if response.error().is_some() {
        return Err(RefusalReason::HandlerError);
    }
    if !rules.statuses.contains(&response.status().as_u16()) {
        // A 5xx made by hand is an error like a returned one: the next request may fare better.
        let failed = response.status().is_server_error();
        return Err(if failed { RefusalReason::HandlerError } else { RefusalReason::Status });
    }
    let headers = response.headers();
    if headers.contains_key(header::SET_COOKIE) || headers.contains_key("set-cookie2") {
        return Err(RefusalReason::SetCookie);
    }
    for directive in directives(headers) {
        match name_of(directive).as_str() {
            "no-store" => return Err(RefusalReason::NoStore),
            "private" => return Err(RefusalReason::Private),
            "no-cache" => return Err(RefusalReason::NoCache),
            _ => {}
        }
    }
    if asked.credentials && !(identity || rules.public || says_public(headers)) {
        return Err(RefusalReason::Credentials);
    }
    // A response for one origin, or in one coding, is for who asked alike (R10, R11).
    let for_one_origin = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|origin| origin != "*");
    let unkeyed = |selects: bool, by: &str| selects && !rules.vary.iter().any(|header| header == by);
    if !varies_within(headers, &rules.vary)
        || unkeyed(for_one_origin, "origin")
        || unkeyed(headers.contains_key(header::CONTENT_ENCODING), "accept-encoding")
    {
        return Err(RefusalReason::Vary);
    }
    Ok(())
}

/// Whether a response says that it is for everybody, whatever credentials the request had (R4).
pub(super) fn says_public(headers: &HeaderMap) -> bool {
    directives(headers).any(|directive| matches!(name_of(directive).as_str(), "public" | "s-maxage"))
}

fn name_of(directive: &str) -> String {
    directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Why a request that is looked up does not fill.
pub(super) fn not_filling(fills: Fills) -> RefusalReason {
    if fills == Fills::NotNoStore { RefusalReason::RequestNoStore } else { RefusalReason::Method }
}

/// Whether the response varies only by headers that the key holds; credentials are never held that way (R6).
fn varies_within(headers: &HeaderMap, vary: &[String]) -> bool {
    headers.get_all(header::VARY).all(|line| {
        line.to_str().is_ok_and(|line| {
            line.split(',')
                .map(|member| member.trim().to_ascii_lowercase())
                .filter(|member| !member.is_empty())
                .all(|member| !matches!(member.as_str(), "*" | "cookie" | "authorization") && vary.contains(&member))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn verdict(response: &HttpResponse, credentials: bool, identity: bool) -> Result<(), RefusalReason> {
        let asked = Asked { fills: Fills::Yes, credentials, if_none_match: Vec::new() };
        let mut rules = StoreRules::new(Duration::from_secs(1));
        rules.vary = vec!["accept-language".to_owned()];
        judge(response, &asked, &rules, identity)
    }

    fn with(name: &'static str, value: &'static str) -> HttpResponse {
        HttpResponse::Ok().insert_header((name, value)).finish()
    }

    #[test]
    fn r3_only_listed_statuses() {
        assert_eq!(verdict(&HttpResponse::Ok().finish(), false, false), Ok(()));
        assert_eq!(verdict(&HttpResponse::NotFound().finish(), false, false), Err(RefusalReason::Status));
        assert_eq!(verdict(&HttpResponse::PartialContent().finish(), false, false), Err(RefusalReason::Status));
    }

    #[test]
    fn r4_credentials_need_an_identity_or_a_public_answer() {
        assert_eq!(verdict(&HttpResponse::Ok().finish(), true, false), Err(RefusalReason::Credentials));
        assert_eq!(verdict(&HttpResponse::Ok().finish(), true, true), Ok(()));
        assert_eq!(verdict(&with("cache-control", "public"), true, false), Ok(()));
        assert_eq!(verdict(&with("cache-control", "S-MaxAge=5"), true, false), Ok(()));
    }

    #[test]
    fn r5_and_r6_headers_refuse() {
        for (name, value, reason) in [
            ("set-cookie", "a=b", RefusalReason::SetCookie),
            ("cache-control", "max-age=5, NO-STORE", RefusalReason::NoStore),
            ("cache-control", "private=\"x-user\"", RefusalReason::Private),
            ("cache-control", "no-cache", RefusalReason::NoCache),
            ("vary", "*", RefusalReason::Vary),
            ("vary", "Accept-Language, Cookie", RefusalReason::Vary),
            ("vary", "authorization", RefusalReason::Vary),
            ("vary", "accept", RefusalReason::Vary),
            ("access-control-allow-origin", "https://a.example", RefusalReason::Vary),
            ("content-encoding", "gzip", RefusalReason::Vary),
        ] {
            assert_eq!(verdict(&with(name, value), false, false), Err(reason), "{name}: {value}");
        }
        assert_eq!(verdict(&with("vary", "Accept-Language,"), false, false), Ok(()));
        assert_eq!(verdict(&with("access-control-allow-origin", "*"), false, false), Ok(()));
    }

    #[test]
    fn r8_errors_are_never_stored() {
        let response = HttpResponse::from_error(actix_web::error::ErrorImATeapot("no"));
        assert_eq!(verdict(&response, false, false), Err(RefusalReason::HandlerError));
    }
}
