//! Where one server is: at an address, or wherever the sentinels say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo};

use super::address::{SentinelAddress, elsewhere};
use super::site::connect_error;
use crate::error::StoreError;

const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(super) enum Place {
    At(Box<ConnectionInfo>),
    Master(Arc<Sentinels>),
}

/// Those who know where the master is, and the connections to them.
pub(super) struct Sentinels {
    address: SentinelAddress,
    open: Mutex<HashMap<usize, MultiplexedConnection>>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Place {
    pub(super) fn master_of(address: SentinelAddress) -> Self {
        Self::Master(Arc::new(Sentinels { address, open: Mutex::default() }))
    }

    /// Host and port, or the name of the master.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::At(info) => info.addr().to_string(),
            Self::Master(sentinels) => format!("the master {:?}", sentinels.address.master),
        }
    }

    /// Whether it is somebody else who says where it is.
    pub(super) fn is_found(&self) -> bool {
        matches!(self, Self::Master(_))
    }

    /// How to connect now.
    pub(super) async fn resolve(&self) -> Result<ConnectionInfo, StoreError> {
        let sentinels = match self {
            Self::At(info) => return Ok((**info).clone()),
            Self::Master(sentinels) => sentinels,
        };
        let mut last = StoreError::Unavailable("no sentinel is given".to_owned());
        let mut votes: Vec<((String, u16), usize)> = Vec::new();
        for answer in sentinels.ask_all().await {
            match answer {
                Ok(place) => match votes.iter_mut().find(|(other, _)| *other == place) {
                    Some((_, count)) => *count += 1,
                    None => votes.push((place, 1)),
                },
                Err(error @ StoreError::Unsuitable(_)) => last = error,
                Err(error) if !matches!(last, StoreError::Unsuitable(_)) => last = error,
                Err(_) => {}
            }
        }
        let ((host, port), _) = votes.into_iter().max_by_key(|(_, count)| *count).ok_or(last)?;
        Ok(elsewhere(&sentinels.address.server, &host, port))
    }

    /// Whether the sentinels still name this address: more than half of them answer, and all of these agree. The one that
    /// appoints a new master is the first to name another. Always so for a server that has an address of its own.
    pub(super) async fn is_still_at(&self, address: &str) -> bool {
        let sentinels = match self {
            Self::At(_) => return true,
            Self::Master(sentinels) => sentinels,
        };
        let answers = sentinels.ask_all().await;
        let mut named = answers.iter().flatten().map(|(host, port)| format!("{host}:{port}"));
        named.clone().count() * 2 > answers.len() && named.all(|named| named == address)
    }

    /// Whether the sentinels name another address than this.
    pub(super) async fn has_moved(&self, address: &str) -> bool {
        self.is_found() && self.resolve().await.is_ok_and(|info| info.addr().to_string() != address)
    }
}

impl Sentinels {
    async fn ask_all(&self) -> Vec<Result<(String, u16), StoreError>> {
        join_all((0..self.address.sentinels.len()).map(|index| self.ask(index))).await
    }

    async fn ask(&self, index: usize) -> Result<(String, u16), StoreError> {
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned();
        let info = &self.address.sentinels[index];
        let mut connection = match known {
            Some(connection) => connection,
            None => {
                let client = Client::open(info.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(PATIENCE))
                    .set_response_timeout(Some(PATIENCE));
                let opened = client.get_multiplexed_async_connection_with_config(&config).await;
                let opened = opened.map_err(|error| connect_error(&error))?;
                self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(index, opened.clone());
                opened
            }
        };
        let mut command = redis::cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg(&self.address.master);
        let answer: Result<Option<(String, u16)>, _> = command.query_async(&mut connection).await;
        match answer {
            Ok(Some(place)) => Ok(place),
            Ok(None) => Err(StoreError::Unsuitable(format!(
                "the sentinel {} knows no master {:?}: check the name at the end of the address",
                info.addr(),
                self.address.master
            ))),
            Err(error) => {
                self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&index);
                Err(connect_error(&error))
            }
        }
    }
}
