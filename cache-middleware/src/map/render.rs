//! The map as text, and as graphs for Mermaid and Graphviz.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::CacheMap;
use super::meet::can_meet;

/// The columns of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Write,
    Event,
    Tag,
    Read,
}

/// Nodes with their columns, and edges between their places.
#[cfg(feature = "dashboard")]
pub(crate) type Drawn = (Vec<(usize, String)>, Vec<(usize, usize)>);

/// What is joined, from writes to reads.
struct Graph {
    nodes: BTreeMap<(Kind, String), usize>,
    edges: Vec<(usize, usize)>,
}

impl Graph {
    fn node(&mut self, kind: Kind, name: &str) -> usize {
        let next = self.nodes.len();
        *self.nodes.entry((kind, name.to_owned())).or_insert(next)
    }

    fn edge(&mut self, from: usize, to: usize) {
        if !self.edges.contains(&(from, to)) {
            self.edges.push((from, to));
        }
    }

    fn of(map: &CacheMap) -> Self {
        let mut graph = Self { nodes: BTreeMap::new(), edges: Vec::new() };
        let carried: Vec<&String> = map.reads.iter().flat_map(|read| &read.tags).collect();
        for read in &map.reads {
            let to = graph.node(Kind::Read, read.name());
            for tag in &read.tags {
                let tag = graph.node(Kind::Tag, tag);
                graph.edge(tag, to);
            }
        }
        // A tag that is cleared is those that it can meet, or one that nothing carries.
        let met = |cleared: &str| -> Vec<String> {
            let met: Vec<String> =
                carried.iter().filter(|tag| can_meet(tag, cleared)).map(|&tag| tag.clone()).collect();
            if met.is_empty() { vec![cleared.to_owned()] } else { met }
        };
        for rule in &map.rules {
            let event = graph.node(Kind::Event, &rule.event);
            for tag in met(&rule.tag) {
                let tag = graph.node(Kind::Tag, &tag);
                graph.edge(event, tag);
            }
        }
        for write in &map.writes {
            let from = graph.node(Kind::Write, write.name());
            if let Some(event) = &write.event {
                let event = graph.node(Kind::Event, event);
                graph.edge(from, event);
            }
            for tag in write.tags.iter().flat_map(|tag| met(tag)) {
                let tag = graph.node(Kind::Tag, &tag);
                graph.edge(from, tag);
            }
        }
        graph
    }
}

impl CacheMap {
    /// As a graph for [Mermaid](https://mermaid.js.org), from writes on the left to reads on the right.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let graph = Graph::of(self);
        let mut out = "flowchart LR\n".to_owned();
        for ((kind, name), number) in &graph.nodes {
            // Mermaid reads `#quot;` as the character.
            let name = name.replace('"', "#quot;");
            let (open, close) = match kind {
                Kind::Read => ("[\"", "\"]"),
                Kind::Tag => ("([\"", "\"])"),
                Kind::Event => ("{{\"", "\"}}"),
                Kind::Write => ("[/\"", "\"/]"),
            };
            // Writing to a string does not fail.
            let _ = writeln!(out, "  n{number}{open}{name}{close}");
        }
        for (from, to) in &graph.edges {
            let _ = writeln!(out, "  n{from} --> n{to}");
        }
        out
    }

    /// As a graph for [Graphviz](https://graphviz.org).
    #[must_use]
    pub fn to_graphviz(&self) -> String {
        let graph = Graph::of(self);
        let mut out = "digraph cache {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
        for ((kind, name), number) in &graph.nodes {
            let shape = match kind {
                Kind::Read => "box",
                Kind::Tag => "ellipse",
                Kind::Event => "hexagon",
                Kind::Write => "parallelogram",
            };
            let _ = writeln!(out, "  n{number} [label={name:?}, shape={shape}];");
        }
        for (from, to) in &graph.edges {
            let _ = writeln!(out, "  n{from} -> n{to};");
        }
        out.push_str("}\n");
        out
    }
}

