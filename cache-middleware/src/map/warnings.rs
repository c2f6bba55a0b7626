//! What is most likely a mistake: a tag that nobody clears, a clear that reaches nothing.

use super::CacheMap;
use super::meet::can_meet;

pub(super) fn of(map: &CacheMap) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(never_cleared(map));
    warnings.extend(rules_for_nothing(map));
    warnings.extend(writes_for_nothing(map));
    warnings.extend(expected(map));
    warnings
}

fn is_cleared(map: &CacheMap, tag: &str) -> bool {
    let by_rule = map.rules.iter().any(|rule| can_meet(&rule.tag, tag));
    let by_call = map.calls.iter().any(|cleared| can_meet(cleared, tag));
    by_call || by_rule || map.writes.iter().flat_map(|write| &write.tags).any(|cleared| can_meet(cleared, tag))
}

fn is_carried(map: &CacheMap, tag: &str) -> bool {
    map.reads.iter().flat_map(|read| &read.tags).any(|carried| can_meet(carried, tag))
}

fn never_cleared(map: &CacheMap) -> impl Iterator<Item = String> {
    map.reads.iter().flat_map(|read| {
        let never = read.tags.iter().filter(|tag| !is_cleared(map, tag));
        never.map(|tag| {
            format!(
                "{}: no rule and no `#[invalidates]` clears the tag {tag:?} of {}: only its TTL ends it. If a call does, say so by `.cleared_by_call([{tag:?}])`",
                read.place,
                read.name()
            )
        })
    })
}

fn rules_for_nothing(map: &CacheMap) -> impl Iterator<Item = String> {
    let idle = map.rules.iter().filter(|rule| !is_carried(map, &rule.tag));
    idle.map(|rule| {
        format!(
            "the rule of {:?} clears the tag {:?}, which nothing that is annotated carries: is it spelt as the `tags` are?",
            rule.event, rule.tag
        )
    })
}

fn writes_for_nothing(map: &CacheMap) -> impl Iterator<Item = String> {
    map.writes.iter().filter_map(|write| {
        let place = &write.place;
        let tags = write.tags.iter().filter(|tag| !is_carried(map, tag));
        if let Some(tag) = tags.into_iter().next() {
            return Some(format!(
                "{place}: {} clears the tag {tag:?}, which nothing that is annotated carries",
                write.name()
            ));
        }
        let event = write.event.as_ref()?;
        let mut tags = map.rules.iter().filter(|rule| rule.event == *event).map(|rule| &rule.tag);
        let reaches = tags.any(|tag| is_carried(map, tag));
        (!reaches)
            .then(|| format!("{place}: {} publishes {event:?}, which clears nothing that is annotated", write.name()))
    })
}

/// A route that speaks of what an event is about, by name, and that the event does not reach.
fn expected(map: &CacheMap) -> Vec<String> {
    let mut events: Vec<&str> = map.rules.iter().map(|rule| rule.event.as_str()).collect();
    events.sort_unstable();
    events.dedup();
    let mut warnings = Vec::new();
    for event in events {
        let Some((subject, _)) = event.split_once(['.', ':', '_']).filter(|(subject, _)| !subject.is_empty()) else {
            continue;
        };
        let mut reads = map
            .reads
            .iter()
            .filter(|read| read.key.iter().chain([&read.item]).chain(&read.route).any(|text| speaks_of(text, subject)));
        let tags: Vec<&str> =
            map.rules.iter().filter(|rule| rule.event == event).map(|rule| rule.tag.as_str()).collect();
        let missed =
            |read: &&super::MappedRead| !read.tags.iter().any(|tag| tags.iter().any(|cleared| can_meet(cleared, tag)));
        warnings.extend(reads.by_ref().filter(missed).map(|read| {
            format!(
                "{}: by its name {} is about {subject:?}, and none of its tags is cleared by {event:?} ({})",
                read.place,
                read.name(),
                tags.join(", ")
            )
        }));
    }
    warnings
}

/// Whether a word of a text is a subject, or several of it: the last segment of a path, or a part of a function's name.
fn speaks_of(text: &str, subject: &str) -> bool {
    let last = text.rsplit("::").next().unwrap_or(text);
    let singular = |word: &str| {
        word.strip_suffix("ies")
            .map_or_else(|| word.strip_suffix('s').unwrap_or(word).to_owned(), |stem| format!("{stem}y"))
    };
    let mut words = last.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| singular(&word.to_ascii_lowercase()) == singular(&subject.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{MappedRead, MappedRule, MappedWrite};

    fn read(item: &str, tags: &[&str]) -> MappedRead {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        MappedRead { item: item.to_owned(), route: None, place: format!("{item}.rs:1"), key: None, tags }
    }

    fn write(item: &str, event: Option<&str>, tags: &[&str]) -> MappedWrite {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let (route, keys) = (None, Vec::new());
        MappedWrite {
            item: item.to_owned(),
            route,
            place: format!("{item}.rs:1"),
            event: event.map(str::to_owned),
            tags,
            keys,
        }
    }

    fn map(reads: Vec<MappedRead>, rules: &[(&str, &str)], writes: Vec<MappedWrite>) -> CacheMap {
        let rule = |(event, tag): &(&str, &str)| MappedRule { event: (*event).to_owned(), tag: (*tag).to_owned() };
        CacheMap { reads, rules: rules.iter().map(rule).collect(), writes, calls: Vec::new(), warnings: Vec::new() }
    }

    #[test]
    fn what_fits_together_is_not_mentioned() {
        let rules = [("session.created", "teacher:{teacher_id}")];
        let reads = vec![read("sessions", &["teacher:{teacher.id}", "now"])];
        let writes = vec![write("create", Some("session.created"), &[]), write("reset", None, &["now"])];
        assert_eq!(of(&map(reads, &rules, writes)), Vec::<String>::new());
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        for (map, expected) in [
            (
                map(vec![read("menu", &["menu"])], &[], Vec::new()),
                "menu.rs:1: no rule and no `#[invalidates]` clears the tag \"menu\"",
            ),
            (
                map(Vec::new(), &[("menu.updated", "menus")], Vec::new()),
                "the rule of \"menu.updated\" clears the tag \"menus\"",
            ),
            (map(Vec::new(), &[], vec![write("save", None, &["menu"])]), "save.rs:1: save clears the tag \"menu\""),
            (
                map(Vec::new(), &[], vec![write("save", Some("menu.updated"), &[])]),
                "save.rs:1: save publishes \"menu.updated\"",
            ),
            (
                map(
                    vec![read("list_sessions", &["teachers"]), read("teachers", &["teacher:{id}"])],
                    &[("session.created", "teacher:{teacher_id}")],
                    vec![write("x", None, &["teachers"])],
                ),
                "list_sessions.rs:1: by its name list_sessions is about \"session\", and none of its tags is cleared by \
                 \"session.created\" (teacher:{teacher_id})",
            ),
        ] {
            let found = of(&map);
            assert!(found.iter().any(|warning| warning.starts_with(expected)), "{expected}\n{found:#?}");
        }
    }

    #[test]
    fn words_are_the_same_in_singular_and_plural() {
        assert!(speaks_of("app::list_sessions", "session") && speaks_of("GET /api/categories/{id}", "category"));
        assert!(!speaks_of("sessions::list", "session") && !speaks_of("obsession", "session"));
    }
}
