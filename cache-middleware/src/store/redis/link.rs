//! One multiplexed connection to Redis, kept alive by one task.
//!
//! Callers never wait for a reconnection: without a connection they are told so at once, and the handler answers
//! (promise P8). The task connects, checks that this Redis may be used, measures the difference between its time and
//! ours, and starts over when a command says that the connection is gone or when two heartbeats in a row are lost,
//! which is how a half-open connection shows itself.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, Script};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::layout::Layout;
use super::operations::new_incarnation;
use super::scripts::on;
use super::suitability;
use crate::error::StoreError;
use crate::time::{MonotonicTime, TimeSource};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
pub(super) struct LinkSettings {
    pub(super) info: ConnectionInfo,
    pub(super) command_timeout: Duration,
    pub(super) allow_unsafe_eviction: bool,
    pub(super) layout: Layout,
    pub(super) identity: Script,
}

struct Shared {
    status: RwLock<Status>,
    changed: watch::Sender<u64>,
    lost: Notify,
    time: MonotonicTime,
    /// Redis time less ours, in milliseconds.
    offset_ms: AtomicI64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Status {
    Connecting,
    Away(String),
    Unsuitable(String),
    Ready(MultiplexedConnection),
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Reads an address. The error never repeats the address, which may hold a password.
    pub(super) fn address(url: &str) -> Result<ConnectionInfo, String> {
        let info = url.into_connection_info().map_err(|error| error.to_string())?;
        let tcp = TcpSettings::default().set_nodelay(true);
        Ok(info.set_tcp_settings(tcp))
    }

    /// Starts the task; it must be called within a Tokio runtime, which must live as long as the link is used.
    pub(super) fn start(settings: LinkSettings) -> Result<Self, StoreError> {
        let client = Client::open(settings.info.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
        let shared = Arc::new(Shared {
            status: RwLock::new(Status::Connecting),
            changed: watch::Sender::new(0),
            lost: Notify::new(),
            time: MonotonicTime::default(),
            offset_ms: AtomicI64::new(0),
        });
        let task = tokio::spawn(keep(shared.clone(), client, settings));
        Ok(Self { shared, task })
    }

    /// Waits until the first attempt to connect has ended, one way or the other.
    pub(super) async fn first_attempt(&self) -> Result<(), StoreError> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            match self.shared.status() {
                Status::Connecting => {}
                Status::Ready(_) => return Ok(()),
                Status::Away(why) => return Err(StoreError::Unavailable(why)),
                Status::Unsuitable(why) => return Err(StoreError::Unsuitable(why)),
            }
            if changed.changed().await.is_err() {
                return Err(StoreError::Unavailable("the connection task has ended".to_owned()));
            }
        }
    }

    /// The connection, or at once the reason why there is none.
    pub(super) fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        match self.shared.status() {
            Status::Ready(connection) => Ok(connection),
            Status::Connecting => Err(StoreError::Unavailable("not connected yet".to_owned())),
            Status::Away(why) => Err(StoreError::Unavailable(why)),
            Status::Unsuitable(why) => Err(StoreError::Unsuitable(why)),
        }
    }

    /// Turns the error of a command into ours, and has the connection replaced if the error says it is gone.
    pub(super) fn report(&self, error: &RedisError) -> StoreError {
        if error.is_unrecoverable_error() {
            self.shared.lost.notify_one();
        }
        store_error(error)
    }

    /// Redis time in milliseconds, as last measured.
    pub(super) fn now_ms(&self) -> u64 {
        let offset = self.shared.offset_ms.load(Ordering::Relaxed);
        self.shared.time.now_ms().saturating_add_signed(offset)
    }
}

pub(super) fn store_error(error: &RedisError) -> StoreError {
    if error.is_unrecoverable_error() || error.is_timeout() || error.is_io_error() {
        StoreError::Unavailable(error.to_string())
    } else {
        StoreError::Failed(error.to_string())
    }
}

