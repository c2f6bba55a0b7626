//! What happens to the fleet from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cache_suite::Rng;
use tokio::sync::Notify;

use super::backend::Backend;
use super::clients::Fleet;
use super::ledger::Ledger;

/// How often which fault was made.
#[derive(Default)]
pub(crate) struct Counts(BTreeMap<&'static str, u32>);

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| write!(f, "{what} {count}, "))
    }
}

/// Makes faults, one after the other with rests between, until a moment; leaves everything as it should be.
pub(crate) async fn rain(
    fleet: Arc<Fleet>,
    (mut backend, mut ledger): (Backend, Ledger),
    mut rng: Rng,
    until: Instant,
    over: Arc<Notify>,
) -> Counts {
    let mut counts = Counts::default();
    // A first stretch of good weather.
    tokio::time::sleep(Duration::from_secs(2)).await;
    while Instant::now() + Duration::from_secs(6) < until {
        let what = match rng.below(13) {
            0 | 1 => {
                let index = usize::try_from(rng.below(fleet.nodes.len() as u64)).unwrap_or(0);
                fleet.kill(index);
                tokio::time::sleep(Duration::from_millis(rng.below(1_500))).await;
                fleet.revive(index).await;
                "node killed"
            }
            2 | 3 => {
                let index = usize::try_from(rng.below(fleet.nodes.len() as u64)).unwrap_or(0);
                let node = &fleet.nodes[index];
                node.stopped.store(true, Ordering::SeqCst);
                fleet.signal(index, "-STOP");
                tokio::time::sleep(Duration::from_millis(200 + rng.below(3_000))).await;
                fleet.signal(index, "-CONT");
                node.stopped.store(false, Ordering::SeqCst);
                "node paused"
            }
            4 => {
                backend.pause(&mut rng).await;
                "redis paused"
            }
            5 => {
                backend.restart(&mut rng).await;
                "redis restarted"
            }
            6 => {
                backend.save();
                "snapshot"
            }
            7 => backend.refuse_writes(&mut rng).await,
            10.. => ledger.suffer(&mut rng).await,
            _ => backend.weather(&mut rng).await,
        };
        *counts.0.entry(what).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(200 + rng.below(1_500))).await;
    }
    // Redis lives until everybody has ended.
    over.notified().await;
    counts
}
