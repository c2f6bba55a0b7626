//! Another service's data: costs that are all in memory, and users that are fetched when somebody asks.
//!
//! ```sh
//! cargo run -p cache-middleware --example hybrid
//! ```
//!
//! A source over HTTP is `HttpSource`, with the feature `http-source`; this one is in memory, so that it can be changed here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache_middleware::{
    CacheManager, ChangeConsumer, ChangeMessage, ChangePublisher, CriticalCache, Record, ReferenceCache, SourceError,
    SourceOfTruth,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    title: String,
}

/// The authority. In a service it is a pool of connections to a database.
struct Table<V>(Mutex<BTreeMap<String, Record<String, V>>>);

impl<V: Clone> Table<V> {
    /// Writes a record; gives its version.
    fn write(&self, key: &str, value: V) -> u64 {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = records.get(key).map_or(1, |record| record.version + 1);
        records.insert(key.to_owned(), Record { key: key.to_owned(), version, value });
        version
    }
}

/// A node's way to it.
struct Source<V>(Arc<Table<V>>);

impl<V: Clone + Send + Sync + 'static> SourceOfTruth<String, V> for Source<V> {
    async fn one(&self, key: &String) -> Result<Option<Record<String, V>>, SourceError> {
        Ok(self.0.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    async fn all(&self) -> Result<Vec<Record<String, V>>, SourceError> {
        Ok(self.0.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect())
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init_from_env(env_logger::Env::new().default_filter_or("info"));
    let (costs_table, users_table) = (Arc::new(Table(Mutex::default())), Arc::new(Table(Mutex::default())));
    costs_table.write("crm.leads.create", 2.5);
    users_table.write("user-456", User { name: "John".to_owned(), title: "Agent".to_owned() });

    // On each node. Keep the handles for as long as the service runs: as `web::Data` of an app.
    let cache = CacheManager::builder().from_env().build().await?;
    let changes = ChangeConsumer::builder("crm").start(&cache).await?.tenant("123")?;
    let costs: CriticalCache<String, f64> = CriticalCache::builder("credit-configs")
        .key("operationCode")
        .start(&changes, Source(costs_table.clone()))
        .await?;
    let users: ReferenceCache<String, User> =
        ReferenceCache::builder("users").ttl("5m").start(&changes, Source(users_table.clone())).await?;

    let (operation, john) = ("crm.leads.create".to_owned(), "user-456".to_owned());
    println!("it costs {:?}", costs.get(&operation).await?);
    println!("he is {:?}", users.get(&john).await?);

    // At the source: first the change, then its message.
    let publisher = ChangePublisher::builder("crm").start(&cache).await?.tenant("123")?;
    let version = costs_table.write("crm.leads.create", 3.0);
    let message = ChangeMessage::new("credit-config-changed").field("operationCode", operation.as_str());
    publisher.publish("credit-configs", message.from_to(2.5, 3.0).version(version)).await?;
    users_table.write("user-456", User { name: "John".to_owned(), title: "Head".to_owned() });
    let message = ChangeMessage::new("user-changed").field("userId", john.as_str()).changed(&["title"]);
    publisher.publish("users", message).await?;

    // The user is cleared already, and the cost is changed a moment later.
    assert_eq!(users.get(&john).await?.map(|user| user.title).as_deref(), Some("Head"));
    while costs.get(&operation).await? != Some(3.0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("now it costs {:?}, and he is {:?}", costs.held(&operation), users.get(&john).await?);
    println!("{:?}", costs.freshness());
    Ok(())
}
