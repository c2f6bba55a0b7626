//! Answers that were given before, with their `ETag`s (RFC 9110 section 8.8.3): what has not changed is not sent again.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use lru::LruCache;

const MOST: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Answers by their address, at most so many bytes of them.
pub(super) struct Known {
    most_bytes: usize,
    state: Mutex<State>,
}

struct State {
    answers: LruCache<String, (String, Bytes)>,
    bytes: usize,
}

fn weight(url: &str, etag: &str, body: &Bytes) -> usize {
    url.len() + etag.len() + body.len()
}

impl Known {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, state: Mutex::new(State { answers: LruCache::new(MOST), bytes: 0 }) }
    }

    pub(super) fn get(&self, url: &str) -> Option<(String, Bytes)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answers.get(url).cloned()
    }

    pub(super) fn put(&self, url: &str, etag: String, body: &Bytes) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if weight(url, &etag, body) > self.most_bytes {
            if let Some((etag, body)) = state.answers.pop(url) {
                state.bytes -= weight(url, &etag, &body);
            }
            return;
        }
        state.bytes += weight(url, &etag, body);
        if let Some((old_url, (old_etag, old))) = state.answers.push(url.to_owned(), (etag, body.clone())) {
            state.bytes -= weight(&old_url, &old_etag, &old);
        }
        while state.bytes > self.most_bytes {
            let Some((url, (etag, body))) = state.answers.pop_lru() else { break };
            state.bytes -= weight(&url, &etag, &body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_as_many_bytes_are_known_as_may_be() {
        let known = Known::new(100);
        let body = Bytes::from_static(&[b'x'; 40]);
        for url in ["a", "b", "a", "c"] {
            known.put(url, "\"1\"".to_owned(), &body);
        }
        assert!(known.get("a").is_some() && known.get("c").is_some());
        assert!(known.get("b").is_none());
        known.put("huge", "\"1\"".to_owned(), &Bytes::from_static(&[b'x'; 200]));
        assert!(known.get("huge").is_none() && known.get("a").is_some(), "it takes no room from others");
        known.put("a", "\"2\"".to_owned(), &Bytes::from_static(&[b'x'; 200]));
        assert!(known.get("a").is_none(), "it is not what it was");
    }
}
