//! What every store must do, as tests that any store can run (feature `test-util`).
//!
//! ```
//! use cache_middleware::store::contract::{BEHAVIOURS, Harness};
//! use cache_middleware::store::MemoryStore;
//! use cache_middleware::time::ManualTime;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! for behaviour in BEHAVIOURS {
//!     let time = ManualTime::default();
//!     let store = MemoryStore::builder().time(time.clone()).build();
//!     let harness = Harness::new(store, move |by| {
//!         time.advance(by);
//!         Box::pin(async {})
//!     });
//!     (behaviour.check)(harness).await; // panics with what is wrong
//! }
//! # });
//! ```

mod channels;
mod clears;
mod harness;
mod index;
mod queues;
mod reads;

use futures_util::future::BoxFuture;

pub use self::harness::Harness;

/// One thing a store must do.
///
/// At work: [`crate::store::contract`].
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    /// Its name, as a test would be called.
    pub name: &'static str,
    /// Panics if an empty store does not do it.
    pub check: fn(Harness) -> BoxFuture<'static, ()>,
}

macro_rules! behaviours {
    ($($module:ident :: $name:ident,)+) => {
        /// All of them. Each needs an empty store of its own.
        pub const BEHAVIOURS: &[Behaviour] = &[$(Behaviour {
            name: stringify!($name),
            check: |harness| Box::pin($module::$name(harness)),
        },)+];
    };
}

behaviours! {
    reads::an_empty_store_has_nothing,
    reads::what_was_filled_is_read,
    reads::p7_keys_are_apart,
    reads::an_entry_ends_with_its_time,
    reads::a_later_fill_replaces,
    reads::p1_a_renewal_replaces_only_what_was_read,
    reads::several_keys_are_read_as_each_alone,
    reads::an_expired_entry_is_stale,
    clears::p1_each_target_clears_what_it_names_and_nothing_else,
    clears::p1_a_fill_that_began_before_a_clear_is_refused,
    clears::p1_a_fill_that_began_after_a_clear_is_stored,
    clears::p1_a_clear_of_something_else_refuses_nothing,
    clears::p1_a_clear_during_a_sweep_is_not_lost,
    clears::p1_a_refill_during_a_sweep_stays,
    clears::p1_an_expire_refuses_fills_that_began_before_it,
    clears::p1_a_clear_ends_what_was_expired,
    clears::p1_while_a_clear_settles_nothing_it_covers_is_stored,
    clears::p2_the_clock_moves_with_every_clear_and_only_then,
    clears::p7_tenants_clear_only_their_own,
    index::p3_a_large_tag_is_cleared_before_it_is_swept,
    index::p4_every_tag_reaches_the_entry,
    index::p4_clearing_one_tag_leaves_no_member_in_the_others,
    index::p4_expired_entries_leave_no_members,
    index::p4_a_refill_with_other_tags_leaves_the_old_ones,
    index::p4_an_entry_with_a_short_life_takes_no_other_along,
    index::p4_entries_are_listed_by_what_clears_them,
    index::p7_what_a_tenant_has_is_counted,
    index::p9_a_tenant_s_bytes_are_bounded,
    index::p9_bounds_on_marks_are_kept,
    index::a_pattern_is_swept_and_closed,
    index::everything_is_swept_after_a_clear_of_all,
    queues::a_batch_is_the_same_until_it_is_settled,
    queues::numbers_go_on,
    queues::what_waits_is_told_by_key,
    queues::a_change_is_set_aside_and_comes_back,
    queues::p9_queues_are_bounded,
    channels::messages_have_positions_without_holes,
    channels::p9_as_many_messages_are_kept_as_were_asked_for,
    channels::what_another_life_of_the_store_has_said_says_nothing,
    channels::who_listens_hears_what_begins_so,
}
