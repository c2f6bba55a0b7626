//! How data of a type are kept.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::DataSet;
use super::set::Shared;
use crate::error::CacheError;
use crate::manager::{CacheManager, ValuePolicy};
use crate::policy::hit_target_problem;
use crate::preset::Preset;
use crate::store::{NAMESPACE_RULE, is_namespace};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// How data of a type are kept: for how long, how they are refreshed, and which part of the reads should find them.
///
/// ```
/// use cache_middleware::{CacheManager, DataSet, DataStrategy};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let sessions: DataSet<String> = DataStrategy::sessions().of(&cache.tenant("acme")?)?;
///
/// // session:acme:user123:sess456, when she has logged in:
/// sessions.write(&["user123", "sess456"], async || Ok::<_, std::io::Error>("admin".to_owned())).await?;
/// assert_eq!(sessions.get(&["user123", "sess456"]).await?.as_deref(), Some("admin"));
/// // She changes her password: all of hers are gone, on all nodes.
/// sessions.clear(&["user123"]).await?;
/// assert_eq!(sessions.get(&["user123", "sess456"]).await?, None);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct DataStrategy {
    data_type: String,
    ttl: String,
    target: f64,
    /// For how long at most each read begins the TTL anew.
    slides_for: Option<Duration>,
    stale: Duration,
    stale_if_error: Duration,
    early_refresh: Option<f64>,
    strict: bool,
}

impl DataStrategy {
    fn new(data_type: &str, ttl: &str, target: f64) -> Self {
        Self {
            data_type: data_type.to_owned(),
            ttl: ttl.to_owned(),
            target,
            slides_for: None,
            stale: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            early_refresh: None,
            strict: false,
        }
    }

    /// Sessions of users, `session:{tenant}:{user}:{session}`: written through, for 24 h from the last access and 30 days at most,
    /// cleared one by one at a logout and for a user at a change of the password. A clear is in effect on all nodes when it is
    /// acknowledged. 0.95 of the reads should find theirs.
    pub fn sessions() -> Self {
        Self { slides_for: Some(30 * 24 * HOUR), strict: true, ..Self::new("session", "24h", 0.95) }
    }

    /// Profiles, `user:{tenant}:{user}`: fetched when they are asked for, for an hour, and for another while the source is away.
    /// 0.85 of the reads should find theirs.
    pub fn profiles() -> Self {
        Self { stale_if_error: HOUR, ..Self::new("user", "1h", 0.85) }
    }

    /// What is often asked for, `resource:{tenant}:{type}:{id}`: written through, for 30 min, and fetched anew in the background from
    /// four fifths of that on, and for 5 min after it; while the source is away, for 1 h after it. 0.8 of the reads should find theirs.
    pub fn resources() -> Self {
        let stale = 5 * MINUTE;
        Self { early_refresh: Some(0.8), stale, stale_if_error: HOUR, ..Self::new("resource", "30m", 0.8) }
    }

    /// Settings of an application, `config:{tenant}:{type}`: written through, for 6 h, and 6 h more while the source is away. A change is
    /// in effect on all nodes when it is acknowledged. 0.9 of the reads should find theirs.
    pub fn configuration() -> Self {
        Self { strict: true, stale_if_error: 6 * HOUR, ..Self::new("config", "6h", 0.9) }
    }

    /// Responses of an API, for [`crate::CacheManagerBuilder::preset`]: for 10 min, with an `ETag` by which clients revalidate. 0.7 of
    /// the reads should find theirs.
    #[track_caller]
    pub fn api_responses() -> Preset {
        Preset::new("10m").counted_as("api", 0.7)
    }

    /// Another type that is kept in this way: the beginning of its keys, 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub fn named(mut self, data_type: impl Into<String>) -> Self {
        self.data_type = data_type.into();
        self
    }

    /// Another TTL: a duration, or a name registered with the manager.
    pub fn ttl(mut self, ttl: impl Into<String>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// How long after its TTL a value is served while it is fetched anew in the background.
    pub fn stale(mut self, duration: Duration) -> Self {
        self.stale = duration;
        self
    }

    /// For how long at most each read begins the TTL anew.
    pub fn slides_for(mut self, longest: Duration) -> Self {
        self.slides_for = Some(longest);
        self
    }

    /// Which part of the reads should find their value: [`CacheManager::hit_ratios`] tells it beside what does.
    pub fn target_hit_ratio(mut self, ratio: f64) -> Self {
        self.target = ratio;
        self
    }

    /// The data of a type in a cache, of its tenant; `T` is what is kept.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if a setting is not one.
    pub fn of<T: Serialize + DeserializeOwned>(self, cache: &CacheManager) -> Result<DataSet<T>, CacheError> {
        if !is_namespace(&self.data_type) {
            let data_type = &self.data_type;
            return Err(CacheError::Invalid(format!(
                "{data_type:?} is not the name of a type of data: {NAMESPACE_RULE}"
            )));
        }
        if let Some(problem) = hit_target_problem(self.target) {
            return Err(CacheError::Invalid(problem));
        }
        let policy = self.policy(cache)?;
        let (hits, other) = cache.hits_of_type(&self.data_type, self.target, std::any::type_name::<T>());
        if let Some(other) = other {
            let (data_type, this) = (&self.data_type, std::any::type_name::<T>());
            return Err(CacheError::Invalid(format!(
                "{data_type:?} is the name of {other} already, and cannot be that of {this}: each would find the other's values. Give \
                 one another name, with `.named(..)`"
            )));
        }
        let shared = Shared { data_type: self.data_type, cache: cache.clone(), policy, hits };
        Ok(DataSet { shared: Arc::new(shared), of: PhantomData })
    }

    fn policy(&self, cache: &CacheManager) -> Result<ValuePolicy, CacheError> {
        let mut policy = cache.policy(&self.ttl)?.counted_as(self.data_type.clone());
        policy = policy.stale(self.stale).stale_if_error(self.stale_if_error);
        if let Some(longest) = self.slides_for {
            policy = policy.sliding(longest)?;
        }
        if let Some(part) = self.early_refresh {
            policy = policy.early_refresh(part)?;
        }
        Ok(if self.strict { policy.strict() } else { policy })
    }
}
