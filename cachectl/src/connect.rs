//! The way to the store.

use cache_middleware::CacheManager;

use crate::arguments::{Arguments, Command};
use crate::output::Output;

/// A manager on the namespace, without memory of its own, for the tenant that is meant.
pub(crate) async fn connect(arguments: &Arguments, output: &Output) -> Result<CacheManager, String> {
    let variable = |name: &str| match name {
        "REDIS_URL" if arguments.redis.is_some() => arguments.redis.clone(),
        // An address on the command line goes before any in the environment.
        "REDIS_HOST" | "REDIS_PORT" | "REDIS_PASSWORD" if arguments.redis.is_some() => None,
        "CACHE_NAMESPACE" if arguments.namespace.is_some() => arguments.namespace.clone(),
        // The journal is the service's.
        "CACHE_JOURNAL" => None,
        _ => std::env::var(name).ok(),
    };
    if ["REDIS_URL", "REDIS_HOST"].iter().all(|name| variable(name).is_none_or(|value| value.is_empty())) {
        return Err(
            "which Redis? Give it as --redis redis://host:6379, or set REDIS_URL as the service has it".to_owned()
        );
    }
    let builder = CacheManager::builder().from_variables(variable).l1_bytes(0).without_annotation_checks();
    let cache = builder.build().await.map_err(|error| said_here(&error.to_string(), arguments))?;
    // It starts without Redis; this program is of no use then, but to say so.
    if matches!(arguments.command, Command::Health) {
        return Ok(cache);
    }
    let unreachable = |error| format!("{}: {error}", cache.store().describe());
    let condition = cache.store().condition().await.map_err(unreachable)?;
    if condition.index_sets == 0 && cache.store().fleet().await.map_err(unreachable)?.is_empty() {
        output.note("nothing is stored here, and no node with an L1 is: is the namespace (CACHE_NAMESPACE) that of the service?");
    }
    match &arguments.tenant {
        Some(tenant) => cache.tenant(tenant).map_err(|error| error.to_string()),
        None => Ok(cache),
    }
}

/// What the manager says of its variables, in the words of this program.
fn said_here(error: &str, arguments: &Arguments) -> String {
    let error = error.trim_start_matches("the cache cannot start: ");
    let error = if arguments.redis.is_some() { error.replace("REDIS_URL=", "--redis ") } else { error.to_owned() };
    if arguments.namespace.is_some() { error.replace("CACHE_NAMESPACE=", "--namespace ") } else { error }
}
