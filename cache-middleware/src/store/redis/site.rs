//! One Redis server that holds some partitions: its connections, kept alive by one task.
//!
//! Callers never wait for a reconnection: without a connection they are told so at once, and the handler answers
//! (promise P8). The task connects, checks that this Redis may be used, tells every partition which server this is,
//! measures the difference between its time and ours, and starts over when a command says that the connection is gone,
//! when two heartbeats in a row are lost, which is how a half-open connection shows itself, or when the server is no
//! longer the master it was.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::operations::new_incarnation;
use super::place::Place;
use super::scripts::on;
use super::settings::Settings;
use super::suitability;
use crate::backoff::Backoff;
use crate::breaker::Breaker;
use crate::error::StoreError;
use crate::time::{MonotonicTime, TimeSource};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often a server is probed that is not asked by others.
const PROBE: Duration = Duration::from_millis(100);
/// What the connection's own task asks may take longer than what requests wait for.
const OWN_LIMIT: Duration = Duration::from_millis(500);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// A server and its share of the partitions. What it holds does not change: when partitions move, another site takes
/// its place, which tells the server of its partitions anew.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) place: Place,
    pub(super) partitions: Vec<u16>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    status: RwLock<Status>,
    changed: watch::Sender<u64>,
    lost: Notify,
    breaker: Breaker,
    /// Told when the breaker opens.
    opened: Notify,
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
    Ready(Arc<Connections>),
}

/// The connections to a server, checked and told who we are. Shared: every command asks for them.
pub(super) struct Connections {
    /// For everything.
    pub(super) main: MultiplexedConnection,
    /// For clears that wait for replicas: `WAIT` holds up whatever comes after it.
    pub(super) waiting: Option<MultiplexedConnection>,
    /// Where they lead to.
    pub(super) info: ConnectionInfo,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    /// Starts the task; it must be called within a Tokio runtime, which must live as long as the site is used.
    pub(super) fn start(place: Place, partitions: Vec<u16>, settings: Arc<Settings>) -> Self {
        let shared = Arc::new(Shared {
            status: RwLock::new(Status::Connecting),
            changed: watch::Sender::new(0),
            lost: Notify::new(),
            breaker: Breaker::new(settings.command_timeout),
            opened: Notify::new(),
            time: MonotonicTime::default(),
            offset_ms: AtomicI64::new(0),
        });
        let task = tokio::spawn(keep(shared.clone(), place.clone(), partitions.clone(), settings));
        Self { place, partitions, shared, task }
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

    /// The connections, or at once the reason why there are none.
    pub(super) fn connections(&self) -> Result<Arc<Connections>, StoreError> {
        match self.shared.status() {
            Status::Ready(_) if self.shared.breaker.is_open() => {
                Err(StoreError::Unavailable("the circuit breaker is open: it fails, or is slow".to_owned()))
            }
            Status::Ready(connections) => Ok(connections),
            Status::Connecting => Err(StoreError::Unavailable("not connected yet".to_owned())),
            Status::Away(why) => Err(StoreError::Unavailable(why)),
            Status::Unsuitable(why) => Err(StoreError::Unsuitable(why)),
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.shared.status(), Status::Ready(_))
    }

    /// Whether nobody asks it, because it fails or is slow.
    pub(super) fn is_broken(&self) -> bool {
        self.shared.breaker.is_open()
    }

    /// Has the connections replaced if an error says that they lead to the wrong server, or nowhere.
    pub(super) fn note(&self, error: &RedisError) {
        if error.is_unrecoverable_error() || is_elsewhere(error) {
            self.shared.lost.notify_one();
        }
    }

    /// Notes how a command ended, for the breaker.
    pub(super) fn count(&self, bad: bool) {
        if self.shared.breaker.note(bad) {
            log::warn!(
                "Redis at {} fails or is slow: the circuit breaker is open, and handlers answer until it is quick again",
                self.place.shown()
            );
            self.shared.opened.notify_one();
            self.shared.changed.send_modify(|changes| *changes += 1);
        }
    }

    /// Told when it may have become usable, or unusable.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Redis time in milliseconds, as last measured.
    pub(super) fn now_ms(&self) -> u64 {
        let offset = self.shared.offset_ms.load(Ordering::Relaxed);
        self.shared.time.now_ms().saturating_add_signed(offset)
    }
}

/// Whether an error says that somebody else is the master now.
pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ReadOnly))
}

/// Whether an error will be over soon by itself: a slot on its way, a failover, a server that loads its data.
pub(super) fn is_passing(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    matches!(
        error.kind(),
        ErrorKind::Server(Ask | Moved | TryAgain | ClusterDown | MasterDown | ReadOnly | BusyLoading)
    )
        // What scripts are told of keys that have left already.
        || error.to_string().contains("non local key")
}

