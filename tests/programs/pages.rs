//! What the pages show of Rust that no example shows: each function is a page's. Run by `tests/suite/documents.rs`, to its end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::{Data, Path};
use actix_web::{App, HttpResponse, HttpServer, get, test, web};
use cache_middleware::store::MemoryStore;
use cache_middleware::store::contract::{BEHAVIOURS, Harness};
use cache_middleware::{
    CacheHealthMonitor, CacheManager, ChangeConsumer, ChangeMessage, ChangePublisher, CriticalCache, Dashboard,
    DataSet, DataStrategy, HttpSource, PastLimit, Record, ReferenceCache, SourceError, SourceOfTruth, Warm, Warming,
    cached,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};

type Ended = Result<(), Box<dyn std::error::Error>>;

mod adaptive_ttl {
    use super::*;

    #[get("/menus/{org}")]
    #[cached(ttl = "1m", adaptive_ttl = "10s..10m")] // a handler or a function
    async fn menu(org: Path<u64>) -> String {
        format!("the menu of {org}")
    }

    pub(super) fn shown(cache: &CacheManager) -> Ended {
        let (shortest, longest) = (Duration::from_secs(10), Duration::from_secs(600));
        let middleware = cache.response("1m").adaptive_ttl("10s..10m"); // or a preset

        let policy = cache.policy("1m")?.adaptive_ttl(shortest, longest)?; // a value

        let _ = (App::new().service(menu).service(web::resource("/").wrap(middleware)), policy);
        Ok(())
    }
}

async fn change_messages(cache: &CacheManager) -> Ended {
    let publisher = ChangePublisher::builder("crm").start(cache).await?.tenant("123")?;
    let message = ChangeMessage::new("credit-config-changed")
        .field("operationCode", "crm.leads.create") // what names the record
        .changed(&["credit_cost"])
        .from_to(2.5, 3.0) // to `null`: it is gone
        .version(7);
    publisher.publish("credit-configs", message).await?;

    Ok(())
}

/// A table of a database.
#[derive(Default)]
struct Costs(Mutex<HashMap<String, Record<String, f64>>>);

impl Costs {
    fn rows(&self) -> Vec<Record<String, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl SourceOfTruth<String, f64> for Costs {
    async fn one(&self, key: &String) -> Result<Option<Record<String, f64>>, SourceError> {
        Ok(self.rows().into_iter().find(|row| row.key == *key))
    }

    /// For critical data.
    async fn all(&self) -> Result<Vec<Record<String, f64>>, SourceError> {
        Ok(self.rows())
    }
}

async fn critical_data(changes: &ChangeConsumer) -> Ended {
    let source = Costs::default();
    let costs: CriticalCache<String, f64> = CriticalCache::builder("credit-configs") // the data type of its channel
        .key("operationCode") // the field of messages that names the record; default "id"
        .refresh("5m") // everything anew, although nothing seems to be missing; the default
        .limit("10s", PastLimit::AskSource) // what `get` does when the proof is older; the default
        .start(changes, source)
        .await?;

    assert_eq!(costs.get(&"none".to_owned()).await?, None);
    Ok(())
}

async fn dashboard(cache: &CacheManager, token: &str) -> Ended {
    let monitor = CacheHealthMonitor::builder().start(cache)?;
    let dashboard = Dashboard::builder(&monitor).password(token).build()?;
    let app = App::new().configure(|config| dashboard.mount(config, "/cache"));

    let app = test::init_service(app).await;
    let response = test::call_service(&app, test::TestRequest::get().uri("/cache/").to_request()).await;
    assert_eq!(response.status(), 401);
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    device: String,
}

/// What has the sessions.
#[derive(Clone)]
struct Database;

impl Database {
    async fn open(&self, session: Session) -> Result<Session, Infallible> {
        Ok(session)
    }

