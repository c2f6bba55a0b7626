//! Fuzzing by mutation, in stable Rust: seeds, words that matter, and chance. What panics, and what takes too long for
//! its size, is a finding; its bytes are shown.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use actix_web::http::header::{self, HeaderValue};
use cache_middleware::entry::{self, Entry, Lifetime, MarkList, Payload, Stamp, StoredResponse};
use cache_middleware::fuzzing;

use crate::Rng;

/// Something that takes any bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "header", run: fuzzing::header, seeds: header_seeds },
    Target { name: "key", run: fuzzing::key, seeds: key_seeds },
    Target { name: "entry", run: fuzzing::entry, seeds: entry_seeds },
    Target { name: "tag", run: fuzzing::tag, seeds: key_seeds },
    Target { name: "message", run: fuzzing::message, seeds: message_seeds },
];

/// What mutation puts in, because it means something to somebody.
const WORDS: [&[u8]; 34] = [
    b"max-age=",
    b"no-store",
    b"private=\"",
    b"no-cache",
    b"s-maxage=",
    b"\"",
    b"\\\"",
    b",",
    b";",
    b"=",
    b"*",
    b"W/\"",
    b"bytes=",
    b"-",
    b"q=0.",
    b"gzip",
    b"identity",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"99999999999999999999",
    b"?0",
    b"(",
    b")",
    b":",
    b"/",
    b"%",
    b"\xff",
    b"\x00",
    b"host=",
    b"for=",
    b"CMW",
    b"18446744073709551615:",
    b"/k9:",
    b";1:",
    b"-/r/",
];

/// The longest input, as long as all headers of a request may be.
const LONGEST: usize = 100_000;

impl Target {
    /// Runs for a time; gives how many inputs there were.
    ///
    /// # Panics
    /// With the first finding.
    pub fn fuzz(&self, time: Duration, rng: &mut Rng) -> u64 {
        let mut corpus = (self.seeds)();
        let began = Instant::now();
        let mut inputs = 0;
        while began.elapsed() < time {
            let mut input = pick(&corpus, rng).to_vec();
            for _ in 0..=rng.below(6) {
                mutate(&mut input, &corpus, rng);
            }
            input.truncate(LONGEST);
            self.check(&input);
            inputs += 1;
            if rng.below(50) == 0 && corpus.len() < 500 {
                corpus.push(input);
            }
        }
        inputs
    }

    fn check(&self, input: &[u8]) {
        let began = Instant::now();
        let survived = catch_unwind(AssertUnwindSafe(|| (self.run)(input))).is_ok();
        let took = began.elapsed();
        assert!(survived, "{}: a finding: {}", self.name, shown(input));
        // In proportion, with room for a machine that does something else meanwhile.
        let allowed =
            Duration::from_millis(500) + Duration::from_micros(20) * u32::try_from(input.len()).unwrap_or(u32::MAX);
        assert!(took < allowed, "{}: {} bytes take {took:?}: {}", self.name, input.len(), shown(input));
    }
}

fn shown(input: &[u8]) -> String {
    input.escape_ascii().to_string().chars().take(2_000).collect()
}

fn pick<'a>(corpus: &'a [Vec<u8>], rng: &mut Rng) -> &'a [u8] {
    &corpus[index(rng, corpus.len())]
}

fn index(rng: &mut Rng, length: usize) -> usize {
    usize::try_from(rng.below(length.max(1) as u64)).unwrap_or(0)
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = index(rng, input.len() + 1);
    match rng.below(8) {
        0 if !input.is_empty() => {
            let at = at.min(input.len() - 1);
            input[at] ^= 1 << rng.below(8);
        }
        1 if !input.is_empty() => drop(input.drain(at.min(input.len() - 1)..)),
        2 => input.insert(at, u8::try_from(rng.below(256)).unwrap_or(0)),
        3 => drop(input.splice(at..at, pick(corpus, rng).to_vec())),
        4 => {
            let word = WORDS[index(rng, WORDS.len())];
            let times = if rng.below(200) == 0 { 20_000 } else { 1 };
            drop(input.splice(at..at, word.repeat(times)));
        }
        5 if !input.is_empty() => {
            let end = (at + index(rng, 20)).min(input.len());
            drop(input.drain(at.min(end)..end));
        }
        _ => {
            let word = WORDS[index(rng, WORDS.len())];
            drop(input.splice(at..at, word.iter().copied()));
        }
    }
}

fn header_seeds() -> Vec<Vec<u8>> {
    [
        "max-age=60, stale-while-revalidate=30, private=\"a, b\"",
        "no-store",
        "Accept-Encoding, Foo, *",
        "\"abc\", W/\"def\"",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "bytes=0-5, 7-",
        "gzip;q=0.5, br;q=1.0, *;q=0",
        "host=a.example;proto=https;for=\"[::1]:80\"",
        "\"group one\", \"two\";x=1",
        "a.example:8080",
    ]
    .iter()
    .map(|seed| seed.as_bytes().to_vec())
    .collect()
}

fn message_seeds() -> Vec<Vec<u8>> {
    let message =
        br#"{"eventId":"change-123","eventType":"credit-config-changed","tenantId":"123","data":{"operationCode":
        "crm.leads.create","changedFields":["credit_cost"],"newValue":3.0,"oldValue":null,"version":7}}"#;
    vec![message.to_vec(), br#"{"position":"00000000000000ff 7","sealed":"00ff"}"#.to_vec()]
}

fn key_seeds() -> Vec<Vec<u8>> {
    [
        &b"acme\xffapp::list\xff3:foo,\xff5:hello,\xffx"[..],
        b"-/r/http://a.example/x",
        b"\xff\xff\xff\xff",
        b"4:acme/k3:abc;1:x/y",
    ]
    .iter()
    .map(|seed| seed.to_vec())
    .collect()
}

fn entry_seeds() -> Vec<Vec<u8>> {
    let entry = |payload| Entry {
        stamp: Stamp { incarnation: 7, clock: 1_700_000_000_000_001 },
        key: "-/r/x".into(),
        marks: MarkList::default(),
        stored_at_ms: 1,
        life: Lifetime::fresh(Duration::from_secs(9)),
        payload,
    };
    let response = StoredResponse {
        status: 200,
        headers: vec![(header::ETAG, HeaderValue::from_static("b"))],
        body: "body".into(),
    };
    [Payload::Response(response), Payload::Value("1".into()), Payload::Selector(vec!["foo".into()])]
        .map(|payload| entry::encode(&entry(payload)))
        .to_vec()
}
