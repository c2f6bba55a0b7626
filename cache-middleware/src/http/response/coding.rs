//! Stored responses in the codings that callers accept (RFC 9110 section 12.5.3).

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use bytes::Bytes;

use crate::entry::StoredResponse;
use crate::http::field::list;
use crate::policy::Coding;

/// Smaller bodies do not get smaller by more than the fields that say so.
const SMALLEST_BODY: usize = 256;

/// Larger bodies are coded on a thread where nobody waits for anything else.
#[cfg(feature = "compress")]
const LARGEST_AT_ONCE: usize = 32 << 10;

/// The coding to answer in: the one that the caller wants most, and of several the first that is offered. `None` is the
/// response's own.
pub(in crate::http) fn negotiate(headers: &HeaderMap, offered: &[Coding]) -> Option<Coding> {
    if offered.is_empty() || !headers.contains_key(header::ACCEPT_ENCODING) {
        return None;
    }
    let mut any = 0;
    let mut identity = None;
    let mut wanted = vec![None; offered.len()];
    for member in list::members(headers, header::ACCEPT_ENCODING) {
        let Some((name, weight)) = weighted(member) else { continue };
        match name.as_str() {
            "*" => any = weight,
            "identity" => identity = Some(weight),
            "x-gzip" => set(&mut wanted, offered, "gzip", weight),
            name => set(&mut wanted, offered, name, weight),
        }
    }
    let best = offered
        .iter()
        .zip(&wanted)
        .map(|(coding, weight)| (*coding, weight.unwrap_or(any)))
        .filter(|(_, weight)| *weight > 0)
        // Of equal ones the first: `max_by_key` would take the last.
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    // A response's own coding is accepted unless it is named, and wanted less than what is (RFC 9110 section 12.5.3).
    best.filter(|(_, weight)| identity.is_none_or(|identity| *weight >= identity)).map(|(coding, _)| coding)
}

fn set(wanted: &mut [Option<u16>], offered: &[Coding], name: &str, weight: u16) {
    if let Some(place) = offered.iter().position(|coding| coding.token() == name) {
        wanted[place] = Some(weight);
    }
}

/// A member of the list, its name in lower case, and its weight in thousandths; `None` if the weight is malformed.
fn weighted(member: &[u8]) -> Option<(String, u16)> {
    let text = std::str::from_utf8(member).ok()?;
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let weight = match parameters.trim().split_once('=') {
        None if parameters.trim().is_empty() => 1_000,
        Some((q, value)) if q.trim().eq_ignore_ascii_case("q") => thousandths(value.trim())?,
        _ => return None,
    };
    Some((name.trim().to_ascii_lowercase(), weight))
}

/// `0`, `1`, `0.5`, `1.000`: at most three digits after the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = format!("{part:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1_000),
        _ => None,
    }
}

/// Whether a response may be sent in another coding than its own.
pub(in crate::http) fn may_be_coded(status: u16, headers: &HeaderMap) -> bool {
    let forbidden =
        list::members(headers, header::CACHE_CONTROL).any(|said| said.eq_ignore_ascii_case(b"no-transform"));
    status == 200
        && !forbidden
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_RANGE)
        && !is_dense(headers)
}

/// Whether a type is of bytes that are compressed already.
fn is_dense(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let picture = kind.starts_with(b"image/") && !kind.starts_with(b"image/svg");
    let packed = [&b"application/zip"[..], b"application/gzip", b"application/zstd", b"font/woff"];
    picture
        || kind.starts_with(b"video/")
        || kind.starts_with(b"audio/")
        || packed.iter().any(|packed| kind.starts_with(packed))
}

/// The response in a coding, with an entity tag of its own; `None` if it would not be smaller.
pub(in crate::http) async fn coded(coding: Coding, stored: &StoredResponse) -> Option<StoredResponse> {
    if stored.body.len() < SMALLEST_BODY {
        return None;
    }
    let body = encode(coding, stored.body.clone()).await.filter(|body| body.len() < stored.body.len())?;
    let headers = stored.headers.iter().map(|(name, value)| match name.as_str() {
        "etag" => (name.clone(), tagged(value, coding)),
        _ => (name.clone(), value.clone()),
    });
    let said = [(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()))];
    // Digests of the bytes of another coding are wrong (RFC 9530 section 3).
    let headers = headers
        .filter(|(name, _)| !matches!(name.as_str(), "content-md5" | "content-digest" | "repr-digest" | "digest"));
    Some(StoredResponse { status: stored.status, headers: headers.chain(said).collect(), body })
}

