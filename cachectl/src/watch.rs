//! Signals as all nodes hear them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cache_middleware::CacheManager;
use cache_middleware::entry::Stamp;
use cache_middleware::store::{Listener, Signal, Told};
use cache_middleware::tag::Mark;
use cache_middleware::time::Moment;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::output::{Ended, Output};

/// What is heard.
#[derive(Debug)]
enum Heard {
    Signal { partition: u16, signal: Signal, late: Duration },
    Malformed { partition: u16 },
    Open { partition: u16 },
    Closed { partition: u16 },
}

/// Passes on what it hears, and keeps nothing that could be stale.
#[derive(Debug)]
struct Ear(UnboundedSender<Heard>);

impl Listener for Ear {
    fn signal(&self, partition: u16, _: u64, signal: &Signal, late: Duration) {
        let _ = self.0.send(Heard::Signal { partition, signal: signal.clone(), late });
    }

    fn malformed(&self, partition: u16, _: u64) {
        let _ = self.0.send(Heard::Malformed { partition });
    }

    fn proven(&self, partition: u16, _: u64, _: Stamp, _: Moment) {
        let _ = self.0.send(Heard::Open { partition });
    }

    fn closed(&self, partition: u16, _: u64) {
        let _ = self.0.send(Heard::Closed { partition });
    }
}

pub(crate) async fn watch(cache: &CacheManager, count: Option<u64>, output: &Output) -> Result<Ended, String> {
    let (heard, mut hears) = unbounded_channel();
    // Without a lease: no clear waits for this program.
    let member = cache.store().join(Arc::new(Ear(heard)), Duration::ZERO);
    let member = member.ok_or_else(|| "this store has no signals".to_owned())?;
    member.ready().await;
    if !output.is_json() {
        output.show(&(), || "watching; interrupt it to end".to_owned());
    }
    let mut left = count;
    // Partitions whose connection is known to be lost: each try to get it back would say so again.
    let mut lost = BTreeSet::new();
    while left != Some(0) {
        let heard = tokio::select! {
            heard = hears.recv() => heard,
            _ = tokio::signal::ctrl_c() => break,
        };
        match heard {
            None => break,
            // Of another tenant.
            Some(Heard::Signal { signal, .. }) if !is_of(cache, &signal) => {}
            Some(Heard::Signal { partition, signal, late }) => {
                lost.remove(&partition);
                shown(partition, &signal, late, output);
                left = left.map(|left| left.saturating_sub(1));
            }
            Some(Heard::Malformed { partition }) => note(partition, "something that is no signal", output),
            Some(Heard::Open { partition }) => {
                if lost.remove(&partition) {
                    note(partition, "the connection is back", output);
                }
            }
            Some(Heard::Closed { partition }) => {
                if lost.insert(partition) {
                    note(partition, "the connection is lost: signals may be missed", output);
                }
            }
        }
    }
    Ok(Ended::Done)
}

/// Whether a signal is about the tenant that is meant, if one is.
fn is_of(cache: &CacheManager, signal: &Signal) -> bool {
    let Some(tenant) = cache.tenant_name() else { return true };
    signal.told.iter().any(|told| match told {
        Told::Mark(mark) => Mark::tenant_of(mark).as_ref() == Some(&tenant),
        Told::Many => true,
    })
}

fn shown(partition: u16, signal: &Signal, late: Duration, output: &Output) {
    let cleared: Vec<String> = signal.told.iter().map(told).collect();
    let late_ms = late.as_secs_f64() * 1_000.0;
    let by = signal.by.to_string();
    let value = json!({
        "partition": partition, "cleared": cleared, "clock": signal.at.clock, "by": by, "strict": signal.strict, "lateMs": late_ms,
    });
    output.show(&value, || {
        let strict = if signal.strict { ", strict" } else { "" };
        format!("{}  by {by}{strict}, {late_ms:.2} ms after its acknowledgement", cleared.join(", "))
    });
}

fn note(partition: u16, what: &str, output: &Output) {
    output.show(&json!({"partition": partition, "note": what}), || format!("partition {partition}: {what}"));
}

fn told(told: &Told) -> String {
    match told {
        Told::Mark(mark) => Mark::shown(mark),
        Told::Many => "everything, or what matches a pattern".to_owned(),
    }
}
