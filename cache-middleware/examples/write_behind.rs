//! Changes that are acknowledged now and written later, in batches.
//!
//! ```sh
//! cargo run -p cache-middleware --example write_behind
//! ```

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache_middleware::{Batch, CacheManager, Sink, SinkError, WriteBehind};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
}

/// What a table is in a database: its rows, and how often somebody wrote to it.
#[derive(Debug, Clone, Default)]
struct Profiles(Arc<Mutex<(BTreeMap<String, Profile>, u64)>>);

impl Sink for Profiles {
    /// A database takes the batch in one transaction.
    async fn write(&self, batch: &Batch) -> Result<(), SinkError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for write in batch.writes() {
            let profile: Profile = write.value()?; // of another type: rejected
            table.0.insert(write.key().to_owned(), profile);
        }
        table.1 += 1;
        Ok(())
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder().from_env().build().await?;
    let profiles = Profiles::default();
    let queue = WriteBehind::builder("profiles")
        .batch(500) // so many are written at once,
        .interval("200ms") // or what there is after so long
        .start(&cache, profiles.clone())
        .await?;

    for number in 0..100 {
        queue.put("profile:7", &Profile { name: format!("Name {number}") }).await?;
    }
    // The table knows nothing of it yet, and whoever asks does.
    let policy = cache.policy("5m")?;
    let fetch = async || Ok::<_, Infallible>(Profile { name: "what the table has".to_owned() });
    let profile: Profile = queue.get_or_set("profile:7", &policy, fetch).await?;
    assert_eq!(profile.name, "Name 99");

    // As before a service ends.
    queue.flush(Duration::from_secs(10)).await?;
    let table = profiles.0.lock().unwrap_or_else(PoisonError::into_inner);
    println!("100 changes, {} writes to the table: {:?}", table.1, table.0);
    assert_eq!(table.0["profile:7"].name, "Name 99");
    Ok(())
}
