//! One connection to one server, on which a node hears of clears and proves that it does.
//!
//! Signals and proofs share the connection, and Redis answers a connection in the order in which it did things: when the
//! answer to a proof has come, every signal of a clear before it has come too, or never will. A proof is a write
//! (`hold.lua`), so that a server which is no master any more cannot give one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use redis::aio::{MultiplexedConnection, SendError};
use redis::{Client, PushInfo, PushKind, RedisError, Value};
use tokio::sync::{Notify, mpsc};

use super::fence::Fence;
use super::member::Shared;
use super::operations::new_incarnation;
use super::scripts::on;
use super::site::{Site, config, is_elsewhere, is_passing, open_checked, store_error};
use crate::backoff::Backoff;
use crate::entry::Stamp;
use crate::error::StoreError;
use crate::store::{NodeId, Signal};
use crate::time::Moment;

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_millis(500);

/// How often a node with a lease looks for nodes that have died.
const LOOK_ROUND: Duration = Duration::from_secs(10);

/// The most acknowledgements that wait to be sent; beyond, who cleared waits for the lease instead.
const MOST_ACKS: usize = 1_024;

/// Hears for ever.
pub(super) async fn hear(member: Arc<Shared>, site: Arc<Site>) {
    let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
    loop {
        let session = member.next_session();
        let began = Moment::now();
        let ended = listen(&member, &site, session).await;
        for partition in &site.partitions {
            member.close(*partition, session);
        }
        log::debug!("signals of Redis at {} are not heard: {ended}", site.place.shown());
        backoff.lasted(Moment::now().since(began));
        tokio::time::sleep(backoff.rest()).await;
    }
}

/// An acknowledgement to be sent: to whom, and up to which clock.
struct Ack {
    partition: u16,
    to: NodeId,
    at: Stamp,
}

/// What the pushes of one session go through.
struct Intake {
    member: Arc<Shared>,
    session: u64,
    /// By its channel: which partition, and whether the channel is this node's own.
    channels: HashMap<String, (u16, bool)>,
    acks: mpsc::Sender<Ack>,
    /// Told when the session must end, and has in fact.
    over: Notify,
    ended: AtomicBool,
    /// Redis time less ours, in microseconds.
    offset_us: AtomicI64,
}

impl Intake {
    fn take(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Message | PushKind::SMessage => {}
            // A slot that leaves takes its subscriptions away. The client takes that for a reply, and what comes after it
            // for replies to other questions: nothing more is believed.
            PushKind::Disconnection | PushKind::SUnsubscribe | PushKind::Unsubscribe => {
                self.ended.store(true, Ordering::SeqCst);
                for (partition, _) in self.channels.values() {
                    self.member.close(*partition, self.session);
                }
                self.over.notify_one();
                return;
            }
            _ => return,
        }
        let text = |at: usize| match push.data.get(at) {
            Some(Value::BulkString(bytes)) => std::str::from_utf8(bytes).ok(),
            Some(Value::SimpleString(text)) => Some(text.as_str()),
            _ => None,
        };
        let Some(&(partition, own)) = text(0).and_then(|channel| self.channels.get(channel)) else { return };
        match text(1) {
            Some(message) if own => self.member.take_note(partition, message),
            message => self.signal(partition, message.and_then(Signal::parse)),
        }
    }

    fn signal(&self, partition: u16, signal: Option<Signal>) {
        let listener = self.member.listener();
        let Some(signal) = signal else { return listener.malformed(partition, self.session) };
        let now_us = i64::try_from(Moment::now().0 / 1_000).unwrap_or(0) + self.offset_us.load(Ordering::Relaxed);
        let late = now_us.saturating_sub_unsigned(signal.at.clock);
        let late = Duration::from_micros(u64::try_from(late).unwrap_or(0));
        listener.signal(partition, self.session, &signal, late);
        // Only now: whoever hears the acknowledgement relies on what was just done.
        if signal.strict && signal.by != self.member.id() {
            let _ = self.acks.try_send(Ack { partition, to: signal.by, at: signal.at });
        }
    }
}

async fn listen(member: &Arc<Shared>, site: &Site, session: u64) -> String {
    match session_of(member, site, session).await {
        Ok(why) => why,
        Err(error) => error.to_string(),
    }
}

