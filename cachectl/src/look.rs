//! Looking: numbers, tags, entries, one entry.

use cache_middleware::entry::Payload;
use cache_middleware::store::{Freshness, Listed, Target};
use cache_middleware::{CacheManager, Key, Tenant};
use humantime::format_duration;
use serde_json::{Value, json};

use crate::output::{Ended, Output, columns};

pub(crate) async fn stats(cache: &CacheManager, output: &Output) -> Result<Ended, String> {
    let condition = cache.store().condition().await.map_err(|error| error.to_string())?;
    let nodes = cache.store().fleet().await.map_err(|error| error.to_string())?;
    // Those without L1 hold no lease, and this program has none.
    let nodes = nodes.iter().filter(|node| node.lease_ms > 0).count();
    let latency_ms = condition.latency.as_secs_f64() * 1_000.0;
    let value = json!({
        "store": cache.store().describe(),
        "latencyMs": latency_ms,
        "memoryPercent": condition.memory.map(|part| part * 100.0),
        "keys": condition.keys,
        "indexSets": condition.index_sets,
        "indexMembers": condition.index_members,
        "openSweeps": condition.open_sweeps,
        "nodesWithL1": nodes,
        "cluster": condition.cluster.as_ref().map(|of| json!({"ok": of.ok, "nodes": of.nodes, "masters": of.masters})),
    });
    output.show(&value, || {
        let line = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![
            line("store", cache.store().describe()),
            line("round trip", format!("{latency_ms:.2} ms")),
            line("memory", condition.memory.map_or("-".to_owned(), |part| format!("{:.1} %", part * 100.0))),
            line("keys of all applications", condition.keys.to_string()),
            line("index sets", condition.index_sets.to_string()),
            line("index members", condition.index_members.to_string()),
            line("clears that are not swept yet", condition.open_sweeps.to_string()),
            line("nodes with an L1", nodes.to_string()),
        ];
        if let Some(of) = &condition.cluster {
            let state = if of.ok { "ok" } else { "fail" };
            rows.push(line("cluster", format!("{state}, {} nodes, {} masters", of.nodes, of.masters)));
        }
        columns(&rows)
    });
    Ok(Ended::Done)
}

pub(crate) async fn tags(cache: &CacheManager, most: usize, output: &Output) -> Result<Ended, String> {
    let mut tags = cache.store().tags(most).await.map_err(|error| error.to_string())?;
    if tags.len() >= most {
        output.note(&format!("there may be more than the {most} that were looked at, by chance: --most looks at more"));
    }
    if let Some(tenant) = cache.tenant_name() {
        tags.retain(|tag| tag.tenant.as_deref() == Some(tenant.as_str()));
    }
    output.show(&tags, || {
        if tags.is_empty() {
            return "no entry has a tag".to_owned();
        }
        let row = |tag: &cache_middleware::store::TagSize| {
            let tenant = tag.tenant.as_ref().map(|tenant| format!("tenant {tenant}")).unwrap_or_default();
            vec![tag.entries.to_string(), tag.tag.clone(), tenant]
        };
        columns(&tags.iter().map(row).collect::<Vec<_>>())
    });
    Ok(Ended::Done)
}

pub(crate) async fn entries(cache: &CacheManager, tag: &str, limit: usize, output: &Output) -> Result<Ended, String> {
    let listed = cache.entries(tag, limit).await.map_err(|error| error.to_string())?;
    show_listed(&listed, limit, output);
    Ok(Ended::Done)
}

pub(crate) fn show_listed(listed: &[Listed], limit: usize, output: &Output) {
    if listed.len() >= limit {
        output.note(&format!("these are the first {limit}: there may be more"));
    }
    let value: Vec<Value> = listed
        .iter()
        .map(|entry| json!({"key": &*entry.key, "expiresInSeconds": entry.expires_in.as_secs_f64()}))
        .collect();
    output.show(&value, || {
        if listed.is_empty() {
            return "nothing".to_owned();
        }
        let row = |entry: &Listed| vec![whole_seconds(entry.expires_in), entry.key.to_string()];
        columns(&listed.iter().map(row).collect::<Vec<_>>())
    });
}

fn whole_seconds(duration: std::time::Duration) -> String {
    format_duration(std::time::Duration::from_secs(duration.as_secs())).to_string()
}

/// The keys of a text: itself, if it is the whole name of one, or what is stored under it as a key.
async fn names_of(cache: &CacheManager, tenant: Option<Tenant>, text: &str) -> Result<Vec<Key>, String> {
    if let Some(key) = Key::of_name(text).filter(|key| tenant.is_none() || key.tenant() == tenant.as_ref()) {
        let found = cache.store().read(&key).await.map_err(|error| error.to_string())?;
        if found.found.is_some() {
            return Ok(vec![key]);
        }
    }
    let target = Target::Key(tenant, text.to_owned());
    let listed = cache.store().entries(&target, 100).await.map_err(|error| error.to_string())?;
    Ok(listed.iter().filter_map(|entry| Key::of_name(&entry.key)).collect())
}

pub(crate) async fn show(cache: &CacheManager, text: &str, output: &Output) -> Result<Ended, String> {
    let keys = names_of(cache, cache.tenant_name(), text).await?;
    let mut shown = Vec::new();
    for key in &keys {
        let lookup = cache.store().read(key).await.map_err(|error| error.to_string())?;
        let Some(found) = lookup.found else { continue };
        let entry = &found.entry;
        let (state, seconds) = match found.freshness {
            Freshness::Fresh(left) => ("fresh", left.as_secs_f64()),
            Freshness::Stale(over) => ("stale", -over.as_secs_f64()),
            _ => ("unknown", 0.0),
        };
        let payload = match &entry.payload {
            Payload::Response(response) => {
                let headers: Vec<_> = response
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
                    .collect();
                json!({"kind": "response", "status": response.status, "headers": headers, "bytes": response.body.len()})
            }
            Payload::Value(value) => {
                let read: Option<Value> = serde_json::from_slice(value).ok();
                json!({"kind": "value", "bytes": value.len(), "value": read})
            }
            Payload::Selector(names) => {
                let names: Vec<&str> = names.iter().map(|name| &**name).collect();
                json!({"kind": "selector", "vary": names})
            }
        };
        shown.push(json!({
            "key": &**key.name(),
            "state": state,
            "ttlSeconds": seconds,
            "ageSeconds": found.age.as_secs_f64(),
            "expiresInSeconds": found.expires_in().as_secs_f64(),
            "tags": entry.tags().collect::<Vec<_>>(),
            "payload": payload,
        }));
    }
    let found = if shown.is_empty() { Ended::Found } else { Ended::Done };
    output.show(&shown, || {
        if shown.is_empty() {
            return format!("nothing is stored under {text:?}");
        }
        shown.iter().map(text_of).collect::<Vec<_>>().join("\n\n")
    });
    Ok(found)
}

fn text_of(shown: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (name, value) in shown.as_object().into_iter().flatten() {
        match value {
            Value::Object(parts) => {
                for (name, value) in parts {
                    match value {
                        Value::Array(all) => lines.extend(all.iter().map(|line| format!("  {}", text(line)))),
                        value => rows.push(vec![name.clone(), format!(" {}", text(value))]),
                    }
                }
            }
            Value::Array(all) => {
                let all: Vec<String> = all.iter().map(text).collect();
                rows.push(vec![name.clone(), format!(" {}", all.join(", "))]);
            }
            value => rows.push(vec![name.clone(), format!(" {}", text(value))]),
        }
    }
    std::iter::once(columns(&rows)).chain(lines).collect::<Vec<_>>().join("\n")
}
