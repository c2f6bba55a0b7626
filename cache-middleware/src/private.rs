//! The only names that code written by the macros may use. Not part of the public contract.
//!
//! Methods that are found by what a type is begin with `__cache_`: a trait in scope where the code is written might have one of any other
//! name, and be asked instead. All else is called by its path.

use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::Duration;

use actix_web::{FromRequest, Responder};
pub use actix_web::{HttpRequest, HttpResponse};
pub use inventory;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::annotation::{Annotation, AnnotationKind};
pub use crate::event::{CacheEvent, Event};
pub use crate::http::{CachedSpec, HandlerKey, Invalidation, Ran, run_cached, run_invalidating};
pub use crate::key::{CacheKey, KeyWriter};
pub use crate::manager::OnClearFailure;
pub use crate::policy::{
    AdaptiveTtl, Bounds, Coding, Downstream, EarlyRefresh, Holding, RoutePolicy, TagFields, TimeLimits, Ttl, Windows,
};
pub use crate::tag::escape;

use crate::key::{Key, KeySpace};
use crate::manager::{CacheManager, ValuePolicy};
use crate::outcome::RefusalReason;
use crate::tag::Tag;

/// Refuses an argument of a function that only a request's URI would hold.
pub const fn refuse_held_by_uri<T: CacheKey + ?Sized>(_: &T) {
    const { assert!(!T::HELD_BY_URI, "the key of a function holds no URI: take the value out of the extractor") }
}

/// Whether responses can be stored in codings.
#[must_use]
pub const fn can_compress() -> bool {
    cfg!(feature = "compress")
}

/// A value that stands for a placeholder.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a tag, a key or a payload",
    label = "this has no text of its own",
    note = "a placeholder or a payload field is a value that implements `Display`, such as a number, a string or an id: name the field that is one, such as `teacher.id`, or the part of a tuple, `path.0`"
)]
pub trait TemplateValue {
    /// The text, not yet escaped.
    fn text(&self) -> String;
}

impl<T: Display + ?Sized> TemplateValue for T {
    fn text(&self) -> String {
        self.to_string()
    }
}

/// The text of a template.
#[must_use]
pub fn text<const N: usize>(parts: [&str; N]) -> String {
    parts.concat()
}

/// The escaped text of a placeholder.
pub fn placeholder<T: TemplateValue + ?Sized>(value: &T) -> String {
    escape(&value.text())
}

/// The text of a payload field.
pub fn payload<T: TemplateValue + ?Sized>(value: &T) -> String {
    value.text()
}

/// Tells an annotated function from every other of the program, on all nodes alike.
#[derive(Debug)]
pub struct Owner {
    item: &'static str,
    place: (&'static str, u32, u32),
    /// Its place, where it is needed: that is, where another function has the same path.
    suffix: OnceLock<Option<String>>,
}

impl Owner {
    /// Of a path, and the file, line and column of its annotation.
    #[must_use]
    pub const fn new(item: &'static str, place: (&'static str, u32, u32)) -> Self {
        Self { item, place, suffix: OnceLock::new() }
    }

    /// The name of the function in which a closure stands: methods of different types and instances of generic functions have different
    /// ones. Functions of one name in blocks of one function have not, and are told apart by their place.
    pub fn name<T>(&self, _: &T) -> Cow<'static, str> {
        let name = shorten(std::any::type_name::<T>());
        match self.suffix.get_or_init(|| self.needed()) {
            None => Cow::Borrowed(name),
            Some(suffix) => Cow::Owned(format!("{name}{suffix}")),
        }
    }

    fn needed(&self) -> Option<String> {
        let (file, line, column) = self.place;
        let cached = Annotation::all().filter(|annotation| matches!(annotation.kind, AnnotationKind::Cached { .. }));
        let of_its_path = cached.filter(|annotation| annotation.item == self.item).count();
        (of_its_path > 1).then(|| format!("@{file}:{line}:{column}"))
    }
}

/// Leaves out what the compiler adds for closures, and what actix's route attributes wrap around a handler: the path of the
/// struct they make is that of the handler. From the end, and by bytes: each request does this.
fn shorten(mut name: &str) -> &str {
    while let Some(shorter) = name.strip_suffix("::{{closure}}") {
        name = shorter;
    }
    let before_last = name.rfind(':').map_or("", |at| &name[..at]);
    let handler = before_last.strip_suffix(" as actix_web::service::HttpServiceFactory>::register:");
    handler.and_then(|handler| handler.strip_prefix('<')).unwrap_or(name)
}

/// An argument that a request gives.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no extractor, so no request can give it to a handler",
    label = "no extractor",
    note = "a handler takes extractors, by value; a cached function that is no handler takes `cache: &CacheManager` or names its manager: `manager = self.cache`"
)]
pub trait Extractor {}

impl<T: FromRequest> Extractor for T {}

/// Compiles for extractors only.
pub const fn must_be_extractor<T: Extractor>() {}

/// An argument, asked whether it says who asks. Types that implement [`CacheKey`] answer by
/// themselves; others, through [`NoIdentity`], do not say.
#[derive(Debug)]
pub struct Identity<'a, T>(pub &'a T);

impl<T: CacheKey> Identity<'_, T> {
    /// What the type says.
    #[must_use]
    pub fn __cache_identity(&self) -> bool {
        T::IDENTITY
    }
}

/// Types that cannot be keyed say nothing about who asks.
pub trait NoIdentity {
    /// No.
    fn __cache_identity(&self) -> bool;
}

impl<T> NoIdentity for &Identity<'_, T> {
    fn __cache_identity(&self) -> bool {
        false
    }
}

