//! A response in a coding, made of the entry that holds its own bytes: the handler does not run for it.

use actix_web::HttpResponse;

use crate::entry::{Entry, MarkRef, Payload};
use crate::http::response::{coding, is_public, respond};
use crate::manager::{Asking, CacheManager, Draft};
use crate::outcome::RefusalReason;
use crate::policy::{Coding, Freshness};

/// Looks for the bytes under the key `plain`; where `public_by` is given, only those will do that are for everybody by
/// their own word.
pub(in crate::http) async fn derive(
    manager: &CacheManager,
    asking: &Asking<'_>,
    (coding, plain): (Coding, &crate::key::Key),
    public_by: Option<&Freshness>,
) -> Option<(HttpResponse, Draft)> {
    let accept = |entry: &Entry| {
        let response = respond::response_of(entry, None)?;
        let fits = public_by.is_none_or(|freshness| is_public(response.headers(), freshness));
        fits.then(|| entry.clone())
    };
    let source = manager.peek(&Asking { key: plain, ..asking.clone() }, accept, RefusalReason::Method).await.ok()?;
    let (entry, age) = (source.accepted, source.age);
    let Payload::Response(stored) = &entry.payload else { return None };
    let mut probe = respond::response_of_stored(stored)?;
    let codable = coding::may_be_coded(stored.status, probe.headers_mut());
    let coded = if codable { coding::coded(coding, stored).await } else { None };
    let made = coded.unwrap_or_else(|| stored.clone());
    let mut response = respond::response_of_stored(&made)?;
    respond::add_age(response.headers_mut(), age);
    let draft = Draft {
        // Its own key has a mark of its own.
        marks: entry.marks.iter().filter(|mark| *mark.id != *plain.mark().id).map(MarkRef::to_mark).collect(),
        life: entry.life.after(entry.life.stored_for(age)),
        derived: Some((entry.stamp, source.outcome)),
        ..Draft::of(Payload::Response(made))
    };
    Some((response, draft))
}