/// The entity tag of the same in a coding: other bytes have another one (RFC 9110 section 8.8.3.3).
fn tagged(etag: &HeaderValue, coding: Coding) -> HeaderValue {
    let tag = etag.as_bytes().strip_suffix(b"\"");
    let tagged = tag.map(|tag| [tag, b"-", coding.token().as_bytes(), b"\""].concat());
    tagged.and_then(|tagged| HeaderValue::from_maybe_shared(Bytes::from(tagged)).ok()).unwrap_or_else(|| etag.clone())
}

#[cfg(feature = "compress")]
async fn encode(coding: Coding, body: Bytes) -> Option<Bytes> {
    if body.len() <= LARGEST_AT_ONCE {
        return encode_now(coding, &body);
    }
    tokio::task::spawn_blocking(move || encode_now(coding, &body)).await.ok().flatten()
}

#[cfg(feature = "compress")]
fn encode_now(coding: Coding, body: &[u8]) -> Option<Bytes> {
    use std::io::Write as _;
    // What is made once is served often: a little more time is well spent.
    let coded = match coding {
        Coding::Brotli => {
            let parameters = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
            let mut out = Vec::new();
            brotli::BrotliCompress(&mut std::io::Cursor::new(body), &mut out, &parameters).ok()?;
            out
        }
        Coding::Zstd => zstd::bulk::compress(body, 6).ok()?,
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(body).ok()?;
            encoder.finish().ok()?
        }
    };
    // Cut to its length, which L1 counts: zstd has begun with a buffer for what cannot be compressed.
    Some(coded.into_boxed_slice().into())
}

#[cfg(not(feature = "compress"))]
#[expect(clippy::unused_async, reason = "the same as with the feature")]
async fn encode(_: Coding, _: Bytes) -> Option<Bytes> {
    None
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn negotiated(accept: &'static str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
        negotiate(&headers, &[Coding::Brotli, Coding::Zstd, Coding::Gzip]).map(Coding::token)
    }

    /// Fails when a buffer is kept as its encoder leaves it.
    #[cfg(feature = "compress")]
    #[test]
    fn p9_a_coded_body_takes_what_it_is_counted_as() {
        for coding in [Coding::Brotli, Coding::Zstd, Coding::Gzip] {
            let body = encode_now(coding, &b"again and ".repeat(6_000)).unwrap();
            let length = body.len();
            assert_eq!(body.try_into_mut().unwrap().capacity(), length, "{coding:?}");
        }
    }

    #[test]
    fn the_coding_is_what_the_caller_wants_most() {
        for (accept, expected) in [
            ("gzip, deflate, br", Some("br")),
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("GZIP;q=0.8, br;q=0.1", Some("gzip")),
            ("br;q=0.5, zstd;q=0.5", Some("br")),
            ("br;q=0", None),
            ("*", Some("br")),
            ("br;q=0, *", Some("zstd")),
            ("*;q=0", None),
            ("identity", None),
            ("identity;q=0.5, gzip;q=0.4", None),
            ("identity;q=0, gzip;q=0.1", Some("gzip")),
            ("br;q=2, gzip;q=x, zstd;q=0.0001", None),
            ("br ; Q = 0.7", Some("br")),
            ("", None),
            ("deflate", None),
        ] {
            assert_eq!(negotiated(accept), expected, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new(), &[Coding::Gzip]), None, "who does not ask gets the bytes as they are");
    }

    #[test]
    fn tags_are_those_of_the_coding() {
        assert_eq!(tagged(&HeaderValue::from_static("\"a\""), Coding::Brotli), "\"a-br\"");
        assert_eq!(tagged(&HeaderValue::from_static("W/\"a\""), Coding::Gzip), "W/\"a-gzip\"");
        assert_eq!(tagged(&HeaderValue::from_static("a"), Coding::Gzip), "a");
    }

    #[cfg(feature = "compress")]
    #[actix_web::test]
    async fn bodies_are_coded_if_that_makes_them_smaller() {
        let stored = |body: Vec<u8>| StoredResponse {
            status: 200,
            headers: vec![
                (header::ETAG, HeaderValue::from_static("\"a\"")),
                (header::HeaderName::from_static("content-md5"), HeaderValue::from_static("")),
            ],
            body: body.into(),
        };
        for coding in [Coding::Brotli, Coding::Zstd, Coding::Gzip] {
            for length in [1_000, LARGEST_AT_ONCE + 1] {
                let coded = coded(coding, &stored(vec![b'x'; length])).await.unwrap();
                let names: Vec<&str> = coded.headers.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(names, ["etag", "content-encoding"]);
                assert!(coded.body.len() < 100, "{coding:?}: {}", coded.body.len());
            }
            assert_eq!(super::coded(coding, &stored(b"short".to_vec())).await, None);
            let noise: Vec<u8> =
                (0..1_000_u32).flat_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes().to_vec()).collect();
            assert_eq!(super::coded(coding, &stored(noise)).await, None);
        }
    }
}
