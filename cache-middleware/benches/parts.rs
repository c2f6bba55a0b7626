//! Times of the small parts that every request is made of.
//!
//! ```sh
//! cargo bench -p cache-middleware --bench parts
//! ```

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use bytes::Bytes;
use cache_middleware::Pattern;
use cache_middleware::entry::{Entry, Lifetime, Payload, Stamp, StoredResponse, decode, encode};
use cache_middleware::key::{Key, KeySpace, KeyWriter};
use cache_middleware::store::{Clearing, Filling, MemoryStore, Store, Target};
use cache_middleware::tag::{Mark, Tag};
use divan::{Bencher, counter::BytesCount};
use futures_util::FutureExt;

/// The bodies that are coded.
const SIZES: [usize; 3] = [200, 2_048, 64 << 10];

fn main() {
    divan::main();
}

fn key() -> Key {
    Key::new(None, KeySpace::Value, None, "sessions:7")
}

fn tag() -> Tag {
    Tag::new("teacher:7").expect("a tag")
}

/// A response with three marks and two header lines.
fn entry(bytes: usize) -> Arc<Entry> {
    let key = key();
    let marks = [key.mark().clone(), Mark::tag(None, &tag()), Mark::route(None, "/sessions/{id}")];
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (ETAG, HeaderValue::from_static("\"0123456789abcdef\"")),
    ];
    let response = StoredResponse { status: 200, headers, body: Bytes::from(vec![b'x'; bytes]) };
    Arc::new(Entry {
        stamp: Stamp { incarnation: 1, clock: 1 },
        key: key.name().clone(),
        marks: marks.iter().collect(),
        stored_at_ms: 0,
        life: Lifetime::fresh(Duration::from_secs(3_600)),
        payload: Payload::Response(response),
    })
}

#[divan::bench]
fn key_of_a_handler(bencher: Bencher<'_, '_>) {
    bencher.bench(|| {
        let mut text = KeyWriter::new();
        for field in ["demo::sessions", "http", "localhost", "/api/v1/sessions?page=2", "7"] {
            text.field(field);
        }
        Key::new(None, KeySpace::Request, None, black_box(&text.finish()))
    });
}

#[divan::bench]
fn mark_of_a_tag(bencher: Bencher<'_, '_>) {
    let tag = tag();
    bencher.bench(|| Mark::tag(None, black_box(&tag)));
}

#[divan::bench]
fn pattern_match(bencher: Bencher<'_, '_>) {
    let pattern = Pattern::new("sessions:*:page:*").expect("a pattern");
    bencher.bench(|| pattern.matches(black_box("sessions:teacher:7:page:12")));
}

#[divan::bench(args = SIZES)]
fn frame_encode(bencher: Bencher<'_, '_>, bytes: usize) {
    let entry = entry(bytes);
    bencher.counter(BytesCount::new(bytes)).bench(|| encode(black_box(&entry)));
}

#[divan::bench(args = SIZES)]
fn frame_decode(bencher: Bencher<'_, '_>, bytes: usize) {
    let frame = Bytes::from(encode(&entry(bytes)));
    bencher.counter(BytesCount::new(bytes)).bench(|| decode(black_box(&frame)).expect("an entry"));
}

/// What a store in memory answers at once.
fn done<T, E: std::fmt::Debug>(answer: impl Future<Output = Result<T, E>>) -> T {
    answer.now_or_never().expect("an answer at once").expect("a good one")
}

#[divan::bench]
fn store_read(bencher: Bencher<'_, '_>) {
    let (store, key) = (MemoryStore::default(), key());
    fill(&store, &key);
    bencher.bench(|| assert!(done(store.read(&key)).found.is_some()));
}

fn fill(store: &MemoryStore, key: &Key) {
    let stamp = done(store.lease(key)).stamp;
    let entry = Arc::new(Entry { stamp, ..(*entry(2_048)).clone() });
    done(store.fill(key, &entry, &Filling::default()));
}

/// A lease, a fill, and the clear of its tag.
#[divan::bench]
fn store_fill_and_clear(bencher: Bencher<'_, '_>) {
    let (store, key, target) = (MemoryStore::default(), key(), [Target::Tag(None, tag())]);
    bencher.bench(|| {
        fill(&store, &key);
        assert_eq!(done(store.clear(&target, Clearing::default())).covered, 1);
    });
}