impl Shared {
    fn status(&self) -> Status {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, status: Status) {
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = status;
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Notes the difference between Redis time and ours; the half of the round trip is the error of it.
    async fn measure_time(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let before = self.time.now_ms();
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
        let middle = before.midpoint(self.time.now_ms());
        let redis_ms = seconds * 1_000 + micros / 1_000;
        self.offset_ms.store(redis_ms.cast_signed() - middle.cast_signed(), Ordering::Relaxed);
        Ok(())
    }
}

/// Connects for ever. The log tells each change once, not each attempt.
async fn keep(shared: Arc<Shared>, client: Client, settings: LinkSettings) {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(settings.command_timeout))
        .set_pipeline_buffer_size(1024);
    let mut retry = FIRST_RETRY;
    let address = settings.info.addr().to_string();
    // Whether the log knows of a trouble, and whether it is one that waiting does not mend.
    let mut told: Option<bool> = None;
    let mut first = true;
    loop {
        match connect(&shared, &client, &config, &settings).await {
            Ok(mut connection) => {
                log::info!("responses are cached in Redis at {address}");
                retry = FIRST_RETRY;
                shared.set(Status::Ready(connection.clone()));
                let why = watch_over(&shared, &mut connection).await;
                shared.set(Status::Away(why.clone()));
                log::warn!("Redis at {address} is away: {why}; handlers answer until it is back");
                told = Some(false);
            }
            Err(error) => {
                // A server that must not be used stops a start; only later it is a matter for the log.
                let lasting = matches!(error, StoreError::Unsuitable(_));
                if told != Some(lasting) && !(first && lasting) {
                    log::warn!("Redis at {address}: {error}; handlers answer until this changes");
                }
                told = Some(lasting);
                shared.set(match error {
                    StoreError::Unsuitable(why) => Status::Unsuitable(why),
                    StoreError::Unavailable(why) | StoreError::Failed(why) => Status::Away(why),
                });
                first = false;
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
            }
        }
    }
}

async fn connect(
    shared: &Shared,
    client: &Client,
    config: &AsyncConnectionConfig,
    settings: &LinkSettings,
) -> Result<MultiplexedConnection, StoreError> {
    let mut connection =
        client.get_multiplexed_async_connection_with_config(config).await.map_err(|error| connect_error(&error))?;
    suitability::check(&mut connection, settings).await?;
    identify(&mut connection, settings).await?;
    shared.measure_time(&mut connection).await.map_err(|error| connect_error(&error))?;
    // A loss reported by a command of the connection before this one is of no more interest.
    let _ = futures_util::FutureExt::now_or_never(shared.lost.notified());
    Ok(connection)
}

/// Tells what waiting will mend from what somebody must change.
pub(super) fn connect_error(error: &RedisError) -> StoreError {
    let text = error.to_string();
    let credentials = error.kind() == ErrorKind::AuthenticationFailed
        || ["NOAUTH", "WRONGPASS", "NOPERM"].iter().any(|code| error.code() == Some(code) || text.contains(code));
    if credentials {
        return StoreError::Unsuitable(format!(
            "it does not accept these credentials ({text}): set REDIS_PASSWORD, or user and password in REDIS_URL"
        ));
    }
    if text.contains("DB index is out of range") {
        return StoreError::Unsuitable(format!("it has no such database ({text}): change the number in the address"));
    }
    if error.kind() == ErrorKind::Parse {
        return StoreError::Unsuitable("what listens there is not Redis: check host and port".to_owned());
    }
    StoreError::Unavailable(text)
}

/// Tells every partition which server this is. What an earlier one held may hold entries without the marks that cleared
/// them, as a snapshot does, and is void (`identity.lua`).
async fn identify(connection: &mut MultiplexedConnection, settings: &LinkSettings) -> Result<(), StoreError> {
    let run_id = suitability::run_id(connection).await?;
    for partition in settings.layout.partitions() {
        let mut invocation = on(&settings.identity, &settings.layout, partition);
        invocation.arg(&run_id).arg(new_incarnation());
        let renewed: u8 = invocation.invoke_async(connection).await.map_err(|error| store_error(&error))?;
        log::debug!("partition {partition} is of server {run_id}, renewed: {renewed}");
    }
    Ok(())
}

/// Returns when the connection must be replaced.
async fn watch_over(shared: &Shared, connection: &mut MultiplexedConnection) -> String {
    let mut lost_beats = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = shared.lost.notified() => return "the connection was lost".to_owned(),
        }
        match shared.measure_time(connection).await {
            Ok(()) => lost_beats = 0,
            Err(error) => {
                lost_beats += 1;
                if error.is_unrecoverable_error() || lost_beats == 2 {
                    return error.to_string();
                }
            }
        }
    }
}
