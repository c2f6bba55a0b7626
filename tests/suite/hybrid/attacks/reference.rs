//! Reference data, sources over HTTP, data by type.

use super::*;

/// "served while the source is away": one that says no is not away.
#[tokio::test]
async fn stale_is_not_served_against_a_refusal() {
    #[derive(Debug)]
    struct Revoked(AtomicU64);
    impl SourceOfTruth<String, i64> for Revoked {
        async fn one(&self, key: &String) -> Result<Option<Record<String, i64>>, SourceError> {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(Some(Record { key: key.clone(), version: 1, value: 1 })),
                _ => Err(SourceError::Refused("it says 403".to_owned())),
            }
        }
    }
    let time = ManualTime::default();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().time(time.clone()).build());
    let changes = follows(&node(&store).await).await;
    let users: ReferenceCache<String, i64> =
        ReferenceCache::builder("users").start(&changes, Revoked(AtomicU64::new(0))).await.unwrap();
    assert_eq!(users.get(&a()).await.unwrap(), Some(1));
    time.advance(Duration::from_secs(301));
    let after = users.get(&a()).await;
    assert!(after.is_err(), "{after:?}");
}

/// A record whose value is written as `null` is there.
#[tokio::test]
async fn a_record_that_is_null_is_not_nothing() {
    #[derive(Debug)]
    struct Nicknames;
    impl SourceOfTruth<String, Option<String>> for Nicknames {
        async fn one(&self, key: &String) -> Result<Option<Record<String, Option<String>>>, SourceError> {
            Ok(Some(Record { key: key.clone(), version: 1, value: None }))
        }
    }
    let store = TestStore::open(Kind::Memory).await;
    let changes = follows(&store.node().await).await;
    let names: ReferenceCache<String, Option<String>> =
        ReferenceCache::builder("names").start(&changes, Nicknames).await.unwrap();
    let first = names.get(&a()).await.unwrap();
    let second = names.get(&a()).await.unwrap();
    assert_eq!(first, second);
}

#[derive(Debug, serde::Deserialize)]
struct Row {
    name: String,
}

impl From<Row> for Record<String, i64> {
    fn from(row: Row) -> Self {
        Record { key: row.name, version: 1, value: 1 }
    }
}

/// Answers 404 to everything; gives the first line of what it was asked.
async fn listens() -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 4_096];
            let read = stream.read(&mut bytes).await.unwrap_or(0);
            let line = String::from_utf8_lossy(&bytes[..read]).lines().next().unwrap_or_default().to_owned();
            let _ = tell.send(line);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    (port, told)
}

/// A key is one segment of the path, whatever it is.
#[tokio::test]
async fn a_key_does_not_lead_to_another_path() {
    let (port, mut told) = listens().await;
    let source = HttpSource::builder(format!("http://127.0.0.1:{port}/api")).build().unwrap();
    let things = source.resource::<Row>().one_at("/users/{key}/profile");
    for key in ["", ".", ".."] {
        let refused: Result<Option<Record<String, i64>>, _> = things.one(&key.to_owned()).await;
        assert!(matches!(refused, Err(SourceError::Refused(_))), "{refused:?}");
    }
    assert!(told.try_recv().is_err(), "it was asked");
}

#[tokio::test]
async fn a_limit_that_is_none_is_no_panic() {
    let (port, _told) = listens().await;
    let source = HttpSource::builder(format!("http://127.0.0.1:{port}")).within(Duration::MAX).build().unwrap();
    let asked = tokio::spawn(async move { source.get("/x").await.map(|answer| answer.status) });
    assert!(asked.await.is_ok(), "it panicked");
}

/// A read with a body is another question than the one without it.
#[tokio::test]
async fn an_etag_is_of_one_question() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        // One version of the data, as a service tells it that has an `ETag` for its database.
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 4_096];
            let mut read = 0;
            loop {
                let n = stream.read(&mut bytes[read..]).await.unwrap_or(0);
                read += n;
                let text = String::from_utf8_lossy(&bytes[..read]).to_string();
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
                let whole = body.as_ref().is_some_and(|body| !text.contains("content-length") || !body.is_empty());
                if n == 0 || whole {
                    let body = body.unwrap_or_default();
                    let answer = if text.contains("if-none-match") {
                        "HTTP/1.1 304 Not Modified\r\netag: \"db-7\"\r\nconnection: close\r\n\r\n".to_owned()
                    } else {
                        format!(
                            "HTTP/1.1 200 OK\r\netag: \"db-7\"\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                            body.len()
                        )
                    };
                    let _ = stream.write_all(answer.as_bytes()).await;
                    break;
                }
            }
        }
    });
    let source = HttpSource::builder(format!("http://127.0.0.1:{port}")).build().unwrap();
    let first = source.send("GET", "/search", &"alice", None).await.unwrap();
    let second = source.send("GET", "/search", &"bob", None).await.unwrap();
    assert_ne!(first.body, second.body);
}

/// The proof that several callers get of one question, and the errors of a batch: what was fetched for the others is kept.
#[tokio::test]
async fn one_record_s_error_does_not_throw_the_others_away() {
    let store = TestStore::open(Kind::Memory).await;
    let source = Gated::of(&[]);
    let names: Vec<String> = (0..201).map(|number| format!("user-{number}")).collect();
    for name in &names {
        source.set(name, 1, Some(1));
    }
    *source.refuses.lock().expect("a lock") = Some("user-200".to_owned());
    let changes = follows(&store.node().await).await;
    let users: ReferenceCache<String, i64> =
        ReferenceCache::builder("users").start(&changes, ToGated(source.clone())).await.unwrap();
    assert!(users.get_many(&names).await.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut cached = 0;
    for name in &names[..200] {
        cached += usize::from(users.look(name).await.unwrap().cached);
    }
    assert_eq!(cached, 200, "they were fetched, and are fetched again one by one");
}

/// A data set and a reference cache of one type, of no tenant: "cannot be forged".
#[tokio::test]
async fn a_data_set_and_a_reference_cache_of_one_type_are_apart() {
    use cache_middleware::{ChangeConsumer, DataSet, DataStrategy};
    let store = TestStore::open(Kind::Memory).await;
    let node = store.node().await;
    let authority = Authority::of(&[("a", 1)]);
    let changes = ChangeConsumer::builder(APP).start(&node).await.unwrap();
    let users: ReferenceCache<String, i64> =
        ReferenceCache::builder("user").start(&changes, To(authority.clone())).await.unwrap();
    let profiles: DataSet<i64> = DataStrategy::profiles().of(&node).unwrap();
    assert_eq!(users.get(&a()).await.unwrap(), Some(1));
    let fetched = profiles.get_or_fetch(&["a"], async || Ok::<_, SourceError>(2)).await.unwrap();
    assert_eq!(fetched, 2, "it is the other's");
}

/// Errors are reads that did not find their record.
#[tokio::test]
async fn reads_that_fail_are_not_left_out_of_the_ratio() {
    use cache_middleware::{DataSet, DataStrategy};
    let store = TestStore::open(Kind::Memory).await;
    let node = store.node().await;
    let profiles: DataSet<i64> = DataStrategy::profiles().of(&node).unwrap();
    for _ in 0..10 {
        let _ = profiles.get_or_fetch(&["a"], async || Err::<i64, _>("away")).await;
    }
    assert_eq!(node.hit_ratios()[0].misses, 10);
}
