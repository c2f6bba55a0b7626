//! Takes the body of a response for an entry, or leaves it exactly as it was (R9).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::{Bytes, BytesMut};

use crate::outcome::RefusalReason;

/// A body that was taken whole, or one to pass on and why.
pub(in crate::http) enum Captured {
    Whole(Bytes),
    Passed(BoxBody, RefusalReason),
}

/// Takes a body of known length within `limit`. A longer one is not even touched. Neither is one of unknown length, which
/// may never end, unless `streams`: then it is taken until it ends or exceeds the limit.
pub(in crate::http) async fn capture(body: BoxBody, limit: usize, streams: bool) -> Captured {
    let length = match body.size() {
        BodySize::None => 0,
        BodySize::Stream if streams => return collect_stream(body, limit).await,
        BodySize::Sized(length) => match usize::try_from(length) {
            Ok(length) if length <= limit => length,
            _ => return Captured::Passed(body, RefusalReason::BodyTooLarge),
        },
        BodySize::Stream => return Captured::Passed(body, RefusalReason::StreamingBody),
    };
    match body.try_into_bytes() {
        Ok(bytes) if bytes.len() == length => Captured::Whole(bytes),
        Ok(bytes) => Captured::Passed(BoxBody::new(bytes), RefusalReason::BodyIncomplete),
        Err(body) => collect(body, length).await,
    }
}

async fn collect(mut body: BoxBody, length: usize) -> Captured {
    let mut taken = BytesMut::with_capacity(length);
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            Some(Ok(chunk)) => taken.extend_from_slice(&chunk),
            None if taken.len() == length => return Captured::Whole(taken.freeze()),
            end => {
                // Pass on what came, and then the same end: the client must see what it would have seen.
                let error = end.and_then(Result::err);
                let replay =
                    Replay { size: BodySize::Sized(length as u64), taken: Some(taken.freeze()), error, rest: None };
                return Captured::Passed(BoxBody::new(replay), RefusalReason::BodyIncomplete);
            }
        }
        if taken.len() > length {
            let size = BodySize::Sized(length as u64);
            let replay = Replay { size, taken: Some(taken.freeze()), error: None, rest: Some(body) };
            return Captured::Passed(BoxBody::new(replay), RefusalReason::BodyIncomplete);
        }
    }
}

async fn collect_stream(mut body: BoxBody, limit: usize) -> Captured {
    let mut taken = BytesMut::new();
    let (error, rest, reason) = loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            Some(Ok(chunk)) => taken.extend_from_slice(&chunk),
            Some(Err(error)) => break (Some(error), None, RefusalReason::BodyIncomplete),
            None => return Captured::Whole(taken.freeze()),
        }
        if taken.len() > limit {
            break (None, Some(body), RefusalReason::BodyTooLarge);
        }
    };
    let replay = Replay { size: BodySize::Stream, taken: Some(taken.freeze()), error, rest };
    Captured::Passed(BoxBody::new(replay), reason)
}

/// What was taken of a body that turned out not to be whole, followed by how it went on.
struct Replay {
    size: BodySize,
    taken: Option<Bytes>,
    error: Option<Box<dyn std::error::Error>>,
    rest: Option<BoxBody>,
}

impl MessageBody for Replay {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        if let Some(taken) = this.taken.take().filter(|taken| !taken.is_empty()) {
            return Poll::Ready(Some(Ok(taken)));
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut this.rest {
            Some(rest) => Pin::new(rest).poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::SizedStream;
    use futures_util::stream;

    use super::*;

    type Chunk = Result<Bytes, std::io::Error>;

    fn sized(length: u64, chunks: Vec<Chunk>) -> BoxBody {
        BoxBody::new(SizedStream::new(length, stream::iter(chunks)))
    }

    async fn replayed(mut body: BoxBody) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        loop {
            match poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
                Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
                Some(Err(_)) => return (bytes, true),
                None => return (bytes, false),
            }
        }
    }

    fn refused(captured: Captured) -> (BoxBody, RefusalReason) {
        match captured {
            Captured::Passed(body, reason) => (body, reason),
            Captured::Whole(bytes) => panic!("{bytes:?} was taken"),
        }
    }

    #[actix_web::test]
    async fn r9_a_whole_body_is_taken() {
        let body = sized(5, vec![Ok("he".into()), Ok("llo".into())]);
        assert!(matches!(capture(body, 5, false).await, Captured::Whole(bytes) if bytes == "hello"));
        assert!(matches!(capture(BoxBody::new("hello"), 5, false).await, Captured::Whole(bytes) if bytes == "hello"));
        assert!(matches!(capture(BoxBody::new(()), 5, true).await, Captured::Whole(bytes) if bytes.is_empty()));
    }

    #[actix_web::test]
    async fn r9_what_is_not_whole_passes_on_with_its_own_end() {
        for (chunks, expected) in [
            (vec![Ok("he".into()), Err(std::io::Error::other("cut"))], ("he", true)),
            (vec![Ok("he".into())], ("he", false)),
            (vec![Ok("hello!".into()), Ok("!".into())], ("hello!!", false)),
        ] {
            let (body, reason) = refused(capture(sized(5, chunks), 10, false).await);
            assert_eq!(reason, RefusalReason::BodyIncomplete);
            assert!(matches!(body.size(), BodySize::Sized(5)));
            assert_eq!(replayed(body).await, (expected.0.as_bytes().to_vec(), expected.1));
        }
    }

    #[actix_web::test]
    async fn r9_large_and_streaming_bodies_are_not_touched() {
        // A stream that fails the test when it is polled.
        let untouched = || stream::poll_fn(|_| -> Poll<Option<Chunk>> { panic!("polled") });
        let (_, reason) = refused(capture(BoxBody::new(SizedStream::new(6, untouched())), 5, false).await);
        assert_eq!(reason, RefusalReason::BodyTooLarge);
        let (_, reason) = refused(capture(BoxBody::new(actix_web::body::BodyStream::new(untouched())), 5, false).await);
        assert_eq!(reason, RefusalReason::StreamingBody);
    }

    #[actix_web::test]
    async fn r9_a_stream_is_taken_where_streams_are() {
        let stream = |chunks: Vec<Chunk>| BoxBody::new(actix_web::body::BodyStream::new(stream::iter(chunks)));
        let whole = capture(stream(vec![Ok("he".into()), Ok("llo".into())]), 5, true).await;
        assert!(matches!(whole, Captured::Whole(bytes) if bytes == "hello"));
        for (chunks, reason, expected) in [
            (vec![Ok("hello!".into()), Ok("!".into())], RefusalReason::BodyTooLarge, ("hello!!", false)),
            (vec![Ok("he".into()), Err(std::io::Error::other("cut"))], RefusalReason::BodyIncomplete, ("he", true)),
        ] {
            let (body, why) = refused(capture(stream(chunks), 5, true).await);
            assert_eq!(why, reason);
            assert!(matches!(body.size(), BodySize::Stream));
            assert_eq!(replayed(body).await, (expected.0.as_bytes().to_vec(), expected.1));
        }
    }
}
