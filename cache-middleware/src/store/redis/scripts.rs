//! The scripts, each with the shared prelude before it. Redis keeps them by their digest; after `SCRIPT FLUSH` or a
//! restart the client sends the text again by itself.

use redis::{Script, ScriptInvocation};

use super::layout::Layout;

macro_rules! script {
    ($publish:expr, $file:literal) => {
        Script::new(&format!(
            "local PUBLISH = '{}'\n{}",
            $publish,
            concat!(include_str!("scripts/prelude.lua"), include_str!(concat!("scripts/", $file, ".lua")))
        ))
    };
}

macro_rules! queue_script {
    ($publish:expr, $file:literal) => {
        Script::new(&format!(
            "local PUBLISH = '{}'\n{}",
            $publish,
            concat!(
                include_str!("scripts/prelude.lua"),
                include_str!("scripts/queue/prelude.lua"),
                include_str!(concat!("scripts/queue/", $file, ".lua"))
            )
        ))
    };
}

pub(super) struct Scripts {
    pub(super) lease: Script,
    pub(super) check: Script,
    pub(super) fill: Script,
    pub(super) clear: Script,
    pub(super) expire: Script,
    pub(super) sweep: Script,
    pub(super) expire_step: Script,
    pub(super) drop: Script,
    pub(super) close: Script,
    pub(super) identity: Script,
    pub(super) hold: Script,
    pub(super) dismiss: Script,
    pub(super) take_off: Script,
    pub(super) stay_up: Script,
    pub(super) land: Script,
    pub(super) intend: Script,
    pub(super) withdraw: Script,
    pub(super) overdue: Script,
    pub(super) count: Script,
    pub(super) begin: Script,
    pub(super) enqueue: Script,
    pub(super) page: Script,
    pub(super) close_aside: Script,
    pub(super) pending: Script,
    pub(super) next_batch: Script,
    pub(super) keep_claim: Script,
    pub(super) give_up_claim: Script,
    pub(super) settle: Script,
    pub(super) narrow: Script,
    pub(super) set_aside: Script,
    pub(super) take_aside: Script,
    pub(super) queue_size: Script,
    pub(super) publish: Script,
    pub(super) since: Script,
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripts").finish_non_exhaustive()
    }
}

impl Scripts {
    /// In a cluster a signal goes only to the servers that have its slot.
    pub(super) fn new(cluster: bool) -> Self {
        let publish = if cluster { "SPUBLISH" } else { "PUBLISH" };
        Self {
            lease: script!(publish, "lease"),
            check: script!(publish, "check"),
            fill: script!(publish, "fill"),
            clear: script!(publish, "clear"),
            expire: script!(publish, "expire"),
            sweep: script!(publish, "sweep"),
            expire_step: script!(publish, "expire_step"),
            drop: script!(publish, "drop"),
            close: script!(publish, "close"),
            identity: script!(publish, "identity"),
            hold: script!(publish, "hold"),
            dismiss: script!(publish, "dismiss"),
            take_off: script!(publish, "take_off"),
            stay_up: script!(publish, "stay_up"),
            land: script!(publish, "land"),
            intend: script!(publish, "intend"),
            withdraw: script!(publish, "withdraw"),
            overdue: script!(publish, "overdue"),
            count: script!(publish, "count"),
            begin: queue_script!(publish, "begin"),
            enqueue: queue_script!(publish, "enqueue"),
            page: queue_script!(publish, "page"),
            close_aside: queue_script!(publish, "close_aside"),
            pending: queue_script!(publish, "pending"),
            next_batch: queue_script!(publish, "next_batch"),
            keep_claim: queue_script!(publish, "keep_claim"),
            give_up_claim: queue_script!(publish, "give_up_claim"),
            settle: queue_script!(publish, "settle"),
            narrow: queue_script!(publish, "narrow"),
            set_aside: queue_script!(publish, "set_aside"),
            take_aside: queue_script!(publish, "take_aside"),
            queue_size: queue_script!(publish, "size"),
            publish: script!(publish, "channel/publish"),
            since: script!(publish, "channel/since"),
        }
    }
}

/// An invocation on one partition: its fence is the key that decides the slot.
pub(super) fn on<'a>(script: &'a Script, layout: &Layout, partition: u16) -> ScriptInvocation<'a> {
    script.key(layout.fence(partition))
}
