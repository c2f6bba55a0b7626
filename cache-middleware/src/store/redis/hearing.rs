//! A connection on which channels are heard. It is only the quick way: what it misses, whoever hears asks for ([`Channels::since`]).
//!
//! [`Channels::since`]: crate::store::Channels::since

use std::sync::Arc;
use std::time::Duration;

use redis::aio::SendError;
use redis::{Client, PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::router::{Router, distinct};
use super::settings::Settings;
use super::site::{Site, config, open, store_error};
use crate::backoff::Backoff;
use crate::error::StoreError;
use crate::store::{Hearer, Hearing, Pushed};
use crate::time::Moment;

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_millis(500);

/// How often a connection is asked whether it is there.
const BEAT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct RedisHearing {
    task: JoinHandle<()>,
}

impl Hearing for RedisHearing {}

impl Drop for RedisHearing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RedisHearing {
    pub(super) fn start(router: Arc<Router>, settings: Arc<Settings>, prefix: &str, hearer: Arc<dyn Hearer>) -> Self {
        let pattern = pattern_of(prefix);
        let task = tokio::spawn(async move {
            let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
            // Every node of a cluster tells everything that is published at any of them.
            for turn in 0_usize.. {
                let sites = distinct(router.map().sites());
                let Some(site) = sites.get(turn % sites.len().max(1)).cloned() else {
                    tokio::time::sleep(FIRST_RETRY).await;
                    continue;
                };
                drop(sites);
                let began = Moment::now();
                let ended = hear(&site, &settings, &pattern, &hearer).await;
                let why = ended.err().map_or_else(|| "the server may be another now".to_owned(), |e| e.to_string());
                log::debug!("{pattern} is not heard at {}: {why}", site.place.shown());
                backoff.lasted(Moment::now().since(began));
                tokio::time::sleep(backoff.rest()).await;
            }
        });
        Self { task }
    }
}

/// All channels that begin so, whatever is in it.
fn pattern_of(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for letter in prefix.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('*');
    pattern
}

async fn hear(
    site: &Arc<Site>,
    settings: &Arc<Settings>,
    pattern: &str,
    hearer: &Arc<dyn Hearer>,
) -> Result<(), StoreError> {
    let connections = site.connections()?;
    let client = Client::open(connections.info.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
    let over = Arc::new(Notify::new());
    let (told, takes, opens) = (over.clone(), hearer.clone(), settings.clone());
    let config = config(settings).set_push_sender(move |push| {
        take(&push, &opens, &*takes, &told);
        Ok::<(), SendError>(())
    });
    let mut connection = open(&client, &config).await?;
    connection.psubscribe(pattern).await.map_err(|error| {
        if error.code() == Some("NOPERM") {
            log::warn!(
                "the user of Redis may not hear {pattern}, and changes are found only by asking: give it the rights that \
                 docs/redis.md lists"
            );
        }
        store_error(&error)
    })?;
    hearer.hears();
    let mut lost_beats = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = over.notified() => return Err(StoreError::Unavailable("the connection was lost".to_owned())),
        }
        if !Arc::ptr_eq(&site.connections()?, &connections) {
            return Ok(());
        }
        match redis::cmd("PING").exec_async(&mut connection).await {
            Ok(()) => lost_beats = 0,
            Err(error) => {
                lost_beats += 1;
                if error.is_unrecoverable_error() || lost_beats == 2 {
                    return Err(store_error(&error));
                }
            }
        }
    }
}

fn take(push: &PushInfo, settings: &Settings, hearer: &dyn Hearer, over: &Notify) {
    match push.kind {
        PushKind::PMessage => {}
        PushKind::Disconnection | PushKind::PUnsubscribe => return over.notify_one(),
        _ => return,
    }
    let [_, Value::BulkString(channel), Value::BulkString(raw)] = push.data.as_slice() else { return };
    let Ok(channel) = std::str::from_utf8(channel) else { return };
    let (position, payload) = settings.pushed(channel, raw);
    hearer.heard(Pushed { channel: channel.to_owned(), position, payload });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stands_for_itself() {
        assert_eq!(pattern_of("crm:123:"), "crm:123:*");
        assert_eq!(pattern_of("crm:a*[b]?\\:"), "crm:a\\*\\[b\\]\\?\\\\:*");
    }
}
