//! The scripts, each with the parts that it needs before it. Redis keeps them by their digest; after `SCRIPT FLUSH` or a
//! restart the client sends the text again by itself.

use redis::{Script, ScriptInvocation};

use super::layout::Layout;

macro_rules! script {
    ($publish:expr, $file:literal $(, $part:literal)*) => {
        Script::new(&format!(
            "local PUBLISH = '{}'\n{}",
            $publish,
            concat!(
                include_str!("scripts/parts/base.lua"),
                $(include_str!(concat!("scripts/parts/", $part, ".lua")),)*
                include_str!(concat!("scripts/", $file, ".lua"))
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
            fill: script!(publish, "fill", "entries", "flights"),
            clear: script!(publish, "clear", "entries", "clears"),
            expire: script!(publish, "expire", "entries", "clears"),
            sweep: script!(publish, "sweep", "entries", "sweep"),
            expire_step: script!(publish, "expire_step", "entries", "sweep"),
            drop: script!(publish, "drop", "entries", "sweep"),
            close: script!(publish, "close", "sweep"),
            identity: script!(publish, "identity"),
            hold: script!(publish, "hold"),
            dismiss: script!(publish, "dismiss"),
            take_off: script!(publish, "take_off"),
            stay_up: script!(publish, "stay_up"),
            land: script!(publish, "land", "flights"),
            intend: script!(publish, "intend"),
            withdraw: script!(publish, "withdraw"),
            overdue: script!(publish, "overdue"),
            count: script!(publish, "count"),
            begin: script!(publish, "queue/begin", "queue"),
            enqueue: script!(publish, "queue/enqueue", "queue"),
            page: script!(publish, "queue/page", "queue"),
            close_aside: script!(publish, "queue/close_aside", "queue"),
            pending: script!(publish, "queue/pending", "queue"),
            next_batch: script!(publish, "queue/next_batch", "queue"),
            keep_claim: script!(publish, "queue/keep_claim", "queue"),
            give_up_claim: script!(publish, "queue/give_up_claim", "queue"),
            settle: script!(publish, "queue/settle", "queue"),
            narrow: script!(publish, "queue/narrow", "queue"),
            set_aside: script!(publish, "queue/set_aside", "queue"),
            take_aside: script!(publish, "queue/take_aside", "queue"),
            queue_size: script!(publish, "queue/size", "queue"),
            publish: script!(publish, "channel/publish"),
            since: script!(publish, "channel/since"),
        }
    }
}

/// An invocation on one partition: its fence is the key that decides the slot.
pub(super) fn on<'a>(script: &'a Script, layout: &Layout, partition: u16) -> ScriptInvocation<'a> {
    script.key(layout.fence(partition))
}
