//! Layers of caching in layers of caching.
//!
//! The same key inside another layer is another entry: or an inner one would wait for the flight of an outer one, which waits
//! for it. And an outer one stores nothing that was cached inside: it does not know the tags.

use actix_web::HttpMessage;
use actix_web::dev::Extensions;

/// The layers of caching that a request has been through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::http) struct Layers {
    /// How many it has come to. Those that did not look it up count as well, because they look up others: what is inside would
    /// fill their entries.
    pub(in crate::http) come_to: u8,
    /// How many have looked it up.
    looked_up: u8,
}

impl Layers {
    /// Those that a request has been through.
    pub(in crate::http) fn of(request: &impl HttpMessage) -> Self {
        Self::in_extensions(&request.extensions())
    }

    pub(in crate::http) fn in_extensions(extensions: &Extensions) -> Self {
        extensions.get::<Self>().copied().unwrap_or_default()
    }

    /// Has a request be known to have been through these.
    pub(in crate::http) fn set(self, extensions: &mut Extensions) {
        extensions.insert(self);
    }

    /// These and another, which looks it up.
    pub(in crate::http) fn enter(self, request: &impl HttpMessage) {
        Self { looked_up: self.looked_up.saturating_add(1), ..self }.pass(request);
    }

    /// These and another, which does not.
    pub(in crate::http) fn pass(self, request: &impl HttpMessage) {
        let layers = Self { come_to: self.come_to.saturating_add(1), ..self };
        layers.set(&mut request.extensions_mut());
    }

    /// These without the last, which has looked it up.
    pub(in crate::http) fn without_last(self) -> Self {
        Self { come_to: self.come_to.saturating_sub(1), looked_up: self.looked_up.saturating_sub(1) }
    }
}

/// Says that a cached handler answers, if there is a layer around it that wants to know.
pub(in crate::http) fn mark_cached(request: &impl HttpMessage) {
    let around = Layers::of(request);
    if around.come_to > 0 {
        around.enter(request);
    }
}

/// Whether it was looked up again, inside a layer that has these around it and has looked it up.
pub(in crate::http) fn was_cached_inside(request: &impl HttpMessage, around: Layers) -> bool {
    Layers::of(request).looked_up > around.looked_up.saturating_add(1)
}