    async fn session(&self) -> Result<Session, Infallible> {
        Ok(Session { device: "laptop".to_owned() })
    }
}

async fn data_by_type(cache: &CacheManager) -> Ended {
    let (database, session) = (Database, Session { device: "phone".to_owned() });
    let acme = cache.tenant("acme")?;
    let sessions: DataSet<Session> = DataStrategy::sessions().of(&acme)?;
    let id = ["user123", "sess456"];

    sessions.write(&id, async || database.open(session).await).await?; // the source, the cache, the other nodes
    let known = sessions.get_or_fetch(&id, move || async move { database.session().await }).await?; // begins the 24 h anew
    sessions.clear(&id).await?; // logout
    sessions.clear(&["user123"]).await?; // new password: all of hers

    let projects: DataSet<String> = DataStrategy::resources().ttl("10m").of(&acme)?;
    projects.get_or_fetch(&["project", "proj123"], || async { Ok::<_, Infallible>("a project".to_owned()) }).await?;

    assert_eq!((known.device.as_str(), sessions.get(&id).await?), ("phone", None));
    Ok(())
}

async fn health(cache: &CacheManager) -> Ended {
    let page_somebody = |health: &cache_middleware::Health| println!("{:?}", health.verdict);
    let monitor = CacheHealthMonitor::builder()
        .interval("30s") // or CACHE_HEALTH_CHECK_INTERVAL, in milliseconds
        .window("5m")
        .on_change(move |health| page_somebody(health))
        .start(cache)?;
    let health = monitor.check().await; // now; `monitor.health()` is the last one

    assert!(health.reasons.is_empty(), "{:?}", health.reasons);
    Ok(())
}

/// As the service writes it.
#[derive(Deserialize)]
struct CreditConfig {
    code: String,
    cost: f64,
    version: u64,
}

impl From<CreditConfig> for Record<String, f64> {
    fn from(CreditConfig { code, cost, version }: CreditConfig) -> Self {
        Record { key: code, version, value: cost }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: String,
    name: String,
}

impl From<User> for Record<String, User> {
    fn from(user: User) -> Self {
        Record { key: user.id.clone(), version: 0, value: user }
    }
}

/// Compiled, and not run: there is no wrapper to ask.
async fn hybrid_data(cache: &CacheManager) -> Ended {
    let changes = ChangeConsumer::builder("crm").start(cache).await?.tenant("123")?;
    let wrapper = HttpSource::builder("http://wrapper:8090").build()?;

    let source = wrapper.resource::<CreditConfig>().all_at("/credit-configs").one_at("/credit-configs/{key}");
    let costs = CriticalCache::builder("credit-configs").key("operationCode").start(&changes, source).await?;

    let source = wrapper.resource::<User>().one_at("/users/{key}").many_at("/users?ids={keys}");
    let users = ReferenceCache::builder("users").ttl("5m").start(&changes, source).await?;

    let cost: Option<f64> = costs.get(&"crm.leads.create".to_owned()).await?;
    let user: Option<User> = users.get(&"user-456".to_owned()).await?;

    println!("{cost:?} {user:?}");
    Ok(())
}

#[get("/metrics")]
async fn metrics(cache: CacheManager, recorded: Data<PrometheusHandle>) -> HttpResponse {
    cache.publish_metrics(); // up to the moment; every 5 s by itself
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(recorded.render())
}

/// Before the manager is built. Buckets, not quantiles: those of several nodes can be added up, and the files in operations/ ask for them.
fn record() -> Result<PrometheusHandle, Box<dyn std::error::Error>> {
    let buckets = [1e-6, 1e-5, 2.5e-5, 1e-4, 2.5e-4, 1e-3, 2.5e-3, 1e-2, 0.05, 0.25, 1.0, 10.0, 60.0, 3600.0];
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets)?;
    let recorded = builder.install_recorder()?;
    let upkeep = recorded.clone();
    actix_web::rt::spawn(async move {
        loop {
            actix_web::rt::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep(); // or what nobody scrapes grows
        }
    });
    Ok(recorded)
}

/// Compiled, and not run: it would go on.
async fn told() -> Ended {
    let recorded = Data::new(record()?);
    let cache = CacheManager::builder().from_env().build().await?;
    let app = move || App::new().app_data(cache.clone()).app_data(recorded.clone()).service(metrics);
    HttpServer::new(app).bind("127.0.0.1:8080")?.run().await?;

    Ok(())
}

mod reference_data {
    use super::*;

