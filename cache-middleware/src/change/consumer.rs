//! Hears the channels of an application, and gives each to its follower.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::channel;
use super::counts::{ConsumerProgress, Counts, count, is_told};
use super::follower::{Followed, Follower, Told, WAITING};
use super::route::Route;
use crate::error::CacheError;
use crate::manager::{CacheManager, in_a_runtime};
use crate::policy::duration_of;
use crate::store::{Hearer, Hearing, Pushed};

/// What beats may be.
const BEATS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

/// How often a follower is looked for that is about to end.
const ATTEMPTS: usize = 3;

/// Hears what sources of truth tell of their data, for the caches that are started with it. Clones share everything; keep one as long
/// as the service runs.
///
/// ```
/// use cache_middleware::{CacheManager, ChangeConsumer, ChangeMessage, ChangePublisher};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().build().await?;
/// let changes = ChangeConsumer::builder("crm").beat("20ms").start(&cache).await?.tenant("acme")?;
/// // Responses with the tag `users:7` are cleared by messages of other programs as well.
/// changes.clears("users")?;
///
/// let publisher = ChangePublisher::builder("crm").start(&cache).await?.tenant("acme")?;
/// let message = ChangeMessage::new("user-renamed").field("id", 7).changed(&["name"]);
/// assert!(!publisher.publish("users", message).await?.waiting);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "with its last handle nothing is heard any more"]
pub struct ChangeConsumer {
    shared: Arc<Shared>,
    cache: CacheManager,
    _hearing: Arc<dyn Hearing>,
}

impl fmt::Debug for ChangeConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeConsumer").field("app", &self.shared.app).field("cache", &self.cache).finish()
    }
}

/// Settings of a [`ChangeConsumer`].
///
/// At work: [`crate::ChangeConsumer`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ChangeConsumerBuilder {
    app: String,
    beat: String,
}

impl ChangeConsumerBuilder {
    /// How often a channel is asked whether something was missed: a duration from 10ms to 60s. Default `250ms`. A lost message is in
    /// effect after so long, and a proof that none is lost is as old.
    pub fn beat(mut self, duration: impl Into<String>) -> Self {
        self.beat = duration.into();
        self
    }

    /// Starts to hear, within the Tokio runtime that lives as long as the service.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if a setting is not one, or if the store of the manager has no channels.
    pub async fn start(self, cache: &CacheManager) -> Result<ChangeConsumer, CacheError> {
        in_a_runtime()?;
        channel::check("an application", &self.app)?;
        let beat = duration_of("beat", &self.beat)?;
        if !BEATS.contains(&beat) {
            return Err(CacheError::Invalid(format!("a beat of {beat:?} is out of range: it is 10ms to 60s")));
        }
        let store = cache.store();
        let Some(channels) = store.channels() else {
            return Err(CacheError::Invalid(format!("{} has no channels", store.describe())));
        };
        let shared = Arc::new(Shared {
            app: self.app,
            beat,
            runtime: Handle::current(),
            followers: Mutex::default(),
            counts: Arc::default(),
        });
        cache.measure(&shared.counts);
        let hearing = channels.listen(&channel::prefix(&shared.app), Arc::new(Ear(Arc::downgrade(&shared))));
        Ok(ChangeConsumer { shared, cache: cache.clone(), _hearing: hearing.into() })
    }
}

impl ChangeConsumer {
    /// The settings of a consumer of an application's channels, `app:tenant:data-type`. An application is 1 to 64 of
    /// `A-Z a-z 0-9 . _ -`.
    pub fn builder(app: impl Into<String>) -> ChangeConsumerBuilder {
        ChangeConsumerBuilder { app: app.into(), beat: "250ms".to_owned() }
    }

    /// A handle for this tenant's channels.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the name is not a tenant name.
    pub fn tenant(&self, name: &str) -> Result<Self, CacheError> {
        Ok(Self { cache: self.cache.tenant(name)?, ..self.clone() })
    }

    /// What was heard, and what became of it.
    #[must_use]
    pub fn progress(&self) -> ConsumerProgress {
        self.shared.counts.progress()
    }

    /// Has messages of other programs on a data type's channel clear what is cached under their records' tags, `data-type:value`, as
    /// a [`crate::ChangePublisher`] does by itself. A [`crate::ReferenceCache`] has that done; call it for responses with such tags.
    ///
    /// # Errors
    /// [`CacheError::Invalid`] if the data type is not one.
    pub fn clears(&self, data_type: &str) -> Result<(), CacheError> {
        channel::check("a data type", data_type)?;
        self.shared.follower(&self.cache, data_type, true);
        Ok(())
    }

