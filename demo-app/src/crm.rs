//! What a sales department keeps of the wrapper's data: what is needed for each request in memory, and the rest when it is asked for.

use std::time::Duration;

use cache_middleware::{
    CacheError, CacheManager, ChangeConsumer, CriticalCache, HttpSource, PastLimit, Record, ReferenceCache,
};

use crate::wrapper::{APP, COSTS, CreditConfig, ROLES, Role, STATUSES, Standing, StandingOf, TENANT, USERS, User};

impl From<CreditConfig> for Record<String, f64> {
    fn from(config: CreditConfig) -> Self {
        Self { key: config.operation_code, version: config.version, value: config.cost }
    }
}

impl From<Role> for Record<String, Vec<String>> {
    fn from(role: Role) -> Self {
        Self { key: role.role_id, version: role.version, value: role.permissions }
    }
}

impl From<StandingOf> for Record<String, Standing> {
    fn from(user: StandingOf) -> Self {
        Self { key: user.user_id, version: user.version, value: user.standing }
    }
}

impl From<User> for Record<String, User> {
    fn from(user: User) -> Self {
        Self { key: user.id.clone(), version: user.version, value: user }
    }
}

/// The caches, and the way to the wrapper.
#[derive(Debug, Clone)]
pub(crate) struct Crm {
    pub(crate) wrapper: HttpSource,
    pub(crate) changes: ChangeConsumer,
    /// By operation.
    pub(crate) costs: CriticalCache<String, f64>,
    /// What roles may do.
    pub(crate) roles: CriticalCache<String, Vec<String>>,
    /// Whether users may do anything, and in which roles.
    pub(crate) standings: CriticalCache<String, Standing>,
    pub(crate) users: ReferenceCache<String, User>,
}

impl Crm {
    /// Loads what is critical. Without the wrapper it starts all the same, and loads when that is there.
    pub(crate) async fn start(cache: &CacheManager, wrapper: &str) -> Result<Self, String> {
        let source = HttpSource::builder(wrapper)
            .within(Duration::from_secs(2))
            .attempt_within(Duration::from_secs(1))
            .build()
            .map_err(|error| format!("WRAPPER_URL: {error}"))?;
        Self::follow(cache, source).await.map_err(|error| error.to_string())
    }

    async fn follow(cache: &CacheManager, wrapper: HttpSource) -> Result<Self, CacheError> {
        let changes = ChangeConsumer::builder(APP).start(cache).await?.tenant(TENANT)?;
        let costs = wrapper.resource::<CreditConfig>().all_at("/credit-configs").one_at("/credit-configs/{key}");
        let roles = wrapper.resource::<Role>().all_at("/roles").one_at("/roles/{key}");
        let standings = wrapper.resource::<StandingOf>().all_at("/user-status").one_at("/user-status/{key}");
        let users = wrapper.resource::<User>().one_at("/users/{key}").many_at("/users?ids={keys}");
        let asks = PastLimit::AskSource;
        Ok(Self {
            costs: CriticalCache::builder(COSTS).key("operationCode").limit("5s", asks).start(&changes, costs).await?,
            roles: CriticalCache::builder(ROLES).key("roleId").limit("5s", asks).start(&changes, roles).await?,
            standings: CriticalCache::builder(STATUSES)
                .key("userId")
                .limit("5s", asks)
                .start(&changes, standings)
                .await?,
            users: ReferenceCache::builder(USERS).ttl("5m").target_hit_ratio(0.85).start(&changes, users).await?,
            changes,
            wrapper,
        })
    }
}
