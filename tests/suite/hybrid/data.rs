//! Data by type: keys, tags, lifetimes and the ratios that are wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::{App, HttpResponse, test, web};
use cache_middleware::store::{MemoryStore, Store};
use cache_middleware::time::ManualTime;
use cache_middleware::{CacheManager, Coherence, DataSet, DataStrategy, EntryAfterWrite};
use cache_suite::{Kind, TestStore, node, node_with_l1};

use super::until;

type Never = std::convert::Infallible;

async fn in_time() -> (ManualTime, CacheManager) {
    let time = ManualTime::default();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(time.clone()).build());
    (time, node(&store).await)
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn keys_say_type_tenant_and_id_and_cannot_be_forged() {
    let store = TestStore::open(Kind::Memory).await;
    let acme = store.node().await.tenant("acme").unwrap();
    let sessions: DataSet<u8> = DataStrategy::sessions().of(&acme).unwrap();
    assert_eq!(sessions.key(&["user123", "sess456"]), "session:acme:user123:sess456");
    assert_eq!(sessions.key(&["a:b"]), "session:acme:a%3Ab");
    assert_ne!(sessions.key(&["a:b"]), sessions.key(&["a", "b"]));
    assert_eq!(sessions.tag(&["user123"]), "session:user123");
    sessions.write(&["a", "b"], async || Ok::<_, Never>(1)).await.unwrap();
    assert_eq!(sessions.get(&["a:b"]).await.unwrap(), None);
    let other: DataSet<u8> = DataStrategy::sessions().of(&acme.tenant("other").unwrap()).unwrap();
    assert_eq!(other.get(&["a", "b"]).await.unwrap(), None, "p7");
    assert!(other.clear(&[]).await.unwrap_err().to_string().contains("clear_all"));
    other.clear_all().await.unwrap();
    assert_eq!(sessions.get(&["a", "b"]).await.unwrap(), Some(1), "p7");
}

