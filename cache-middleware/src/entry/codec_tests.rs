//! The frame: golden bytes, and nothing but what was written is read (promise P10).

use ::http::header::{self, HeaderName, HeaderValue};
use proptest::prelude::*;

use std::time::Duration;

use super::*;
use crate::tag::{Mark, Tag};
use crate::tenant::Tenant;
use crate::time::Millis;

fn sample() -> Entry {
    let tenant = Tenant::new("acme").unwrap();
    Entry {
        stamp: Stamp { incarnation: 0x0123_4567_89ab_cdef, clock: 1_700_000_000_000_001 },
        key: "4:acme/r/27:example".into(),
        marks: [
            Mark::tag(Some(&tenant), &Tag::new("teacher:7").unwrap()),
            Mark::key(Some(&tenant), "27:example", false),
        ]
        .iter()
        .collect(),
        stored_at_ms: 1_700_000_000_000,
        life: Lifetime {
            initial_age: Millis(7_000),
            stale_if_error: Millis(60_000),
            cost: Millis(120),
            ..Lifetime::fresh(Duration::from_secs(300))
        },
        payload: Payload::Response(StoredResponse {
            status: 200,
            headers: vec![
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::LINK, HeaderValue::from_static("a")),
                (header::LINK, HeaderValue::from_bytes(b"\xff b").unwrap()),
            ],
            body: Bytes::from_static(b"{\"success\":true}"),
        }),
    }
}

fn value() -> Entry {
    Entry { payload: Payload::Value(Bytes::from_static(b"[1,2]")), ..sample() }
}

fn selector() -> Entry {
    Entry { payload: Payload::Selector(vec!["accept".into(), "foo".into()]), ..sample() }
}

/// Frames as version 4 writes them. If this fails, what is in Redis after an upgrade is not read any more: raise
/// [`FRAME_VERSION`], so that it is a miss by its version and not by luck, and add the new files beside these.
#[test]
fn golden_frames_are_written_and_read() {
    for (entry, golden) in [
        (sample(), &include_bytes!("../../tests/golden/response-v4.bin")[..]),
        (value(), &include_bytes!("../../tests/golden/value-v4.bin")[..]),
        (selector(), &include_bytes!("../../tests/golden/selector-v4.bin")[..]),
    ] {
        assert_eq!(encode(&entry), golden, "{}", String::from_utf8_lossy(&encode(&entry)));
        assert_eq!(decode(&Bytes::from_static(golden)), Ok((entry, codec::State::Fresh)));
    }
}

#[test]
fn the_state_is_read_as_a_store_rewrites_it() {
    let mut frame = encode(&sample());
    frame[4..40].copy_from_slice(b"stal17000000000000021700000000000002");
    assert_eq!(decode(&frame.into()).unwrap().1, codec::State::Expired { at: 1_700_000_000_000_002 });
}

#[test]
fn p10_another_version_is_a_miss() {
    let mut frame = encode(&sample());
    frame[3] += 1;
    assert_eq!(decode(&frame.into()), Err(DecodeError::Version));
}

#[test]
fn p10_every_flipped_bit_is_a_miss() {
    let fresh = encode(&sample());
    let mut expired = fresh.clone();
    expired[4..40].copy_from_slice(&codec::State::Expired { at: 1_700_000_000_000_002 }.bytes());
    for frame in [fresh, expired] {
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped.into()).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn p10_every_cut_is_a_miss() {
    let frame = encode(&sample());
    for length in 0..frame.len() {
        assert!(decode(&Bytes::copy_from_slice(&frame[..length])).is_err(), "cut to {length}");
    }
    let mut longer = frame;
    longer.push(0);
    assert!(decode(&longer.into()).is_err());
}

fn any_mark() -> impl Strategy<Value = Mark> {
    (".{0,40}", any::<bool>()).prop_map(|(id, indexed)| Mark { id: id.into(), indexed })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let name = "[a-z-]{1,20}".prop_map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap());
    let value =
        proptest::collection::vec(0x20..=0x7e_u8, 0..200).prop_map(|value| HeaderValue::from_bytes(&value).unwrap());
    let headers = proptest::collection::vec((name, value), 0..6);
    let response = (any::<u16>(), headers, bytes())
        .prop_map(|(status, headers, body)| Payload::Response(StoredResponse { status, headers, body }));
    let names = proptest::collection::vec("[a-z-]{1,20}".prop_map(Arc::from), 0..4);
    let payload = prop_oneof![response, bytes().prop_map(Payload::Value), names.prop_map(Payload::Selector)];
    let life = (proptest::array::uniform6(any::<u64>()), any::<bool>());
    let life = life.prop_map(|(ms, must_revalidate)| codec::from_ms(ms, must_revalidate));
    let stamp = (any::<u64>(), 0..10_000_000_000_000_000_u64);
    (stamp, ".{0,60}", proptest::collection::vec(any_mark(), 0..6), any::<u64>(), life, payload).prop_map(
        |((incarnation, clock), key, marks, stored_at_ms, life, payload)| Entry {
            stamp: Stamp { incarnation, clock },
            key: key.into(),
            marks: marks.iter().collect(),
            stored_at_ms,
            life,
            payload,
        },
    )
}

proptest! {
    #[test]
    fn p10_every_entry_survives_the_way(entry in any_entry()) {
        let frame = Bytes::from(encode(&entry));
        prop_assert_eq!(decode(&frame), Ok((entry, codec::State::Fresh)));
    }

    #[test]
    fn p10_random_bytes_are_a_miss(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(&bytes.into()).is_err());
    }

    #[test]
    fn p10_random_bytes_behind_a_right_head_are_a_miss(
        tail in proptest::collection::vec(any::<u8>(), 0..300),
        lengths in any::<[u8; 8]>(),
    ) {
        // Even with a right checksum: whoever can write to Redis can compute one.
        let mut frame = encode(&sample())[..80].to_vec();
        frame.extend_from_slice(&lengths);
        frame.extend_from_slice(&tail);
        let sum = crate::digest::frame_sum(&[&frame[..4], &frame[40..72], &frame[80..]]);
        frame[72..80].copy_from_slice(&sum);
        // Whatever it is read as, reading does not panic.
        let _ = decode(&frame.into());
    }
}
