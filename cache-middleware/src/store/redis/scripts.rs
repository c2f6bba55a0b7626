//! The scripts, each with the shared prelude before it. Redis keeps them by their digest; after `SCRIPT FLUSH` or a
//! restart the client sends the text again by itself.

use redis::{Script, ScriptInvocation};

use super::layout::Layout;

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("scripts/prelude.lua"), include_str!(concat!("scripts/", $file, ".lua"))))
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
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripts").finish_non_exhaustive()
    }
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            lease: script!("lease"),
            check: script!("check"),
            fill: script!("fill"),
            clear: script!("clear"),
            expire: script!("expire"),
            sweep: script!("sweep"),
            expire_step: script!("expire_step"),
            drop: script!("drop"),
            close: script!("close"),
        }
    }
}

/// The script that a connection runs before anything else.
pub(super) fn identity() -> Script {
    script!("identity")
}

/// An invocation on one partition: its fence is the key that decides the slot.
pub(super) fn on<'a>(script: &'a Script, layout: &Layout, partition: u16) -> ScriptInvocation<'a> {
    script.key(layout.fence(partition))
}
