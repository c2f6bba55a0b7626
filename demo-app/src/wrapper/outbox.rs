//! The outbox: what a transaction has written into it is published, sooner or later, whatever dies.

use std::sync::Arc;
use std::time::Duration;

use cache_middleware::{CacheError, ChangePublisher};
use tokio::sync::Mutex;

use super::records::Records;

/// How often it is looked into although nobody has said that there is something.
const LOOK: Duration = Duration::from_millis(500);

pub(super) struct Outbox {
    records: Records,
    publisher: ChangePublisher,
    /// One at a time, so that messages leave in their order.
    turn: Mutex<()>,
}

impl Outbox {
    pub(super) fn new(records: Records, publisher: ChangePublisher) -> Self {
        Self { records, publisher, turn: Mutex::new(()) }
    }

    /// Publishes what is in it; says whether it is empty now.
    pub(super) async fn publish(&self) -> bool {
        let _turn = self.turn.lock().await;
        loop {
            let rows = match self.records.unpublished().await {
                Ok(rows) if rows.is_empty() => return true,
                Ok(rows) => rows,
                Err(error) => {
                    log::error!("the outbox cannot be read: {error}");
                    return false;
                }
            };
            for (row, data_type, message) in rows {
                let published = match serde_json::from_str(&message) {
                    Ok(message) => self.publisher.try_publish(&data_type, message).await,
                    Err(error) => Err(CacheError::Invalid(format!("it is no message ({error})"))),
                };
                let kept = match published {
                    Ok(()) => self.records.published(row).await,
                    // It would never be, and those after it may.
                    Err(error @ (CacheError::Invalid(_) | CacheError::Encode(_))) => {
                        log::error!("row {row} of the outbox is set aside: {error}");
                        self.records.set_aside(row).await
                    }
                    Err(error) => {
                        log::warn!("changes wait in the outbox: {error}");
                        return false;
                    }
                };
                if let Err(error) = kept {
                    log::error!("the outbox cannot be written: {error}");
                    return false;
                }
            }
        }
    }

    pub(super) async fn publish_for_ever(self: Arc<Self>) {
        loop {
            self.publish().await;
            actix_web::rt::time::sleep(LOOK).await;
        }
    }
}