async fn session_of(member: &Arc<Shared>, site: &Site, session: u64) -> Result<String, StoreError> {
    let settings = &member.settings;
    let id = member.id().to_string();
    let mut channels = HashMap::new();
    for partition in &site.partitions {
        channels.insert(settings.layout.channel(*partition), (*partition, false));
        channels.insert(settings.layout.node_channel(*partition, &id), (*partition, true));
    }
    let (acks, mut acks_to_send) = mpsc::channel(MOST_ACKS);
    let intake = Arc::new(Intake {
        member: member.clone(),
        session,
        channels,
        acks,
        over: Notify::new(),
        ended: AtomicBool::new(false),
        offset_us: AtomicI64::new(0),
    });
    // The same server that everything else of this site goes to, for as long as it does.
    let connections = site.connections()?;
    let address = connections.info.addr().to_string();
    let client = Client::open(connections.info.clone()).map_err(|error| StoreError::Failed(error.to_string()))?;
    let for_pushes = intake.clone();
    let config = config(settings).set_push_sender(move |push| {
        for_pushes.take(&push);
        Ok::<(), SendError>(())
    });
    let (mut connection, _) = open_checked(&client, &config, &site.place, &site.partitions, settings).await?;
    for partition in &site.partitions {
        for channel in [settings.layout.channel(*partition), settings.layout.node_channel(*partition, &id)] {
            // One channel at a time: a command then has one confirmation, as any other has one reply.
            let subscribed = if settings.cluster {
                redis::cmd("SSUBSCRIBE").arg(channel).query_async(&mut connection).await
            } else {
                connection.subscribe(channel).await
            };
            subscribed.map_err(|error| store_error(&error))?;
        }
    }
    let mut lost_beats = 0;
    let mut next_round = Moment::ZERO;
    loop {
        if !Arc::ptr_eq(&site.connections()?, &connections) {
            return Ok("the server may be another now".to_owned());
        }
        match prove(&intake, &mut connection, site, &address).await {
            Ok(()) => lost_beats = 0,
            Err(error) if error.is_unrecoverable_error() || is_elsewhere(&error) => return Err(store_error(&error)),
            Err(error) => {
                lost_beats += 1;
                if lost_beats == 2 {
                    return Err(store_error(&error));
                }
            }
        }
        if Moment::now() > next_round {
            next_round = Moment::now().after(LOOK_ROUND);
            let (member, partitions) = (member.clone(), site.partitions.clone());
            tokio::spawn(async move { member.look_round(&partitions).await });
        }
        let beat = tokio::time::sleep(member.beat);
        tokio::pin!(beat);
        loop {
            tokio::select! {
                () = &mut beat => break,
                () = intake.over.notified() => return Ok("the connection was lost".to_owned()),
                Some(ack) = acks_to_send.recv() => {
                    send(&intake, &mut connection, &ack).await.map_err(|error| store_error(&error))?;
                }
            }
        }
    }
}

async fn send(intake: &Intake, connection: &mut MultiplexedConnection, ack: &Ack) -> Result<(), RedisError> {
    let member = &intake.member;
    let channel = member.settings.layout.node_channel(ack.partition, &ack.to.to_string());
    let command = if member.settings.cluster { "SPUBLISH" } else { "PUBLISH" };
    redis::cmd(command)
        .arg(channel)
        .arg(format!("ack {} {:x} {}", member.id(), ack.at.incarnation, ack.at.clock))
        .query_async(connection)
        .await
}

/// Proves that nothing was missed up to a moment before the question was sent. Partitions whose slot is on its way to
/// another server are left out.
async fn prove(
    intake: &Intake,
    connection: &mut MultiplexedConnection,
    site: &Site,
    address: &str,
) -> Result<(), RedisError> {
    let member = &intake.member;
    let since = Moment::now();
    let questions = site.partitions.iter().map(|partition| {
        let mut invocation = on(&member.settings.scripts.hold, &member.settings.layout, *partition);
        invocation.arg(new_incarnation()).arg(member.id().to_string());
        invocation.arg(member.lease.as_millis()).arg(member.next_number());
        let mut connection = connection.clone();
        async move { (*partition, invocation.invoke_async::<(Vec<u8>, i64)>(&mut connection).await) }
    });
    // An old master answers on after its successor was appointed: the sentinels are asked as well, at the same time.
    let (answers, is_master) = join(join_all(questions), site.place.is_still_at(address)).await;
    if intake.ended.load(Ordering::SeqCst) || !is_master {
        // In the first case `over` is told as well, and ends the session.
        return Ok(());
    }
    for (partition, answer) in answers {
        match answer {
            Ok((fence, redis_us)) => {
                let middle = i64::try_from(since.0.midpoint(Moment::now().0) / 1_000).unwrap_or(0);
                intake.offset_us.store(redis_us - middle, Ordering::Relaxed);
                if let Some(Fence { stamp, .. }) = Fence::parse(&fence) {
                    member.prove(partition, intake.session, stamp, since);
                }
            }
            Err(error) if is_passing(&error) && !is_elsewhere(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