/// What a handler returned, asked for its success. `Result` answers by itself, every other type through [`Success`].
#[derive(Debug)]
pub struct Returned<'a, T>(pub &'a T);

impl<'a, T, E> Returned<'a, Result<T, E>> {
    /// The value of `Ok`.
    pub fn __cache_success(&self) -> Option<&'a T> {
        self.0.as_ref().ok()
    }
}

/// Types that are no `Result` are always a success.
pub trait Success<'a> {
    /// The type of the value.
    type Value;

    /// The value.
    fn __cache_success(&self) -> Option<&'a Self::Value>;
}

impl<'a, T> Success<'a> for &Returned<'a, T> {
    type Value = T;

    fn __cache_success(&self) -> Option<&'a T> {
        Some(self.0)
    }
}

/// The response of a handler.
pub fn respond<R: Responder>(returned: R, request: &HttpRequest) -> HttpResponse
where
    R::Body: actix_web::body::MessageBody + 'static,
{
    returned.respond_to(request).map_into_boxed_body()
}

/// Whether a response clears: 2xx and 3xx.
#[must_use]
pub fn is_success(response: &HttpResponse) -> bool {
    crate::http::clears(response.status())
}

/// The type that a cached function returns. `Result` answers by itself: its `Ok` is stored and its `Err` never is;
/// every other type goes through [`Whole`] and is stored as it is.
#[derive(Debug)]
pub struct Typed<T>(PhantomData<T>);

impl<T> Typed<T> {
    /// Of what a function is declared to return.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Typed<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> Typed<Result<T, E>> {
    /// What is stored, or what is only returned.
    ///
    /// # Errors
    /// What is only returned.
    pub fn __cache_split(&self, returned: Result<T, E>) -> Result<T, Result<T, E>> {
        returned.map_err(Err)
    }

    /// What is returned of what was stored.
    pub fn __cache_join(&self, value: T) -> Result<T, E> {
        Ok(value)
    }
}

/// Types that are stored as they are.
pub trait Whole<T> {
    /// All of it is stored.
    ///
    /// # Errors
    /// Never.
    fn __cache_split(&self, returned: T) -> Result<T, T>;

    /// All of it was stored.
    fn __cache_join(&self, value: T) -> T;
}

impl<T> Whole<T> for &Typed<T> {
    fn __cache_split(&self, returned: T) -> Result<T, T> {
        Ok(returned)
    }

    fn __cache_join(&self, value: T) -> T {
        value
    }
}

/// The key of a cached function.
#[derive(Debug)]
pub enum FunctionKey {
    /// The function and its framed arguments.
    Default(Cow<'static, str>, String),
    /// A template of the user.
    Named(Cow<'static, str>, String),
}

/// Runs `#[cached]` on a function that is no handler. `run` gives the value with its tags and what `unless` said, or what is not to be stored.
pub async fn run_function<T, R>(
    manager: &CacheManager,
    (ttl, policy): (Ttl, RoutePolicy),
    key: FunctionKey,
    run: impl Future<Output = Result<(T, Vec<String>, bool), R>>,
) -> Result<T, R>
where
    T: Serialize + DeserializeOwned,
{
    let (FunctionKey::Default(function, _) | FunctionKey::Named(function, _)) = &key;
    let ttl = manager.resolve(ttl);
    let is_known = ttl.is_ok();
    let ttl = ttl.unwrap_or_else(|problem| {
        log::error!("{function} is not cached: {problem}");
        Duration::ZERO
    });
    let tenant = manager.current_tenant();
    let key = match &key {
        FunctionKey::Default(function, arguments) => {
            let mut text = KeyWriter::new();
            text.field(function);
            Key::new(tenant, KeySpace::Request, None, &(text.finish() + arguments))
        }
        FunctionKey::Named(function, text) => Key::new(tenant, KeySpace::Named(function), None, text),
    };
    let fetch = async {
        let (value, tags, unless) = run.await?;
        let tags = match (unless, is_known) {
            (true, _) => Err(RefusalReason::Unless),
            (false, false) => Err(RefusalReason::TtlUnknown),
            (false, true) => tags.iter().map(|tag| Tag::new(tag).map_err(|_| RefusalReason::TagInvalid)).collect(),
        };
        Ok((value, tags))
    };
    manager
        .value(&key, &ValuePolicy::new(ttl).with(policy.holding, policy.windows).counted_as(function.clone()), fetch)
        .await
}

/// Finds the manager among the arguments of a cached function.
pub trait AsManager {
    /// The manager.
    fn as_manager(&self) -> &CacheManager;
}

impl AsManager for CacheManager {
    fn as_manager(&self) -> &CacheManager {
        self
    }
}

impl<T: AsManager + ?Sized> AsManager for &T {
    fn as_manager(&self) -> &CacheManager {
        (**self).as_manager()
    }
}

impl<T: AsManager + ?Sized> AsManager for std::sync::Arc<T> {
    fn as_manager(&self) -> &CacheManager {
        (**self).as_manager()
    }
}

impl AsManager for actix_web::web::Data<CacheManager> {
    fn as_manager(&self) -> &CacheManager {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn names_of_functions_are_short_and_stay_distinct() {
        for (full, short) in [
            ("app::list::{{closure}}::{{closure}}", "app::list"),
            ("app::load<u8>::{{closure}}::{{closure}}", "app::load<u8>"),
            ("app::Users::find::{{closure}}::{{closure}}", "app::Users::find"),
            (
                "<app::list as actix_web::service::HttpServiceFactory>::register::list::{{closure}}::{{closure}}",
                "app::list",
            ),
            ("<app::Users as app::Find>::find::{{closure}}", "<app::Users as app::Find>::find"),
        ] {
            assert_eq!(shorten(full), short);
        }
    }
}