    pub(super) async fn shown(changes: &ChangeConsumer) -> Ended {
        let (source, id) = (Costs::default(), "a".to_owned());
        let ids = [id.clone()];
        let users: ReferenceCache<String, f64> = ReferenceCache::builder("users") // the data type of its channel
            .ttl("5m") // a duration, or a TTL name of the manager; the default, as are those below
            .negative_ttl("5s") // that there is no such record
            .stale_if_error("1h") // served so long after the TTL while the source is away: not if it refuses
            .target_hit_ratio(0.85) // told beside what is reached, by `cache.hit_ratios()`
            .start(changes, source)
            .await?;

        let found = users.look(&id).await?; // value, cached, expires_in, outcome
        let several = users.get_many(&ids).await?;

        assert!(found.value.is_none() && several.len() == 1);
        let _ = App::new().service(card);
        Ok(())
    }

    #[get("/users/{id}/card")]
    #[cached(ttl = "5m", tags = ["users:{id}"])]
    async fn card(id: Path<String>) -> String {
        format!("the card of {id}")
    }
}

fn sources(token: &str) -> Ended {
    let wrapper = HttpSource::builder("http://wrapper:8090/api")
        .header("authorization", token) // never in a log
        .within(Duration::from_secs(5)) // a question, with all its attempts
        .attempt_within(Duration::from_secs(2)) // one attempt
        .retries(2) // of reads, after 50 ms at most, then 100 ms: a random part of it
        .most_at_once(64) // questions under way; more wait
        .build()?;
    let costs = wrapper.resource::<CreditConfig>(); // what the service writes, in JSON
    let costs = costs.all_at("/credit-configs").one_at("/credit-configs/{key}").many_at("/credit-configs?codes={keys}");

    let _ = costs;
    Ok(())
}

async fn testing() {
    let my_empty_store = MemoryStore::default;
    for behaviour in BEHAVIOURS {
        let harness = Harness::new(my_empty_store(), |by| Box::pin(tokio::time::sleep(by)));
        (behaviour.check)(harness).await; // panics with what is wrong
    }
}

async fn menu(cache: &CacheManager, org: u64) -> Result<String, Infallible> {
    let policy = cache.policy("5m").expect("a policy");
    cache.get_or_set(&format!("menu:{org}"), &policy, async || Ok(format!("the menu of {org}"))).await
}

fn warm(org: u64) -> Warm {
    Warm::new(format!("menu:{org}"), async move |cache| menu(&cache, org).await.map(drop))
}

fn warming() -> Warming {
    Warming::new()
        .at_start(async |_| [7, 8, 9].map(warm).into()) // what is asked for most
        .on("menu.updated", |event| {
            let org = event.field("org").and_then(|org| org.parse().ok());
            org.map(|org| warm(org).priority(10)).into_iter().collect()
        })
        .concurrency(4)
        .per_second(50)
        .within(Duration::from_secs(30))
}

#[actix_web::main]
async fn main() -> Ended {
    let cache = CacheManager::builder().on("menu.updated", ["menu:{org}"]).build().await?;
    adaptive_ttl::shown(&cache)?;
    change_messages(&cache).await?;
    let changes = ChangeConsumer::builder("crm").start(&cache).await?.tenant("123")?;
    critical_data(&changes).await?;
    dashboard(&cache, "0123456789abcdef").await?;
    data_by_type(&cache).await?;
    health(&cache).await?;
    reference_data::shown(&changes).await?;
    sources("Bearer x")?;
    testing().await;
    let warmer = cache_middleware::CacheWarmer::start(&cache, warming())?;
    warmer.ready().await;
    assert_eq!(cache.get::<String>("menu:9").await.as_deref(), Some("the menu of 9"));
    let _ = (hybrid_data(&cache), told());
    Ok(())
}
