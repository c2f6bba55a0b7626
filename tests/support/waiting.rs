//! Waiting for what comes about by itself.

use std::time::{Duration, Instant};

/// Waits until something is so.
///
/// # Panics
/// If it is not for 20 s.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(20), "for 20 s it was not so that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
