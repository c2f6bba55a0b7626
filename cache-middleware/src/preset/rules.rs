//! The settings checked, and what they stand for.

use super::Options;
use crate::policy::{
    AdaptiveTtl, Downstream, Freshness, Holding, LARGEST_MAX_BODY, RoutePolicy, StoreRules, TimeLimits, TtlTable,
    Windows, hit_target_problem, is_credential, is_storable_status, is_token, is_vary_header, parse_l1_ttl, parse_ttl,
};

impl Options {
    /// The storing rules these settings stand for, or what is wrong with them.
    pub(crate) fn rules(&self, ttls: &TtlTable) -> Result<StoreRules, String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let ttl = ttls.resolve(&self.ttl)?;
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
                "vary by {header:?} is refused: name a request header; `*` matches nothing, and who asks belongs into the \
                 key, by `.identity(..)`"
            ));
        }
        if let Some(name) = self.refresh_with.iter().find(|name| !is_token(name)) {
            return Err(format!("refresh_with: {name:?} is not the name of a header"));
        }
        if let Some(name) = self.refresh_with.iter().find(|name| self.identity.is_none() && is_credential(name)) {
            return Err(format!(
                "refresh_with {name:?} is refused: without an `.identity(..)` a refresh is made for everybody, without credentials"
            ));
        }
        let l1_ttl = self.l1_ttl.as_deref().map(parse_l1_ttl).transpose();
        let l1_ttl = l1_ttl.map_err(|error| error.line_of("l1_ttl"))?;
        let duration = |name: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(parse_ttl).transpose();
            parsed.map_err(|error| error.line_of(name))
        };
        let downstream = Downstream {
            client_ttl: duration("client_ttl", &self.client_ttl)?,
            cdn_ttl: duration("cdn_ttl", &self.cdn_ttl)?,
            tag_fields: self.tag_fields,
        };
        let windows = Windows {
            stale: duration("stale", &self.stale)?.unwrap_or_default(),
            stale_if_error: duration("stale_if_error", &self.stale_if_error)?.unwrap_or_default(),
            negative_ttl: duration("negative_ttl", &self.negative_ttl)?,
            jitter: self.jitter,
            early_refresh: self.early_refresh,
            adaptive_ttl: self.adaptive_ttl.as_deref().map(AdaptiveTtl::parse).transpose()?,
        };
        if let Some(problem) = windows.adaptive_ttl.and_then(|bounds| bounds.problem(ttl)) {
            return Err(problem);
        }
        let limits = TimeLimits {
            soft: duration("soft_timeout", &self.soft_timeout)?,
            hard: duration("hard_timeout", &self.hard_timeout)?,
        };
        if limits.soft.is_some() && !self.by_response && windows.stale.max(windows.stale_if_error).is_zero() {
            return Err(
                "soft_timeout serves a stale response, and there is never one: add stale_if_error or stale, or take \
                        hard_timeout"
                    .to_owned(),
            );
        }
        if let Some(problem) = self.counted_as.as_ref().and_then(|(_, target)| hit_target_problem(*target)) {
            return Err(format!("counted_as: {problem}"));
        }
        let holding = Holding { l1_ttl, strict: self.strict };
        let route = RoutePolicy { bounds: self.bounds, downstream, holding, windows, limits };
        if let Some(problem) = route.problem() {
            return Err(problem);
        }
        Ok(StoreRules {
            freshness: Freshness::Ttl(ttl),
            statuses: windows.statuses(&self.statuses),
            max_body: self.max_body,
            public: self.public,
            vary: self.vary.clone(),
            strip_cookies: self.strip_cookies.clone(),
            compress: self.compress.clone(),
            route,
        })
    }
}
