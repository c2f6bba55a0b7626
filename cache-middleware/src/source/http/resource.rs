//! Records of one type behind HTTP.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::{HttpAnswer, HttpSource};
use crate::source::{Record, SourceError, SourceOfTruth};
use crate::tag::escape;

/// Where the records of one type are; `R` is what the service writes of one, in JSON, and becomes a [`Record`].
///
/// ```
/// use cache_middleware::{HttpResource, HttpSource, Record};
/// use serde::Deserialize;
///
/// /// As the service writes it.
/// #[derive(Deserialize)]
/// struct User {
///     id: u64,
///     name: String,
/// }
///
/// impl From<User> for Record<u64, String> {
///     fn from(User { id, name }: User) -> Self {
///         Record { key: id, version: 0, value: name } // it has no versions
///     }
/// }
///
/// let service = HttpSource::builder("http://crm:8080/api").build()?;
/// // For `ReferenceCache::builder("users").start(&changes, users)`.
/// let users: HttpResource<User> = service.resource().one_at("/users/{key}").many_at("/users?ids={keys}");
/// # let _ = users;
/// # Ok::<_, cache_middleware::ConfigError>(())
/// ```
pub struct HttpResource<R> {
    source: HttpSource,
    all: Option<String>,
    one: Option<String>,
    many: Option<String>,
    of: PhantomData<fn() -> R>,
}

impl<R> Clone for HttpResource<R> {
    fn clone(&self) -> Self {
        let Self { source, all, one, many, .. } = self;
        Self { source: source.clone(), all: all.clone(), one: one.clone(), many: many.clone(), of: PhantomData }
    }
}

impl<R> fmt::Debug for HttpResource<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, all, one, many, .. } = self;
        f.debug_struct("HttpResource")
            .field("source", source)
            .field("all", all)
            .field("one", one)
            .field("many", many)
            .finish()
    }
}

impl<R> HttpResource<R> {
    pub(super) fn new(source: HttpSource) -> Self {
        Self { source, all: None, one: None, many: None, of: PhantomData }
    }

    /// The path of all records: an array of them.
    #[must_use]
    pub fn all_at(mut self, path: impl Into<String>) -> Self {
        self.all = Some(path.into());
        self
    }

    /// The path of one record, with `{key}` in it. 404 and 410 say that there is none.
    #[must_use]
    pub fn one_at(mut self, path: impl Into<String>) -> Self {
        self.one = Some(path.into());
        self
    }

    /// The path of several records, with `{keys}` in it, in the place of which the keys are written with commas between them: an array
    /// of those that there are.
    #[must_use]
    pub fn many_at(mut self, path: impl Into<String>) -> Self {
        self.many = Some(path.into());
        self
    }
}

/// A key as part of an address. A plus would be a space in a query, and dots lead elsewhere (RFC 3986 section 5.2.4), also when they are
/// written as `%2E`.
fn written(key: &impl Display) -> Result<String, SourceError> {
    let key = key.to_string();
    if matches!(key.as_str(), "" | "." | "..") {
        return Err(SourceError::Refused(format!("{key:?} cannot be part of an address")));
    }
    Ok(escape(&key).replace('+', "%2B"))
}

fn path<'a>(path: Option<&'a String>, placeholder: &str, which: &str) -> Result<&'a str, SourceError> {
    match path {
        Some(path) if path.contains(placeholder) => Ok(path),
        Some(_) => Err(SourceError::Unsupported(format!("the path of `.{which}_at(..)` has no {placeholder} in it"))),
        None => Err(SourceError::Unsupported(format!("its resource has no `.{which}_at(..)`"))),
    }
}

fn succeeded(answer: HttpAnswer) -> Result<HttpAnswer, SourceError> {
    if answer.is_success() { Ok(answer) } else { Err(SourceError::Refused(format!("it says {}", answer.status))) }
}

impl<R, K, V> SourceOfTruth<K, V> for HttpResource<R>
where
    R: DeserializeOwned + Into<Record<K, V>> + 'static,
    K: Display + Clone + PartialEq + Send + Sync + 'static,
    V: Send + 'static,
{
    async fn one(&self, key: &K) -> Result<Option<Record<K, V>>, SourceError> {
        let path = path(self.one.as_ref(), "{key}", "one")?.replace("{key}", &written(key)?);
        let answer = self.source.get(&path).await?;
        if matches!(answer.status, 404 | 410) {
            return Ok(None);
        }
        let record: Record<K, V> = succeeded(answer)?.json::<R>()?.into();
        if record.key != *key {
            return Err(SourceError::Malformed("it is another record than the one that was asked for".to_owned()));
        }
        Ok(Some(record))
    }

    async fn many(&self, keys: &[K]) -> Result<Vec<Record<K, V>>, SourceError> {
        if self.many.is_none() || keys.len() == 1 && self.one.is_some() {
            let found = futures_util::future::try_join_all(keys.iter().map(|key| self.one(key))).await?;
            return Ok(found.into_iter().flatten().collect());
        }
        let written: Vec<String> = keys.iter().map(written).collect::<Result<_, _>>()?;
        let path = path(self.many.as_ref(), "{keys}", "many")?.replace("{keys}", &written.join(","));
        let records: Vec<R> = succeeded(self.source.get(&path).await?)?.json()?;
        Ok(records.into_iter().map(Into::into).collect())
    }

    async fn all(&self) -> Result<Vec<Record<K, V>>, SourceError> {
        let path = path(self.all.as_ref(), "", "all")?;
        let records: Vec<R> = succeeded(self.source.get(path).await?)?.json()?;
        Ok(records.into_iter().map(Into::into).collect())
    }
}
