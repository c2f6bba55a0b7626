//! From `GET`, `SET` and `DEL` by hand to a cached function: the same service before and after.
//!
//! ```sh
//! cargo run -p cache-middleware --example migrate_from_get_set_del
//! ```

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cache_middleware::{CacheError, CacheManager};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    title: String,
}

/// The sessions of each teacher, and how long a question takes.
#[derive(Default)]
struct Database(Mutex<HashMap<u64, Vec<Session>>>);

impl Database {
    async fn sessions_of(&self, teacher: u64) -> Result<Vec<Session>, Infallible> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&teacher).cloned().unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(sessions)
    }

    fn add(&self, teacher: u64, title: &str) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.entry(teacher).or_default().push(Session { title: title.to_owned() });
    }
}

/// Before. A map stands for Redis here; what goes wrong is the same.
mod before {
    use super::{Database, Infallible, Mutex, PoisonError, Session};
    use std::collections::HashMap;

    #[derive(Default)]
    pub(crate) struct Redis(Mutex<HashMap<String, String>>);

    impl Redis {
        fn get(&self, key: &str) -> Option<String> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
        }

        fn set(&self, key: &str, value: String) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value);
        }

        fn del(&self, key: &str) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
    }

    pub(crate) async fn list(redis: &Redis, database: &Database, teacher: u64) -> Result<Vec<Session>, Infallible> {
        let key = format!("sessions:teacher:{teacher}");
        if let Some(cached) = redis.get(&key).and_then(|text| serde_json::from_str(&text).ok()) {
            return Ok(cached);
        }
        let sessions = database.sessions_of(teacher).await?;
        redis.set(&key, serde_json::to_string(&sessions).unwrap_or_default());
        Ok(sessions)
    }

    pub(crate) fn add(redis: &Redis, database: &Database, teacher: u64, title: &str) {
        database.add(teacher, title);
        redis.del(&format!("sessions:teacher:{teacher}"));
    }
}

/// After: the read says what clears it, the write clears that.
mod after {
    use super::{CacheError, CacheManager, Database, Infallible, Session};
    use cache_middleware::cached;

    #[cached(ttl = "5m", key = "sessions:teacher:{teacher}", tags = ["teacher:{teacher}"])]
    pub(crate) async fn list(
        cache: &CacheManager,
        database: &Database,
        teacher: u64,
    ) -> Result<Vec<Session>, Infallible> {
        database.sessions_of(teacher).await
    }

    pub(crate) async fn add(
        cache: &CacheManager,
        database: &Database,
        teacher: u64,
        title: &str,
    ) -> Result<(), CacheError> {
        database.add(teacher, title);
        cache.clear_tag(&format!("teacher:{teacher}")).await?;
        Ok(())
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));

    // A read that is slow, and a write that is done before it ends: what was read before is put back after it was deleted.
    let (redis, database) = (before::Redis::default(), Database::default());
    let (_, ()) = futures_util::future::join(before::list(&redis, &database, 7), async {
        before::add(&redis, &database, 7, "Biology");
    })
    .await;
    let stale = before::list(&redis, &database, 7).await?;
    println!("before: {stale:?}, and so until its TTL is over");
    assert!(stale.is_empty());

    // The same with the cache: what a finished write has made wrong is not stored.
    let cache = CacheManager::builder().from_env().build().await?;
    let database = Database::default();
    let (_, cleared) = futures_util::future::join(after::list(&cache, &database, 7), async {
        after::add(&cache, &database, 7, "Biology").await
    })
    .await;
    cleared?;
    let fresh = after::list(&cache, &database, 7).await?;
    println!("after: {fresh:?}");
    assert_eq!(fresh, [Session { title: "Biology".to_owned() }]);
    Ok(())
}
