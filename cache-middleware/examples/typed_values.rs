//! Values instead of responses: the same store, the same flights, the same promises.
//!
//! ```sh
//! cargo run -p cache-middleware --example typed_values
//! ```

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use cache_middleware::{CacheManager, cached};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Session {
    title: String,
}

/// Counts what it is asked.
#[derive(Default)]
struct Database(AtomicU64);

impl Database {
    async fn sessions_of(&self, teacher: u64) -> Result<Vec<Session>, Infallible> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(vec![Session { title: format!("a lesson of teacher {teacher}") }])
    }
}

/// A function that takes the manager is cached as it is.
#[cached(ttl = "1h", tags = ["menu:{org}"], skip(database))]
async fn menu(cache: &CacheManager, database: &Database, org: u64) -> Result<String, Infallible> {
    database.0.fetch_add(1, Ordering::SeqCst);
    Ok(format!("the menu of {org}"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder().ttl("session-list", "5m").from_env().build().await?;
    let database = Database::default();
    let asked = || database.0.load(Ordering::SeqCst);

    let policy = cache.policy("session-list")?.tag("teacher:7")?;
    for _ in 0..3 {
        let sessions: Vec<Session> =
            cache.get_or_set("sessions:teacher:7", &policy, async || database.sessions_of(7).await).await?;
        println!("{sessions:?}");
    }
    assert_eq!(asked(), 1);

    // After the write.
    cache.clear_tag("teacher:7").await?;
    assert_eq!(cache.get::<Vec<Session>>("sessions:teacher:7").await, None);

    println!("{}, {}", menu(&cache, &database, 3).await?, menu(&cache, &database, 3).await?);
    assert_eq!(asked(), 2);
    Ok(())
}
