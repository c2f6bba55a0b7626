//! Where one server is: at an address, or wherever the sentinels say.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionInfo};

use super::address::{SentinelAddress, elsewhere};
use super::site::connect_error;
use crate::error::StoreError;

const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(super) enum Place {
    At(ConnectionInfo),
    Master(Arc<SentinelAddress>),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Place {
    /// Host and port, or the name of the master.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::At(info) => info.addr().to_string(),
            Self::Master(sentinel) => format!("the master {:?}", sentinel.master),
        }
    }

    /// Whether it is somebody else who says where it is.
    pub(super) fn is_found(&self) -> bool {
        matches!(self, Self::Master(_))
    }

    /// How to connect now.
    pub(super) async fn resolve(&self) -> Result<ConnectionInfo, StoreError> {
        let sentinel = match self {
            Self::At(info) => return Ok(info.clone()),
            Self::Master(sentinel) => sentinel,
        };
        let mut last = StoreError::Unavailable("no sentinel is given".to_owned());
        for info in &sentinel.sentinels {
            match ask(info, &sentinel.master).await {
                Ok(Some((host, port))) => return Ok(elsewhere(&sentinel.server, &host, port)),
                Ok(None) => {
                    last = StoreError::Unsuitable(format!(
                        "the sentinel {} knows no master {:?}: check the name at the end of the address",
                        info.addr(),
                        sentinel.master
                    ));
                }
                Err(StoreError::Unsuitable(why)) => last = StoreError::Unsuitable(why),
                Err(error) => {
                    if !matches!(last, StoreError::Unsuitable(_)) {
                        last = error;
                    }
                }
            }
        }
        Err(last)
    }

    /// Whether the sentinels name another address than this.
    pub(super) async fn has_moved(&self, address: &str) -> bool {
        match self {
            Self::At(_) => false,
            Self::Master(_) => self.resolve().await.is_ok_and(|info| info.addr().to_string() != address),
        }
    }
}

async fn ask(info: &ConnectionInfo, master: &str) -> Result<Option<(String, u16)>, StoreError> {
    let client = Client::open(info.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connection.map_err(|error| connect_error(&error))?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(master);
    command.query_async(&mut connection).await.map_err(|error| connect_error(&error))
}
