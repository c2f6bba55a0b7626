//! The map: which routes have which keys and tags, and which rules, events and routes clear them.
//!
//! It is made of the annotations alone, which are known before the first request, and of the rules of the manager. What closures of
//! the middlewares name is not on it, and of calls the tags that the builder is told of.

mod meet;
mod render;
mod warnings;

use serde::Serialize;

use crate::annotation::{Annotation, AnnotationKind};
use crate::event::Rules;

/// Who reads, who writes, and what is between them.
///
/// ```
/// use cache_middleware::CacheManager;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = CacheManager::builder().on("room.updated", ["room:{id}"]).build().await?;
/// let map = cache.map();
/// assert_eq!((map.rules[0].event.as_str(), map.rules[0].tag.as_str()), ("room.updated", "room:{id}"));
/// for warning in &map.warnings {
///     println!("{warning}"); // nothing has such a tag: most likely it is spelt differently somewhere
/// }
/// println!("{map}");
/// println!("{}", map.to_mermaid());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CacheMap {
    /// Everything that is cached.
    pub reads: Vec<MappedRead>,
    /// What events clear, a line for each tag.
    pub rules: Vec<MappedRule>,
    /// Everything that clears.
    pub writes: Vec<MappedWrite>,
    /// The templates of tags that calls clear, as far as the builder was told.
    pub calls: Vec<String>,
    /// What is most likely a mistake.
    pub warnings: Vec<String>,
}

/// A `#[cached]` handler or function.
///
/// At work: [`crate::CacheMap`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MappedRead {
    /// Its path in the program.
    pub item: String,
    /// Method and path of its route, as far as that is known.
    pub route: Option<String>,
    /// File and line.
    pub place: String,
    /// The template of its key; `None`: route and arguments.
    pub key: Option<String>,
    /// The templates of its tags.
    pub tags: Vec<String>,
}

/// A tag that an event clears.
///
/// At work: [`crate::CacheMap`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MappedRule {
    /// The event.
    pub event: String,
    /// The template of the tag.
    pub tag: String,
}

/// An `#[invalidates]` handler.
///
/// At work: [`crate::CacheMap`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MappedWrite {
    /// Its path in the program.
    pub item: String,
    /// Method and path of its route, as far as that is known.
    pub route: Option<String>,
    /// File and line.
    pub place: String,
    /// The event that it publishes.
    pub event: Option<String>,
    /// The templates of tags that it names itself.
    pub tags: Vec<String>,
    /// The templates of keys that it names itself.
    pub keys: Vec<String>,
}

impl MappedRead {
    /// What it is called: by its route if that is known.
    #[must_use]
    pub fn name(&self) -> &str {
        self.route.as_deref().unwrap_or(&self.item)
    }
}

impl MappedWrite {
    /// What it is called: by its route if that is known.
    #[must_use]
    pub fn name(&self) -> &str {
        self.route.as_deref().unwrap_or(&self.item)
    }
}

impl CacheMap {
    /// The map of the program's annotations under these rules; `learned` knows routes that the annotations do not tell.
    pub(crate) fn of(rules: &Rules, learned: impl Fn(&str) -> Option<String>) -> Self {
        let mut all: Vec<&Annotation> = Annotation::all().collect();
        all.sort_by_key(|annotation| (annotation.file, annotation.line));
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        for annotation in all {
            // What was learned has the scopes around it as well.
            let route = learned(annotation.item).or_else(|| annotation.route.map(str::to_owned));
            let (item, place) = (annotation.item.to_owned(), format!("{}:{}", annotation.file, annotation.line));
            let write = |event: Option<String>, tags, keys| MappedWrite {
                item: item.clone(),
                route: route.clone(),
                place: place.clone(),
                event,
                tags,
                keys,
            };
            match &annotation.kind {
                AnnotationKind::Cached { key, tags, .. } => {
                    let (key, tags) = (key.map(str::to_owned), owned(tags));
                    reads.push(MappedRead { item, route, place, key, tags });
                }
                AnnotationKind::Event { name, .. } => {
                    writes.push(write(Some((*name).to_owned()), Vec::new(), Vec::new()));
                }
                AnnotationKind::Tags { tags, keys } => writes.push(write(None, owned(tags), owned(keys))),
                AnnotationKind::TenantBound => {}
            }
        }
        let rule = |(event, tag): (&str, &str)| MappedRule { event: event.to_owned(), tag: tag.to_owned() };
        let calls = rules.by_call().map(str::to_owned).collect();
        let mut map = Self { reads, rules: rules.lines().map(rule).collect(), writes, calls, warnings: Vec::new() };
        map.warnings = warnings::of(&map);
        map
    }
}