impl fmt::Display for CacheMap {
    /// For people: what is cached with its tags, and below each tag who clears it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for read in &self.reads {
            writeln!(f, "{}  ({})", read.name(), read.place)?;
            if let Some(key) = &read.key {
                writeln!(f, "  key {key}")?;
            }
            for tag in &read.tags {
                writeln!(f, "  tag {tag}")?;
                for line in self.who_clears(tag) {
                    writeln!(f, "    <- {line}")?;
                }
            }
        }
        if !self.warnings.is_empty() {
            writeln!(f, "\n{} warnings", self.warnings.len())?;
        }
        for warning in &self.warnings {
            writeln!(f, "  {warning}")?;
        }
        Ok(())
    }
}

impl CacheMap {
    /// The nodes of the graph, each with its column from 0 (writes) to 3 (reads), and what is joined.
    #[cfg(feature = "dashboard")]
    pub(crate) fn graph(&self) -> Drawn {
        let Graph { nodes, edges } = Graph::of(self);
        let mut by_number: Vec<(usize, (usize, String))> =
            nodes.into_iter().map(|((kind, name), number)| (number, (kind as usize, name))).collect();
        by_number.sort_unstable();
        (by_number.into_iter().map(|(_, node)| node).collect(), edges)
    }

    fn who_clears(&self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for rule in self.rules.iter().filter(|rule| can_meet(&rule.tag, tag)) {
            let by: Vec<&str> = self
                .writes
                .iter()
                .filter(|write| write.event.as_ref() == Some(&rule.event))
                .map(super::MappedWrite::name)
                .collect();
            let by = if by.is_empty() { "calls".to_owned() } else { by.join(", ") };
            lines.push(format!("{} <- {by}", rule.event));
        }
        let direct = self.writes.iter().filter(|write| write.tags.iter().any(|cleared| can_meet(cleared, tag)));
        lines.extend(direct.map(|write| write.name().to_owned()));
        lines.extend(self.calls.iter().any(|cleared| can_meet(cleared, tag)).then(|| "calls".to_owned()));
        lines
    }
}

#[cfg(test)]
mod tests {
    use crate::map::{CacheMap, MappedRead, MappedRule, MappedWrite};

    fn map() -> CacheMap {
        let read = MappedRead {
            item: "app::list".to_owned(),
            route: Some("GET /sessions".to_owned()),
            place: "src/app.rs:7".to_owned(),
            key: None,
            tags: vec!["teacher:{teacher.id}".to_owned()],
        };
        let write = MappedWrite {
            item: "app::create".to_owned(),
            route: None,
            place: "src/app.rs:20".to_owned(),
            event: Some("session.created".to_owned()),
            tags: Vec::new(),
            keys: Vec::new(),
        };
        let rule = MappedRule { event: "session.created".to_owned(), tag: "teacher:{teacher_id}".to_owned() };
        CacheMap {
            reads: vec![read],
            rules: vec![rule],
            writes: vec![write],
            calls: Vec::new(),
            warnings: vec!["look".to_owned()],
        }
    }

    #[test]
    fn a_text_reads_from_what_is_cached_to_who_clears_it() {
        assert_eq!(
            map().to_string(),
            "GET /sessions  (src/app.rs:7)\n  tag teacher:{teacher.id}\n    <- session.created <- app::create\n\n1 warnings\n  look\n"
        );
    }

    #[test]
    fn graphs_lead_from_writes_to_reads() {
        let edges = |graph: &str, arrow: &str| graph.matches(arrow).count();
        let mermaid = map().to_mermaid();
        assert!(mermaid.starts_with("flowchart LR\n") && mermaid.contains("[\"GET /sessions\"]"), "{mermaid}");
        assert_eq!(edges(&mermaid, " --> "), 3, "{mermaid}");
        let graphviz = map().to_graphviz();
        assert!(graphviz.contains("label=\"session.created\", shape=hexagon"), "{graphviz}");
        assert_eq!(edges(&graphviz, " -> "), 3, "{graphviz}");
    }
}