#[tokio::test]
async fn sessions_slide_and_end_with_a_logout_or_a_new_password() {
    let (time, cache) = in_time().await;
    let sessions: DataSet<String> = DataStrategy::sessions().of(&cache).unwrap();
    let login = async |user, session| {
        let written = sessions.write(&[user, session], async || Ok::<_, Never>(user.to_owned())).await.unwrap();
        assert_eq!(written.entry, EntryAfterWrite::Stored);
    };
    login("ada", "1").await;
    login("ada", "2").await;
    login("bob", "1").await;
    for _ in 0..3 {
        time.advance(HOUR * 20);
        for id in [["ada", "1"], ["ada", "2"], ["bob", "1"]] {
            assert!(sessions.get(&id).await.unwrap().is_some(), "{id:?}");
        }
        // A TTL begins anew in the background.
        for _ in 0..1_000 {
            let entries = cache.entries("session", 10).await.unwrap();
            if entries.iter().all(|entry| entry.expires_in > HOUR * 23) {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    sessions.clear(&["ada", "1"]).await.unwrap();
    assert_eq!(sessions.get(&["ada", "1"]).await.unwrap(), None);
    assert!(sessions.get(&["ada", "2"]).await.unwrap().is_some());
    sessions.clear(&["ada"]).await.unwrap();
    assert_eq!(sessions.get(&["ada", "2"]).await.unwrap(), None);
    assert!(sessions.get(&["bob", "1"]).await.unwrap().is_some());
    time.advance(HOUR * 25);
    assert_eq!(sessions.get(&["bob", "1"]).await.unwrap(), None, "nobody has used it for a day");
}

#[tokio::test]
async fn p1_a_configuration_is_in_effect_on_all_nodes_when_it_is_written() {
    for kind in [Kind::Redis, Kind::RedisPartitioned] {
        let store = TestStore::open(kind).await;
        let mut caches = Vec::new();
        for _ in 0..3 {
            caches.push(node_with_l1(&store.store, Coherence::default()).await);
        }
        let of = |node: &CacheManager| DataStrategy::configuration().of(&node.tenant("acme").unwrap()).unwrap();
        let nodes: Vec<DataSet<u64>> = caches.iter().map(of).collect();
        for value in 0..30 {
            let writer = &nodes[usize::try_from(value).unwrap() % 3];
            writer.write(&["app_settings"], async || Ok::<_, Never>(value)).await.unwrap();
            for node in &nodes {
                let read = node.get_or_fetch(&["app_settings"], async || Ok::<u64, Never>(u64::MAX)).await.unwrap();
                assert!(read == value || read == u64::MAX, "{read} after {value} was written");
            }
        }
        let ratio = caches[0].hit_ratios()[0].ratio().unwrap();
        assert!(ratio > 0.9, "they are kept, and not only fetched: {ratio}");
    }
}

#[tokio::test]
async fn resources_are_fetched_anew_in_the_background() {
    let (time, cache) = in_time().await;
    let resources: DataSet<u64> = DataStrategy::resources().of(&cache).unwrap();
    let source = Arc::new(AtomicU64::new(1));
    let read = async || {
        let source = source.clone();
        let fetch = move || async move { Ok::<_, Never>(source.load(Ordering::SeqCst)) };
        resources.get_or_fetch(&["project", "proj123"], fetch).await.unwrap()
    };
    assert_eq!(read().await, 1);
    source.store(2, Ordering::SeqCst);
    time.advance(Duration::from_secs(23 * 60));
    assert_eq!(read().await, 1);
    time.advance(Duration::from_secs(2 * 60));
    assert_eq!(read().await, 1, "nobody waits");
    for _ in 0..1_000 {
        if read().await == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it was never fetched anew");
}

#[tokio::test]
async fn profiles_are_fetched_when_they_are_asked_for() {
    let (time, cache) = in_time().await;
    let profiles: DataSet<u64> = DataStrategy::profiles().of(&cache).unwrap();
    let get = |value: Result<u64, &'static str>| profiles.get_or_fetch(&["user123"], async move || value);
    assert_eq!(get(Ok(1)).await, Ok(1));
    assert_eq!(get(Ok(2)).await, Ok(1));
    time.advance(HOUR);
    assert_eq!(get(Err("away")).await, Ok(1), "stale while the source is away");
    time.advance(HOUR);
    assert_eq!(get(Err("away")).await, Err("away"));
    assert_eq!(get(Ok(3)).await, Ok(3));
    profiles.clear(&["user123"]).await.unwrap();
    assert_eq!(get(Ok(4)).await, Ok(4));
}

#[actix_web::test]
async fn ratios_are_told_beside_their_targets() {
    let cache = CacheManager::builder()
        .preset("api", DataStrategy::api_responses().key(|request| request.path().to_owned()))
        .without_annotation_checks()
        .build()
        .await
        .unwrap();
    let app = test::init_service(
        App::new().route("/users", web::get().to(async || HttpResponse::Ok().body("users")).wrap(cache.preset("api"))),
    )
    .await;
    let mut etag = None;
    for _ in 0..4 {
        let response = test::call_service(&app, test::TestRequest::get().uri("/users").to_request()).await;
        etag = response.headers().get("etag").cloned();
    }
    let known = test::TestRequest::get().uri("/users").insert_header(("if-none-match", etag.unwrap())).to_request();
    assert_eq!(test::call_service(&app, known).await.status(), 304);
    let profiles: DataSet<u8> = DataStrategy::profiles().target_hit_ratio(0.5).of(&cache).unwrap();
    for _ in 0..2 {
        profiles.get_or_fetch(&["1"], async || Ok::<_, Never>(1)).await.unwrap();
    }
    let ratios: Vec<(String, Option<f64>, Option<f64>)> =
        cache.hit_ratios().into_iter().map(|ratio| (ratio.data_type.clone(), ratio.ratio(), ratio.target)).collect();
    assert_eq!(ratios, [("api".to_owned(), Some(0.8), Some(0.7)), ("user".to_owned(), Some(0.5), Some(0.5))]);
    until("nothing else is counted", || cache.hit_ratios().len() == 2).await;
}

#[tokio::test]
async fn wrong_settings_are_refused() {
    let store = TestStore::open(Kind::Memory).await;
    let cache = store.node().await;
    let refused = |strategy: DataStrategy| strategy.of::<u8>(&cache).unwrap_err().to_string();
    assert!(refused(DataStrategy::profiles().named("a:b")).contains("\"a:b\""));
    let _users: DataSet<u64> = DataStrategy::profiles().of(&cache).unwrap();
    let _again: DataSet<u64> = DataStrategy::profiles().of(&cache).unwrap();
    assert!(refused(DataStrategy::profiles()).contains("u64 already"));
    assert!(refused(DataStrategy::profiles().ttl("soon")).contains("soon"));
    assert!(refused(DataStrategy::profiles().target_hit_ratio(1.5)).contains("1.5"));
    assert!(refused(DataStrategy::sessions().slides_for(Duration::from_secs(1))).contains("slide"));
}
