//! Settings of middlewares. They are refused when the app starts, and what is said of them is in the log.

use actix_web::dev::{ServiceRequest, Transform, fn_service};
use actix_web::{Error, HttpResponse};

use cache_middleware::{CacheManager, Coding, Preset};

use super::{Refusal, logged, refusals};

/// Why a middleware does not start: without its place, which the log names.
macro_rules! start {
    ($layer:expr) => {{
        let service = fn_service(async |request: ServiceRequest| {
            Ok::<_, Error>(request.into_response(HttpResponse::Ok().finish()))
        });
        logged::hear();
        let started = Transform::new_transform(&$layer, service).await;
        started.map(drop).map_err(|()| {
            let said = logged::last().expect("why, in the log");
            let (place, problem) = said.split_once(" cannot start: ").expect("what, and why");
            assert!(place.contains("made at tests/suite/refusals/middlewares.rs:"), "{said}");
            problem.to_owned()
        })
    }};
}

pub(super) async fn settings() -> Vec<Refusal> {
    let builder = CacheManager::builder().ttl("pages", "5m").on("page.updated", ["page:{id}"]);
    let builder = builder.preset("lists", Preset::new("1m")).without_annotation_checks();
    let cache = builder.build().await.expect("a manager");
    let mut refused = refusals!(layer = cache, start!(layer);
        [.response("page")]
        [.response("5 parsecs")]
        [.response("pages").statuses([206])]
        [.response("pages").statuses(Vec::<u16>::new())]
        [.response("pages").max_body(0)]
        [.response("pages").max_variants(0)]
        [.response("pages").max_entries(0)]
        [.response("pages").vary(["Cookie"])]
        [.response("pages").strip_cookies(["two words"])]
        [.response("pages").compress([Coding::Gzip, Coding::Gzip])]
        [.response("pages").compress([Coding::Gzip]).vary(["accept-encoding"])]
        [.response("pages").l1_ttl("soon")]
        [.response("pages").client_ttl("soon")]
        [.response("pages").cdn_ttl("0s")]
        [.response("pages").stale("soon")]
        [.response("pages").early_refresh(1.5)]
        [.response("pages").jitter(2.0)]
        [.response("pages").adaptive_ttl("10s")]
        [.response("pages").adaptive_ttl("10m..1h")]
        [.response("pages").soft_timeout("1s")]
        [.response("pages").stale("1m").soft_timeout("2s").hard_timeout("1s")]
        [.response("pages").refresh_with(["two words"])]
        [.response("pages").refresh_with(["Cookie"])]
        [.response("pages").counted_as("pages", 85.0)]
        [.response("pages").tenant_bound()]
        [.preset("list")]
        [.invalidates("page.update")]
        [.invalidates("page.updated").tenant_bound()]
        [.invalidates("page.updated").settle("5m")]
        [.rate_limit("", 10, "1m")]
        [.rate_limit("two words", 10, "1m")]
        [.rate_limit("api", 0, "1m")]
        [.rate_limit("api", 10, "soon")]
    );
    refused.extend(refusals!(layer = cache, start!(layer);
        [.response_http().strip_cookies([""])]
        [.response_http().keep("soon")]
        [.response_http().target_fields(["two words"])]
        [.response_http().statuses([206])]
        [.response_http().refresh_with(["Cookie"])]
        [.response_http().tenant_bound()]
    ));
    refused
}
