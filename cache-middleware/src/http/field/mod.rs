//! Header fields, read as their specifications say: what is malformed is told from what is absent.

pub(super) mod cache_control;
pub(super) mod date;
pub(super) mod etag;
pub(super) mod groups;
pub(super) mod list;
pub(super) mod range;
pub(super) mod targeted;
