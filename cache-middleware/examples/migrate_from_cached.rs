//! From the `cached` crate: what its attributes say, said here.
//!
//! ```sh
//! cargo run -p cache-middleware --example migrate_from_cached
//! ```
//!
//! ```text
//! #[cached(time = 60, key = "u64", convert = r#"{ id }"#)]      #[cached(ttl = "60s", tags = ["user:{id}"], skip(database))]
//! async fn user(id: u64) -> User                                async fn user(cache: &CacheManager, .., id: u64) -> Result<User, _>
//! #[cached(.., result = true)], option = true                   an `Err` is never stored; `None` is: `unless = out.is_none()`
//! #[cached(.., sync_writes = true)]                             always: one run for each key, on all nodes
//! #[once(time = 60)]                                            a function without arguments that are keyed
//! USER.lock().await.cache_remove(&7)                            cache.clear_tag("user:7").await?
//! #[io_cached(redis = true, ..)]                                REDIS_URL, and `.from_env()`
//! ```

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use cache_middleware::{CacheManager, cached};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

/// Counts what it is asked.
#[derive(Default)]
struct Database(AtomicU64);

impl Database {
    async fn user(&self, id: u64) -> Result<Option<User>, Infallible> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok((id < 100).then(|| User { name: format!("User {id}") }))
    }
}

#[cached(ttl = "60s", tags = ["user:{id}"], skip(database), unless = out.is_none())]
async fn user(cache: &CacheManager, database: &Database, id: u64) -> Result<Option<User>, Infallible> {
    database.user(id).await
}

/// Where the argument would be in the way of every caller, the manager may be where the function finds it.
struct Users {
    cache: CacheManager,
    database: Database,
}

impl Users {
    #[cached(ttl = "60s", tags = ["users"], manager = self.cache, skip(self))]
    async fn first(&self) -> Result<Option<User>, Infallible> {
        self.database.user(1).await
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let cache = CacheManager::builder().from_env().build().await?;
    let database = Database::default();
    let asked = |database: &Database| database.0.load(Ordering::SeqCst);

    // Ten at once are one question.
    let all = futures_util::future::join_all((0..10).map(|_| user(&cache, &database, 7))).await;
    assert!(all.iter().all(|user| *user == Ok(Some(User { name: "User 7".to_owned() }))));
    assert_eq!(asked(&database), 1);

    // What is not there is asked for each time, as the attribute says.
    for _ in 0..2 {
        assert_eq!(user(&cache, &database, 100).await, Ok(None));
    }
    assert_eq!(asked(&database), 3);

    cache.clear_tag("user:7").await?;
    user(&cache, &database, 7).await?;
    assert_eq!(asked(&database), 4);

    let users = Users { cache, database: Database::default() };
    println!("{:?}, {:?}", users.first().await?, users.first().await?);
    assert_eq!(asked(&users.database), 1);
    Ok(())
}