    /// The manager, as the tenant's whose channels these are.
    pub(crate) fn cache(&self) -> &CacheManager {
        &self.cache
    }

    /// Has a cache follow a data type for as long as it is there. When this returns it is told everything from now on; if the store is
    /// away, it is told that it has missed something as soon as that is known.
    pub(crate) async fn follow(&self, data_type: &str, route: &Weak<dyn Route>) -> Result<(), CacheError> {
        channel::check("a data type", data_type)?;
        // The one there is may be about to end, because nobody followed.
        for _ in 0..ATTEMPTS {
            let (joined, joins) = oneshot::channel();
            let follower = self.shared.follower(&self.cache, data_type, false);
            if follower.send(Told::Joins(route.clone(), joined)).await.is_ok() && joins.await.is_ok() {
                return Ok(());
            }
        }
        Err(CacheError::Invalid("the runtime of this consumer has ended".to_owned()))
    }
}

struct Shared {
    app: String,
    beat: Duration,
    runtime: Handle,
    followers: Mutex<Followers>,
    counts: Arc<Counts>,
}

/// By channel.
type Followers = HashMap<String, (mpsc::Sender<Told>, Arc<Followed>)>;

impl Shared {
    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The follower of a channel, which stays for what it clears if that is wanted.
    fn follower(self: &Arc<Self>, cache: &CacheManager, data_type: &str, clears: bool) -> mpsc::Sender<Told> {
        let channel = channel::name(&self.app, cache.current_tenant(), data_type);
        let mut followers = self.followers();
        followers.retain(|_, (told, _)| !told.is_closed());
        let (told, followed) = followers.entry(channel).or_insert_with_key(|channel| {
            let (told, tells) = mpsc::channel(WAITING);
            let followed = Arc::new(Followed::default());
            let names = (data_type.to_owned(), channel.clone());
            let follower = Follower::new(cache.clone(), names, self.beat, self.counts.clone(), followed.clone());
            self.runtime.spawn(follower.run(tells, self.ends(channel.clone(), followed.clone())));
            (told, followed)
        });
        followed.clears.fetch_or(clears, Ordering::SeqCst);
        told.clone()
    }

    /// Whether a follower may end that nobody follows, and takes it away then.
    fn ends(self: &Arc<Self>, channel: String, of: Arc<Followed>) -> impl Fn() -> bool + use<> {
        let shared = Arc::downgrade(self);
        move || {
            let Some(shared) = shared.upgrade() else { return true };
            let mut followers = shared.followers();
            if of.clears.load(Ordering::SeqCst) {
                return false;
            }
            if followers.get(&channel).is_some_and(|(_, followed)| Arc::ptr_eq(followed, &of)) {
                followers.remove(&channel);
            }
            true
        }
    }
}

/// Gives what is heard to who follows it.
struct Ear(Weak<Shared>);

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

impl Hearer for Ear {
    fn heard(&self, pushed: Pushed) {
        let Some(shared) = self.0.upgrade() else { return };
        let followers = shared.followers();
        match followers.get(&pushed.channel) {
            Some((follower, followed)) => {
                let is_counted = pushed.position.is_some();
                if follower.try_send(Told::Pushed(pushed)).is_err() {
                    count(&shared.counts.overflowed);
                    // One that is counted is found by the number of who comes next, or by the next beat.
                    followed.overflowed.fetch_or(!is_counted, Ordering::SeqCst);
                }
            }
            None => {
                let owner = channel::owner(&pushed.channel);
                let same: Vec<&str> =
                    followers.keys().filter(|known| channel::owner(known) == owner).map(String::as_str).collect();
                if !same.is_empty() {
                    let so_many = count(&shared.counts.unknown);
                    if is_told(so_many) {
                        log::warn!(
                            "nobody here follows {:?}, only {}; {so_many} such messages so far: is its data type spelt as it should be?",
                            pushed.channel,
                            same.join(", ")
                        );
                    }
                }
            }
        }
    }

    fn hears(&self) {
        let Some(shared) = self.0.upgrade() else { return };
        for (follower, _) in shared.followers().values() {
            let _ = follower.try_send(Told::Look);
        }
    }
}