pub(super) fn store_error(error: &RedisError) -> StoreError {
    if error.is_unrecoverable_error() || error.is_timeout() || error.is_io_error() || is_passing(error) {
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
async fn keep(shared: Arc<Shared>, place: Place, partitions: Vec<u16>, settings: Arc<Settings>) {
    let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
    // Whether the log knows of a trouble, and whether it is one that waiting does not mend.
    let mut told: Option<bool> = None;
    let mut first = true;
    loop {
        match connect(&shared, &place, &partitions, &settings).await {
            Ok((connections, identity, address)) => {
                log::info!("responses are cached in Redis at {address}");
                backoff.reset();
                let mut main = connections.main.clone();
                shared.breaker.reset();
                shared.set(Status::Ready(Arc::new(connections)));
                let why = watch_over(&shared, &mut main, &identity, &place, &address).await;
                shared.set(Status::Away(why.clone()));
                settings.route_lost.notify_one();
                log::warn!("Redis at {address} is away: {why}; handlers answer until it is back");
                told = Some(false);
            }
            Err(error) => {
                // A server that must not be used stops a start; only later it is a matter for the log.
                let lasting = matches!(error, StoreError::Unsuitable(_));
                if told != Some(lasting) && !(first && lasting) {
                    log::warn!("Redis at {}: {error}; handlers answer until this changes", place.shown());
                }
                told = Some(lasting);
                shared.set(match error {
                    StoreError::Unsuitable(why) => Status::Unsuitable(why),
                    StoreError::Unavailable(why) | StoreError::Failed(why) => Status::Away(why),
                });
                settings.route_lost.notify_one();
                first = false;
                tokio::time::sleep(backoff.rest()).await;
            }
        }
    }
}

async fn connect(
    shared: &Shared,
    place: &Place,
    partitions: &[u16],
    settings: &Settings,
) -> Result<(Connections, String, String), StoreError> {
    let info = place.resolve().await?;
    let address = info.addr().to_string();
    let client = Client::open(info.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
    let config = config(settings);
    let (mut main, identity) = open_checked(&client, &config, place, partitions, settings).await?;
    shared.measure_time(&mut main).await.map_err(|error| connect_error(&error))?;
    let waiting = if settings.wait_for_replicas > 0 { Some(open(&client, &config).await?) } else { None };
    // A loss reported by a command of the connection before this one is of no more interest.
    let _ = futures_util::FutureExt::now_or_never(shared.lost.notified());
    Ok((Connections { main, waiting, info }, identity, address))
}

pub(super) fn config(settings: &Settings) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(OWN_LIMIT.max(settings.command_timeout + settings.replica_timeout)))
        .set_pipeline_buffer_size(1024)
}

pub(super) async fn open(client: &Client, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, StoreError> {
    client.get_multiplexed_async_connection_with_config(config).await.map_err(|error| connect_error(&error))
}

/// Tells what waiting will mend from what somebody must change.
pub(super) fn connect_error(error: &RedisError) -> StoreError {
    let text = error.to_string();
    let credentials = error.kind() == ErrorKind::AuthenticationFailed
        || ["NOAUTH", "WRONGPASS", "NOPERM"].iter().any(|code| error.code() == Some(code) || text.contains(code));
    if credentials {
        return StoreError::Unsuitable(format!(
            "it does not accept these credentials ({text}): set REDIS_PASSWORD, or user and password in REDIS_URL, and \
             give the user the rights that docs/redis.md lists"
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

/// Opens a connection to a master that may be used, tells every partition which server this is, and returns that.
pub(super) async fn open_checked(
    client: &Client,
    config: &AsyncConnectionConfig,
    place: &Place,
    partitions: &[u16],
    settings: &Settings,
) -> Result<(MultiplexedConnection, String), StoreError> {
    let mut connection = open(client, config).await?;
    let identity = match suitability::identity(&mut connection).await? {
        Some(identity) => identity,
        None if settings.cluster || place.is_found() => {
            return Err(StoreError::Unavailable("it is a replica at this moment".to_owned()));
        }
        None => {
            return Err(StoreError::Unsuitable(
                "it is a replica: name the master, or the sentinels that know it (redis+sentinel://)".to_owned(),
            ));
        }
    };
    suitability::check(&mut connection, partitions, settings).await?;
    if !settings.trust_restarts {
        identify(&mut connection, &identity, partitions, settings).await?;
    }
    Ok((connection, identity))
}

/// Tells every partition which server this is. What an earlier one held may hold entries without the marks that cleared
/// them, as a snapshot or a replica that missed the last writes does, and is void (`identity.lua`).
async fn identify(
    connection: &mut MultiplexedConnection,
    identity: &str,
    partitions: &[u16],
    settings: &Settings,
) -> Result<(), StoreError> {
    for partition in partitions {
        let mut invocation = on(&settings.scripts.identity, &settings.layout, *partition);
        invocation.arg(identity).arg(new_incarnation());
        let renewed: u8 = invocation.invoke_async(connection).await.map_err(|error| store_error(&error))?;
        log::debug!("partition {partition} is at server {identity}, renewed: {renewed}");
    }
    Ok(())
}

/// Returns when the connections must be replaced.
async fn watch_over(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    identity: &str,
    place: &Place,
    address: &str,
) -> String {
    let mut lost_beats = 0;
    loop {
        let open = shared.breaker.is_open();
        tokio::select! {
            () = tokio::time::sleep(if open { PROBE } else { HEARTBEAT }) => {}
            () = shared.opened.notified() => continue,
            () = shared.lost.notified() => return "the connection was lost".to_owned(),
        }
        let began = Instant::now();
        match shared.measure_time(connection).await {
            Ok(()) => {
                lost_beats = 0;
                if shared.breaker.probed(began.elapsed()) {
                    log::info!("Redis at {address} is quick again: the circuit breaker is closed");
                    shared.changed.send_modify(|changes| *changes += 1);
                }
            }
            Err(error) => {
                lost_beats += 1;
                if error.is_unrecoverable_error() || lost_beats == 2 {
                    return error.to_string();
                }
                continue;
            }
        }
        // A master that was one of its replicas for a while has the same run id, and may have lost what it was told.
        match suitability::identity(connection).await {
            Ok(Some(now)) if now == identity => {}
            Ok(_) => return "it is not the master that it was".to_owned(),
            Err(StoreError::Unsuitable(why)) => return why,
            Err(_) => {}
        }
        if place.has_moved(address).await {
            return "the sentinels name another master".to_owned();
        }
    }
}
