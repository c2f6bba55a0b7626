//! What the page asks for, and has done.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

use super::Dashboard;
use crate::error::CacheError;
use crate::manager::{CacheManager, ClearReceipt};

/// So many nodes of the map are drawn.
const MOST_MAPPED: usize = 500;
/// So many tags are looked at.
const MOST_TAGS: usize = 200;
/// So many of them, and of entries, are shown.
const MOST_SHOWN: usize = 50;

pub(super) async fn map(dashboard: web::Data<Dashboard>) -> HttpResponse {
    let mut map = dashboard.cache().map();
    let all = [map.reads.len(), map.rules.len(), map.writes.len(), map.warnings.len()];
    map.reads.truncate(MOST_MAPPED);
    map.rules.truncate(MOST_MAPPED);
    map.writes.truncate(MOST_MAPPED);
    map.warnings.truncate(MOST_MAPPED);
    let left_out: usize = all.iter().map(|count| count.saturating_sub(MOST_MAPPED)).sum();
    let (nodes, edges) = map.graph();
    HttpResponse::Ok().json(json!({"map": map, "nodes": nodes, "edges": edges, "leftOut": left_out}))
}

pub(super) async fn tags(dashboard: web::Data<Dashboard>) -> HttpResponse {
    match dashboard.cache().store().tags(MOST_TAGS).await {
        Ok(mut tags) => {
            let looked_at = tags.len();
            tags.truncate(MOST_SHOWN);
            HttpResponse::Ok().json(json!({"tags": tags, "some": looked_at >= MOST_TAGS}))
        }
        Err(error) => failed(&error.into()),
    }
}

pub(super) async fn nodes(dashboard: web::Data<Dashboard>) -> HttpResponse {
    let cache = dashboard.cache();
    match cache.store().fleet().await {
        Ok(nodes) => HttpResponse::Ok().json(json!({"nodes": nodes, "own": cache.node_name()})),
        Err(error) => failed(&error.into()),
    }
}

/// What is behind a tag, or would be cleared.
#[derive(Debug, Deserialize)]
pub(super) struct Behind {
    tag: String,
    #[serde(default)]
    tenant: String,
}

pub(super) async fn entries(dashboard: web::Data<Dashboard>, behind: web::Query<Behind>) -> HttpResponse {
    let listed = match dashboard.for_tenant(&behind.tenant) {
        Ok(cache) => cache.entries(&behind.tag, MOST_SHOWN + 1).await,
        Err(error) => Err(error),
    };
    match listed {
        Ok(mut listed) => {
            let more = listed.len() > MOST_SHOWN;
            listed.truncate(MOST_SHOWN);
            let line = |entry: &crate::store::Listed| {
                let seconds = entry.expires_in.as_secs_f64();
                json!({"key": &*entry.key, "expiresInSeconds": seconds})
            };
            HttpResponse::Ok().json(json!({"entries": listed.iter().map(line).collect::<Vec<_>>(), "more": more}))
        }
        Err(error) => failed(&error),
    }
}

pub(super) async fn clear(dashboard: web::Data<Dashboard>, behind: web::Json<Behind>) -> HttpResponse {
    let cleared = match dashboard.for_tenant(&behind.tenant) {
        Ok(cache) => cache.clear_tag(&behind.tag).await,
        Err(error) => Err(error),
    };
    receipt("cleared", &behind, cleared)
}

pub(super) async fn expire(dashboard: web::Data<Dashboard>, behind: web::Json<Behind>) -> HttpResponse {
    let expired = match dashboard.for_tenant(&behind.tenant) {
        Ok(cache) => cache.expire_tags(&[&behind.tag]).await,
        Err(error) => Err(error),
    };
    receipt("expired", &behind, expired)
}

fn receipt(what: &str, behind: &Behind, receipt: Result<ClearReceipt, CacheError>) -> HttpResponse {
    match receipt {
        Ok(receipt) => {
            log::info!(
                "the dashboard has {what} the tag {:?}, tenant {:?}: {} entries",
                behind.tag,
                behind.tenant,
                receipt.covered
            );
            let (covered, told, journaled) = (receipt.covered, receipt.nodes_told, receipt.journaled);
            HttpResponse::Ok().json(json!({"covered": covered, "nodesTold": told, "journaled": journaled}))
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &CacheError) -> HttpResponse {
    let mut response = match error {
        CacheError::Invalid(_) => HttpResponse::BadRequest(),
        _ => HttpResponse::ServiceUnavailable(),
    };
    response.json(json!({"error": error.to_string()}))
}

impl Dashboard {
    fn cache(&self) -> &CacheManager {
        self.shared.monitor.cache()
    }

    fn for_tenant(&self, name: &str) -> Result<CacheManager, CacheError> {
        if name.is_empty() { Ok(self.cache().clone()) } else { self.cache().tenant(name) }
    }
}
